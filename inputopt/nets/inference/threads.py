"""How many threads a piece of work deserves: waking a second one costs more than a small piece.

A rule and not a measurement at run time, so that the same call gives the same bits everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

SMALL = 60e6
"""Floating-point operations of a forward, up to which one thread is quicker than several (measured on two cores)."""

FEW = 1_000_000
"""Numbers in a tensor, up to which one thread is quicker at arithmetic that treats each by itself."""

_all_threads: ContextVar[int | None] = ContextVar("all_threads", default=None)


@contextmanager
def threads_for_numbers(count: int) -> Iterator[None]:
    """One thread inside if tensors hold no more than `FEW` numbers; the networks run there still get theirs."""
    if count > FEW:
        yield
        return
    token = _all_threads.set(_all_threads.get() or torch.get_num_threads())
    try:
        with _threads(1):
            yield
    finally:
        _all_threads.reset(token)


@contextmanager
def threads_for_operations(operations: float) -> Iterator[None]:
    """One thread inside if the network's operations are known and few; else as many as torch was set to."""
    with _threads(1 if 0 < operations < SMALL else _all_threads.get() or torch.get_num_threads()):
        yield


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    if count == before:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
