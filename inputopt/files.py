"""Files are written under a temporary name and renamed, so that nobody ever finds half of one."""

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
    """A file that cannot be read, written or trusted; the message says which and why."""


@contextmanager
def reading(path: str | Path, kind: str) -> Iterator[None]:
    """Inside, a file is read by a foreign reader: whatever that raises becomes one sentence about the file.

    A damaged file fails in more ways than its reader's documentation lists, so that every exception is meant; those of
    a caller's own must not be raised inside.

    Args:
        path: of the file.
        kind: what it must be, such as "an image".

    Raises:
        FileError: it is missing, damaged, of another kind, not to be opened, or larger than the memory.
    """
    try:
        yield
    except FileError:
        raise
    except FileNotFoundError as error:
        raise FileError(f"There is no file {path}; check the name.") from error
    except Exception as error:
        if out_of_memory(error):
            raise FileError(f"{path} does not fit into the memory; make it smaller.") from error
        raise FileError(f"{path} cannot be read as {kind} ({one_line(error)}).") from error


def check_writable(path: str | Path, remedy: str = "choose another place") -> Path:
    """`path`, if a file of that name can be written, with the folders that it still needs; nothing is left behind.

    Raises:
        FileError: it is a folder, stands below a file, or its folder cannot be written to.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        folder = path.absolute().parent
        while not folder.exists():
            folder = folder.parent
        with tempfile.TemporaryFile(dir=folder):  # has no name; asking for rights would not find a read-only disk
            pass
    except (OSError, ValueError) as error:
        raise FileError(f"Cannot write {path}: {_reason(error)}; {remedy}.") from error
    return path


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` when the block ends well, remove it when not.

    The temporary name keeps the suffix, since image and plot writers choose their format by it. An existing file stays
    as it was until the new one is whole.

    Raises:
        FileError: the folder cannot be made or written to, or the disk is full.
    """
    path = Path(path)
    temporary = path.parent / f".{path.stem}.{secrets.token_hex(8)}{path.suffix}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(0o666, exist_ok=False)  # what the process masks is off that; `tempfile` makes private files
        yield temporary
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        raise FileError(f"Cannot write {path}: {_reason(error)}; choose another place.") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else one_line(error)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


_command: ContextVar[tuple[str, ...] | None] = ContextVar("command", default=None)


@contextmanager
def typed(arguments: Sequence[str]) -> Iterator[None]:
    """Inside, figures carry the command line that they are made by."""
    token = _command.set(tuple(arguments))
    try:
        yield
    finally:
        _command.reset(token)


def blank_figure(**options: Any) -> Figure:
    """An empty figure: matplotlib is loaded when something is drawn, and costs nobody else its half a second."""
    from matplotlib.figure import Figure

    return Figure(**options)


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a matplotlib figure in the format of the suffix, whole or not at all; a PNG carries the command typed."""
    arguments = _command.get()
    recipe = {} if arguments is None else {"inputopt": json.dumps({"made by": "command", "arguments": arguments})}
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100, metadata=recipe if Path(path).suffix.lower() == ".png" else None)
