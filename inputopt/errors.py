"""One-line error messages, and detection of out-of-memory errors."""

from __future__ import annotations

import torch

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
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    signs = ("can't allocate memory", "out of memory", "Storage size calculation overflowed")
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)
