"""Limits small computations to one thread, since waking a second thread would cost more than it saves.

The rule is fixed, not measured at run time, so that the same call gives bitwise identical results everywhere.
`torch.set_num_threads` would change the number for the whole process and for other threads that compute meanwhile. The
libraries that torch uses also keep a number for each thread, and only that is set here. Where they are not accessible
(builds of torch without OpenMP) nothing is set, which affects only the run time.
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
"""Floating-point operations of a forward below which one thread is faster than several (measured on two cores)."""

FEW = 1_000_000
"""Elements of a tensor up to which one thread is faster for elementwise arithmetic."""

_NO_CHANGE = nullcontext()

_all_threads: ContextVar[int | None] = ContextVar("all_threads", default=None)


@contextmanager
def threads_for_numbers(count: int) -> Iterator[None]:
    """Context with one thread if tensors have at most `FEW` elements; networks run inside still use all threads."""
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
def shared_threads(count: int) -> Iterator[None]:
    """Context in which the calling thread, one of several workers, and networks that it runs use `count` threads."""
    token = _all_threads.set(count)
    try:
        with _threads(count):
            yield
    finally:
        _all_threads.reset(token)


def threads_for_operations(operations: float) -> AbstractContextManager[None]:
    """Context with one thread if the network's operations are known and below `SMALL`; else with torch's setting."""
    _guard_forks()
    now = torch.get_num_threads()
    count = 1 if 0 < operations < SMALL else _all_threads.get() or now
    return _NO_CHANGE if count == now else _threads(count)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Context in which the calling thread computes with `count` threads."""
    before, limits = torch.get_num_threads(), _limits()  # the query first initialises torch in this thread
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
    """Library functions that set the number of threads for the calling thread only.

    Attributes:
        operations: OpenMP's function.
        products: MKL's function; MKL follows OpenMP unless it was set itself. None in builds without MKL.
    """

    operations: Any
    products: Any

    def set(self, count: int) -> int:
        """Use `count` threads from now on; returns MKL's former own setting, 0 if it had none."""
        self.operations(count)
        return self.set_products(count)

    def set_products(self, count: int) -> int:
        """Use `count` threads in MKL only; returns its former setting."""
        return 0 if self.products is None else int(self.products(count))


@functools.cache
def _guard_forks() -> None:
    """From now on, limit forked child processes to one thread.

    A fork does not copy the other threads of the OpenMP pool, and work distributed to them, also by torch itself, would
    wait for ever.
    """
    if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
        os.register_at_fork(after_in_child=_limit_to_one_thread)


def _limit_to_one_thread() -> None:
    limits = _limits()
    if limits is not None and torch.get_num_threads() > 1:
        limits.set(1)


@functools.cache
def _limits() -> _Limits | None:
    """The functions of this build of torch; None if OpenMP's is not found."""
    folder = Path(torch.__file__).parent / "lib"
    for name in ("libtorch_cpu.so", "libtorch_cpu.dylib", "torch_cpu.dll"):
        if (folder / name).is_file():
            library = ctypes.CDLL(str(folder / name))  # already loaded with its dependencies
            operations = getattr(library, "omp_set_num_threads", None)
            products = getattr(library, "MKL_Set_Num_Threads_Local", None)
            return None if operations is None else _Limits(operations, products)
    return None
