"""How many threads a piece of work deserves: waking a second one costs more than a small piece.

A rule and not a measurement at run time, so that the same call gives the same bits everywhere. `torch.set_num_threads`
would change the number for the whole process, and so for whoever else computes meanwhile; the libraries beneath keep
one for each thread as well, which is all that is set here. Where they cannot be reached (other builds of torch than
with OpenMP) nothing is, which changes nothing but time.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

SMALL = 60e6
"""Floating-point operations of a forward, up to which one thread is quicker than several (measured on two cores)."""

FEW = 1_000_000
"""Numbers in a tensor, up to which one thread is quicker at arithmetic that treats each by itself."""

_NOTHING = nullcontext()

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


def threads_for_operations(operations: float) -> AbstractContextManager[None]:
    """One thread inside if the network's operations are known and few; else as many as torch was set to."""
    _guard_forks()
    now = torch.get_num_threads()
    count = 1 if 0 < operations < SMALL else _all_threads.get() or now
    return _NOTHING if count == now else _threads(count)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """The calling thread computes with so many threads inside."""
    before, limits = torch.get_num_threads(), _limits()  # asking lets torch make up its mind in this thread first
    if count == before or limits is None:
        yield
        return
    products = limits.set(count)
    try:
        yield
    finally:
        limits.set(before)
        limits.set_products(products)


@dataclass(frozen=True)
class _Limits:
    """The calls of the libraries that torch computes with which set a number for the calling thread alone.

    Attributes:
        operations: OpenMP's.
        products: MKL's, which follows OpenMP's unless it was given one of its own; None in builds without it.
    """

    operations: Any
    products: Any

    def set(self, count: int) -> int:
        """So many threads from now on; returns what MKL had of its own, 0 for nothing."""
        self.operations(count)
        return self.set_products(count)

    def set_products(self, count: int) -> int:
        """As many for MKL alone."""
        return 0 if self.products is None else int(self.products(count))


@functools.cache
def _guard_forks() -> None:
    """From now on, a forked process computes with one thread in the thread that goes on in it.

    The other threads of its OpenMP pool are not copied, and whatever is shared out among them, in torch itself too,
    would wait for ever.
    """
    if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
        os.register_at_fork(after_in_child=_one_thread)


def _one_thread() -> None:
    limits = _limits()
    if limits is not None and torch.get_num_threads() > 1:
        limits.set(1)


@functools.cache
def _limits() -> _Limits | None:
    """As this build of torch has them; None if they are not found."""
    folder = Path(torch.__file__).parent / "lib"
    for name in ("libtorch_cpu.so", "libtorch_cpu.dylib", "torch_cpu.dll"):
        if (folder / name).is_file():
            library = ctypes.CDLL(str(folder / name))  # loaded already, with what it depends on
            operations = getattr(library, "omp_set_num_threads", None)
            products = getattr(library, "MKL_Set_Num_Threads_Local", None)
            return None if operations is None else _Limits(operations, products)
    return None
