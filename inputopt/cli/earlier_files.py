"""Removal of the files that an earlier run of the same verb wrote into a folder and that the new run does not write.

A hidden file in the folder lists what each verb wrote last, with size and time of modification. Only listed files that
have not been changed since are removed, so that nothing is lost that inputopt did not write.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from inputopt.files import write_text

RECORD = ".inputopt.json"
"""Name of the hidden file."""

Stamps = dict[str, list[int]]
"""[size in bytes, time of modification in nanoseconds] of each file, by its path in the folder with forward slashes."""


@dataclass(frozen=True)
class Replaced:
    """What became of the files of the earlier run.

    Attributes:
        overwritten: number of files that the new run wrote again.
        removed: number of files that were removed.
    """

    overwritten: int
    removed: int

    def __str__(self) -> str:
        """A line for the terminal; empty if there was no earlier run."""
        if not self.overwritten and not self.removed:
            return ""
        gone = ""
        if self.removed:
            gone = f", and the {self.removed} others were removed" if self.removed > 1 else ", and another was removed"
        wrote = "1 file was" if self.overwritten == 1 else f"{self.overwritten} files were"
        return f"replaced the results of an earlier run: {wrote} overwritten{gone}"


def replace_earlier(verb: str, folder: Path, written: Iterable[Path]) -> Replaced:
    """Remove what the earlier run of `verb` wrote into `folder` beyond `written`, and record the files of this run.

    Raises:
        FileError: the record cannot be written.
    """
    stamps = _stamps(folder, written)
    record = _read(folder)
    earlier = record.pop(verb, {})
    others = {name for files in record.values() for name in files}
    stale = [
        name
        for name, stamp in earlier.items()
        if name not in stamps and name not in others and _stamp(folder, name) == stamp
    ]
    for name in stale:
        _remove(folder, name)
    if stamps:
        write_text(folder / RECORD, json.dumps({**record, verb: stamps}, indent=1) + "\n")
    return Replaced(len(earlier.keys() & stamps), len(stale))


def add_to_record(verb: str, folder: Path, written: Iterable[Path]) -> None:
    """Record the files of a run that was interrupted, beside those of the earlier run, which are kept."""
    stamps, record = _stamps(folder, written), _read(folder)
    if stamps:
        files = {**record.get(verb, {}), **stamps}
        write_text(folder / RECORD, json.dumps({**record, verb: files}, indent=1) + "\n")


def _stamps(folder: Path, written: Iterable[Path]) -> Stamps:
    """The stamps of those of the written files that are in the folder."""
    root = folder.resolve()
    names = {path.resolve().relative_to(root).as_posix() for path in written if path.resolve().is_relative_to(root)}
    found = {name: _stamp(folder, name) for name in sorted(names - {RECORD})}
    return {name: stamp for name, stamp in found.items() if stamp is not None}


def _stamp(folder: Path, name: str) -> list[int] | None:
    """Size and time of modification of a regular file inside the folder; None if it is none."""
    path, inner = folder / name, PurePosixPath(name)
    if inner.is_absolute() or ".." in inner.parts or path.is_symlink() or not path.is_file():
        return None
    if not path.resolve().is_relative_to(folder.resolve()):  # through a link to another folder
        return None
    state = path.stat()
    return [state.st_size, state.st_mtime_ns]


def _read(folder: Path) -> dict[str, Stamps]:
    """What each verb wrote last; nothing if the record is missing or damaged."""
    with suppress(OSError, ValueError):
        found = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if isinstance(found, dict) and all(isinstance(files, dict) for files in found.values()):
            return found
    return {}


def _remove(folder: Path, name: str) -> None:
    """Remove a file, and its folders inside `folder` that are empty then."""
    with suppress(OSError):
        (folder / name).unlink()
        for parent in list(PurePosixPath(name).parents)[:-1]:
            (folder / parent).rmdir()
