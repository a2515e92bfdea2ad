"""Results, progress bars, tables and output paths shared by the commands: results on stdout, progress on stderr."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from tqdm import tqdm

from inputopt.cli.earlier_files import RECORD, replace_earlier
from inputopt.cli.progress_lines import ProgressLines
from inputopt.files import FileError, check_writable, noted_files, overwritten_files, write_text
from inputopt.training.train import Progress

SOME = 4
"""Number of overwritten files, or of inputs, that are named."""

_bars_off: ContextVar[bool] = ContextVar("bars_off", default=False)


@contextmanager
def without_bars(off: bool) -> Iterator[None]:
    """Context in which `stderr_bar` shows nothing if `off`."""
    token = _bars_off.set(off)
    try:
        yield
    finally:
        _bars_off.reset(token)


def stderr_bar(**settings: Any) -> Any:
    """A tqdm bar on stderr with the time left, or lines where stderr is not a terminal; nothing with --quiet."""
    if not _bars_off.get() and not sys.stderr.isatty():
        return ProgressLines(**settings)
    return tqdm(**{"leave": False, "disable": _bars_off.get()} | settings)


def finish(
    options: argparse.Namespace,
    text: str,
    values: Mapping[str, Any],
    files: Sequence[Path] = (),
    keep_earlier: bool = False,
) -> None:
    """Print a command's results: as JSON with --json, else `text` and, without --quiet, the paths of written files.

    A command without a default for --out also writes the values to `VERB.json` if --out is given. Files that an earlier
    run of the command wrote into its folder, and that this one did not, are removed, unless `keep_earlier`, for
    commands whose files are named after what they show.
    """
    written = [*files]
    plain = dict(values)
    if options.writes_values and options.out is not None:
        path = Path(options.out) / f"{options.command}.json"
        write_text(path, json.dumps(plain, indent=2) + "\n")
        written.append(path)
    replaced = overwrote = ""
    if options.out is not None and not keep_earlier:
        replaced = str(replace_earlier(options.command, Path(options.out), noted_files()))
    if not replaced and (over := [path.name for path in overwritten_files() if path.name != RECORD]):
        overwrote = f"overwrote earlier files: {some_of(over)}"
    if options.json:
        if overwrote and not options.quiet:
            print(overwrote, file=sys.stderr)
        print(json.dumps(plain | {"files": [str(path) for path in written]}, indent=2))
        return
    print(text)
    if not options.quiet:
        wrote(*written)
        if replaced or overwrote:
            print(replaced or overwrote)


@contextmanager
def attack_bar(attacks: int) -> Iterator[Callable[..., None]]:
    """Show the attack that runs and the time left; the callback is called with the name of each of about `attacks`."""
    with stderr_bar(total=attacks, unit="attack") as bar:
        finished = 0

        def progress(name: str, remaining: int | None = None) -> None:
            nonlocal finished
            bar.set_description(name if remaining is None else f"{name}, {remaining} remaining", refresh=False)
            bar.total = max(bar.total, finished + 1)  # an evaluation adds attacks where gradients do not lead
            bar.update(finished - bar.n)
            bar.refresh()
            finished += 1

        yield progress


@contextmanager
def training_bar(title: str, trainings: int) -> Iterator[Callable[[Progress], None]]:
    """Show the progress of a training run in a bar on stderr."""
    with stderr_bar(total=trainings, desc=title, unit="update", unit_scale=True) as bar:

        def progress(now: Progress) -> None:
            bar.set_postfix_str(f"error {now.error:.4g}", refresh=False)
            bar.update(now.index - bar.n)

        yield progress


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Text in aligned columns, the first `left` of them left-aligned and the others right-aligned.

    >>> print(table(["a", "b"], [["x", "1"], ["yy", "22"]]))
    a    b
    x    1
    yy  22
    """
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    lines = []
    for row in [heads, *rows]:
        cells = [
            cell.ljust(width) if column < left else cell.rjust(width)
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


def some_of(names: Sequence[str]) -> str:
    """The first few names, and how many more there are.

    >>> some_of(["a", "b", "c", "d", "e", "f"])
    'a, b, c, d and 2 more'
    """
    more = f" and {len(names) - SOME} more" if len(names) > SOME else ""
    return f"{', '.join(names[:SOME])}{more}"


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
