"""What the commands share: progress bars, tables, and places to write to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tqdm import tqdm

from inputopt.files import FileError, check_writable
from inputopt.training.train import Progress


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


def writable(folder: str | Path, *files: str | Path) -> Path:
    """`folder` as a path, if these files in it could be written; found out before any work, and nothing is left there.

    Raises:
        FileError: the folder cannot be made or written to, or one of the files is a folder.
    """
    remedy = "choose another folder with --out"
    try:
        check_writable(Path(folder) / "any", remedy)
    except FileError as error:
        raise FileError(
            str(error).replace(f"Cannot write {Path(folder) / 'any'}", f"Cannot write into {folder}")
        ) from error
    for name in files:
        check_writable(Path(folder) / name, remedy)
    return Path(folder)


def wrote(*paths: Path) -> None:
    """Say what was written."""
    for path in paths:
        print(f"wrote {path}")


@contextmanager
def provisional(*paths: Path) -> Iterator[None]:
    """Files written inside, and folders made for them, are taken away again if the block fails, but not by Ctrl-C."""
    new = [path for path in paths if not path.exists()]
    folders = {folder for path in new for folder in path.parents if not folder.exists()}
    try:
        yield
    except Exception:
        for path in new:
            path.unlink(missing_ok=True)
        for folder in sorted(folders, key=lambda each: len(each.parts), reverse=True):
            with suppress(OSError):  # it holds something else by now
                folder.rmdir()
        raise
