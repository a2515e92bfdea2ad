"""Progress bars, tables and output paths shared by the commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tqdm import tqdm

from inputopt.files import FileError, check_writable
from inputopt.training.train import Progress


@contextmanager
def training_bar(title: str, trainings: int) -> Iterator[Callable[[Progress], None]]:
    """Show the progress of a training run in a bar on stderr."""
    with tqdm(total=trainings, desc=title, unit="update", unit_scale=True, leave=False, disable=None) as bar:

        def progress(now: Progress) -> None:
            bar.set_postfix_str(f"error {now.error:.4g}", refresh=False)
            bar.update(now.index - bar.n)

        yield progress


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Text in aligned columns, the first left-aligned and the others right-aligned.

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
    """Check before any work that these files can be written into `folder`; return its path. Nothing is created.

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
    """Print the paths of written files."""
    for path in paths:
        print(f"wrote {path}")


@contextmanager
def provisional(*paths: Path) -> Iterator[None]:
    """Remove new files among `paths`, and their new folders, if the block fails; keep them on Ctrl-C."""
    new = [path for path in paths if not path.exists()]
    folders = {folder for path in new for folder in path.parents if not folder.exists()}
    try:
        yield
    except Exception:
        for path in new:
            path.unlink(missing_ok=True)
        for folder in sorted(folders, key=lambda each: len(each.parts), reverse=True):
            with suppress(OSError):  # the folder holds other files
                folder.rmdir()
        raise
