"""One-line error messages, near-miss suggestions, and detection of out-of-memory errors; imports without torch."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable

MAX_NAMES = 20
"""The largest number of names listed in an error message."""

LONGEST = 500
"""The largest number of characters of a message that is shown."""


def one_line(error: BaseException) -> str:
    """Return the first line of an error's message, with the next if it ends in a colon; its class if it is empty.

    >>> one_line(RuntimeError("Error(s) in loading state_dict:\\n\\tMissing key: bias.\\n\\tMore of it"))
    'Error(s) in loading state_dict: Missing key: bias.'
    """
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    text = lines.pop(0) if lines else type(error).__name__
    while lines and text.endswith(":"):
        text = f"{text} {lines.pop(0)}"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that Python, numpy or torch could not allocate memory, on any device."""
    torch = sys.modules.get("torch")  # without torch its errors cannot occur
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    signs = ("can't allocate memory", "out of memory", "Storage size calculation overflowed")
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)


def one_of(what: str, value: object, allowed: Iterable[str]) -> str:
    """Return `value` if it is one of `allowed`; otherwise raise a ValueError that suggests the nearest name."""
    names = list(allowed)
    if isinstance(value, str) and value in names:
        return value
    near = difflib.get_close_matches(str(value), names, n=1)
    some = ", ".join(names[:MAX_NAMES]) + (f" and {len(names) - MAX_NAMES} others" if len(names) > MAX_NAMES else "")
    hint = f"did you mean {near[0]!r}?" if near else f"choose one of {some}."
    raise ValueError(f"Unknown {what} {value!r}; {hint}")
