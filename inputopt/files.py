"""Reading with clear errors, and atomic writing: files are written under a temporary name and renamed."""

from __future__ import annotations

import errno
import json
import os
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from inputopt.errors import one_line, out_of_memory

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class FileError(ValueError):
    """A file that cannot be read or written, or is invalid; the message names the file and the reason."""


@contextmanager
def reading(path: str | Path, kind: str) -> Iterator[None]:
    """Context for reading a file with another library: any exception becomes a one-sentence `FileError`.

    Every exception is converted, because damaged files raise more errors than the reader documents; do not raise
    unrelated errors inside.

    Args:
        path: path of the file.
        kind: what the file must be, such as "an image"; used in the message.

    Raises:
        FileError: the file is missing, damaged, of another kind, cannot be opened, or does not fit into memory.
    """
    try:
        yield
    except FileError:
        raise
    except FileNotFoundError as error:
        raise FileError(f"There is no file {path}; check the name.") from error
    except Exception as error:
        if out_of_memory(error):
            raise FileError(f"{path} does not fit into memory; use a smaller file.") from error
        raise FileError(f"{path} cannot be read as {kind} ({one_line(error)}).") from error


def check_writable(path: str | Path, remedy: str = "choose another path") -> Path:
    """Return `path` if it can be written to, counting folders that still have to be made; nothing is created.

    Raises:
        FileError: the path is a folder or lies below a file, or its folder cannot be written to.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        folder = path.absolute().parent
        while not folder.exists():
            folder = folder.parent
        with tempfile.TemporaryFile(dir=folder):  # os.access would not detect a read-only disk
            pass
    except (OSError, ValueError) as error:
        raise FileError(f"Cannot write {path}: {_reason(error)}; {remedy}.") from error
    return path


_written: ContextVar[list[Path]] = ContextVar("written")
_overwritten: ContextVar[list[Path]] = ContextVar("overwritten")


@contextmanager
def noting_files() -> Iterator[None]:
    """Context in which `noted_files` and `overwritten_files` give the files that `replacing` has written."""
    tokens = (_written, _written.set([])), (_overwritten, _overwritten.set([]))
    try:
        yield
    finally:
        for variable, token in tokens:
            variable.reset(token)


def noted_files() -> list[Path]:
    """The files written since the innermost `noting_files` began, in order; empty outside of it."""
    return list(_written.get([]))


def overwritten_files() -> list[Path]:
    """Those of `noted_files` that existed before."""
    return list(_overwritten.get([]))


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Context that yields a temporary path next to `path`, renamed to `path` on success and removed on an error.

    The temporary name keeps the suffix, because image and plot writers choose their format by it. An existing file is
    unchanged until the new one is complete.

    Raises:
        FileError: the folder cannot be made or written to, or the disk is full.
    """
    path = Path(path)
    temporary = path.parent / f".{path.stem}.{secrets.token_hex(8)}{path.suffix}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(0o666, exist_ok=False)  # minus the umask; `tempfile` would make a file only the owner can read
        mode = temporary.stat().st_mode
        yield temporary
        if temporary.stat().st_mode != mode:  # safetensors replaces the file by one that only the owner can read
            temporary.chmod(mode)
        if path.exists() and path not in _written.get([]):
            _overwritten.get([]).append(path)
        temporary.replace(path)
        _written.get([]).append(path)
    except (OSError, SafetensorError) as error:
        raise FileError(f"Cannot write {path}: {_reason(error)}; choose another path.") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else one_line(error)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


_command: ContextVar[tuple[str, ...] | None] = ContextVar("command", default=None)


@contextmanager
def storing_command(arguments: Sequence[str]) -> Iterator[None]:
    """Context in which `stored_command` gives these arguments, and `save_figure` stores them in PNG files."""
    token = _command.set(tuple(arguments))
    try:
        yield
    finally:
        _command.reset(token)


def stored_command() -> tuple[str, ...] | None:
    """The arguments of the command line that is running; None in Python."""
    return _command.get()


def blank_figure(**options: Any) -> Figure:
    """Return an empty matplotlib figure; matplotlib is imported only here, because its import takes half a second."""
    from matplotlib.figure import Figure

    return Figure(**options)


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a matplotlib figure atomically in the format of the suffix; a PNG holds the command (`storing_command`)."""
    arguments = stored_command()
    command = {} if arguments is None else {"inputopt": json.dumps({"made by": "command", "arguments": arguments})}
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100, metadata=command if Path(path).suffix.lower() == ".png" else None)
