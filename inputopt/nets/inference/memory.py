"""Memory that one step has freed and the next will want: it stays with the process in between."""

from __future__ import annotations

import functools

import torch

ADAPTS_TO = 2**25 - 2**16
"""Bytes. The GNU C library keeps up to twice the size of the largest block that was ever freed, of up to 32 MiB."""


@functools.cache
def keep_freed() -> None:
    """Have the C library hold on to up to 64 MB of what is freed, as it does by itself once a block this large was.

    A step of a search frees all that its derivative needed, and the next one wants it again; given back to the system
    in between it is cleared page by page, which is an eighth of a dream's time. The block is never written to.
    Elsewhere than on glibc nothing happens.
    """
    torch.empty(ADAPTS_TO, dtype=torch.uint8, device="cpu")
