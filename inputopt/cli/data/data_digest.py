"""Digests of data files and folders, which tell whether a network was trained on what it is tested on."""

from __future__ import annotations

import hashlib
from pathlib import Path

from inputopt.files import reading


def digest_of(path: str | Path) -> str:
    """SHA-256 of a file, or of the names and contents of all files in a folder, as hexadecimal digits.

    Raises:
        FileError: a file cannot be read.
    """
    path, digest = Path(path), hashlib.sha256()
    with reading(path, "data"):
        if path.is_file():
            digest.update(path.read_bytes())
        for file in sorted(each for each in path.rglob("*") if each.is_file()):
            digest.update(f"{file.relative_to(path).as_posix()}\0".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
