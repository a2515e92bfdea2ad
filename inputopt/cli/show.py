"""What the commands share: progress bars, tables, and reading numbers from options."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from inputopt.files import FileError
from inputopt.training.train import Progress

Commands = "argparse._SubParsersAction[argparse.ArgumentParser]"


@contextmanager
def training_bar(title: str, trainings: int) -> Iterator[Callable[[Progress], None]]:
    """A bar on stderr that follows a training."""
    with tqdm(total=trainings, desc=title, unit="training", unit_scale=True, leave=False, disable=None) as bar:

        def progress(now: Progress) -> None:
            bar.set_postfix_str(f"error {now.error:.4g}", refresh=False)
            bar.update(now.index - bar.n)

        yield progress


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Text in columns, the first to the left and the others to the right.

    >>> print(table(["a", "b"], [["x", "1"], ["yy", "22"]]))
    a    b
    x    1
    yy  22
    """
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    lines = []
    for row in [heads, *rows]:
        cells = [
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def numbers(text: str) -> list[float]:
    """Numbers with commas between them.

    >>> numbers("0.05,0.1")
    [0.05, 0.1]
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} should be numbers with commas between them") from error


def sizes(text: str) -> list[int]:
    """Whole numbers with commas between them.

    >>> sizes("2,3,1")
    [2, 3, 1]
    """
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} should be whole numbers with commas between them") from error


def writable(folder: str) -> Path:
    """`folder`, made if need be; found out before any work starts.

    Raises:
        FileError: it cannot be made or written to.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".inputopt"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise FileError(f"Cannot write into {folder}: {error.strerror}; choose another folder with --out.") from error
    return path
