"""Digests of data files and folders, which tell whether a network was trained on what it is tested on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from inputopt.files import reading


def digest_of(path: str | Path) -> str:
    """SHA-256 of a file, or of the names and contents of all files in a folder, as hexadecimal digits.

    Folders that are symbolic links count with the files in them.

    Raises:
        FileError: a file cannot be read.
    """
    path, digest = Path(path), hashlib.sha256()
    with reading(path, "data"):
        if path.is_file():
            digest.update(path.read_bytes())
        for file in sorted(_files(path)) if path.is_dir() else ():
            digest.update(f"{file.relative_to(path).as_posix()}\0".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _files(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """All files below a folder, also through links, except those to a folder `above` it."""
    inside = above | {folder.resolve()}
    for each in folder.iterdir():
        if each.is_dir():
            if each.resolve() not in inside:
                yield from _files(each, inside)
        elif each.is_file():
            yield each
