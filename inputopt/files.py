"""Files are written under a temporary name and renamed, so that nobody ever finds half of one."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class FileError(ValueError):
    """A file that cannot be read, written or trusted; the message says which and why."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` when the block ends well, remove it when not.

    The temporary name keeps the suffix, since image and plot writers choose their format by it.

    Raises:
        FileError: the folder cannot be made or written to.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise FileError(f"Cannot write {path}: {error.strerror}; choose another place.") from error
    temporary = Path(name)
    try:
        yield temporary
        mode = os.umask(0)
        os.umask(mode)
        temporary.chmod(0o666 & ~mode)  # mkstemp makes private files; the result should be an ordinary one
        try:
            temporary.replace(path)
        except OSError as error:
            raise FileError(f"Cannot write {path}: {error.strerror}; choose another place.") from error
    finally:
        temporary.unlink(missing_ok=True)


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
