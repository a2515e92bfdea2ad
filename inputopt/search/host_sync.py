"""Looking at values on the host without ever waiting for the device.

On a CPU a look costs nothing. A GPU works behind the host, and every look makes the host wait until it has caught up;
so searches never look there: they take the path that is right whatever the values are, or use values that were copied
a step ago.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Mask = npt.NDArray[np.bool_]

_always_behind: ContextVar[bool] = ContextVar("always_behind", default=False)


@contextmanager
def as_if_asynchronous() -> Iterator[None]:
    """Inside, a CPU is treated like a GPU: for tests, and to count what a GPU would be asked to do."""
    token = _always_behind.set(True)
    try:
        yield
    finally:
        _always_behind.reset(token)


def immediate(tensor: Tensor) -> bool:
    """Whether the host may look at a tensor's values without waiting."""
    return tensor.device.type == "cpu" and not _always_behind.get()


def known_all(mask: Tensor) -> bool:
    """True if every element of a bool tensor [B] is known to be true; False if not, or if it would mean waiting."""
    return immediate(mask) and all(mask.tolist())


def known_none(mask: Tensor) -> bool:
    """True if no element of a bool tensor [B] is true and that is known; False if not, or if it would mean waiting."""
    return immediate(mask) and not any(mask.tolist())


def known_finite(values: Tensor) -> bool:
    """True if the sum of a tensor is finite and that is known; False if not, or if it would mean waiting.

    A sum is finite only if every number is; large numbers may add up to infinity all the same.
    """
    return immediate(values) and math.isfinite(float(values.sum().tolist()))  # type: ignore[arg-type]


def known_finite_each(values: Tensor) -> bool:
    """As `known_finite`, of few numbers [B], which are looked at one by one."""
    return immediate(values) and all(map(math.isfinite, values.tolist()))


class Departures:
    """Tells the host which rows of a batch are finished: at once on a CPU, one step late elsewhere.

    A row that leaves a step late has only cost time; the loop keeps its result from the step at which it finished.
    """

    def __init__(self) -> None:
        self._pending: _Copy | None = None

    def finished(self, done: Tensor) -> Mask | None:
        """The rows known to be finished, bool [B] as the batch now is; None if no row is known to be.

        Args:
            done: bool [B], rows once true stay true.
        """
        if immediate(done):
            rows = done.tolist()  # unlike a view as an array, a list is no tensor operation
            return np.array(rows) if any(rows) else None
        known, self._pending = self._pending, _Copy.begun(done)
        if known is None:
            return None
        mask = known.read()
        return mask if mask.any() else None

    def drop(self, kept: Mask) -> None:
        """The batch goes on with the rows `kept`, bool [B]."""
        if self._pending is not None:
            self._pending = self._pending.of(kept)


@dataclass(frozen=True)
class _Copy:
    """A copy to the host that may still be under way; `kept` are the rows that are left of it."""

    host: Tensor
    ready: Any
    kept: Mask | None = None

    @staticmethod
    def begun(mask: Tensor) -> _Copy:
        if mask.device.type != "cuda":
            return _Copy(mask.clone(), None)  # read a step later
        host = torch.empty(mask.shape, dtype=torch.bool, pin_memory=True)
        host.copy_(mask, non_blocking=True)
        ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
        ready.record()
        return _Copy(host, ready)

    def of(self, kept: Mask) -> _Copy:
        return _Copy(self.host, self.ready, kept if self.kept is None else _within(self.kept, kept))

    def read(self) -> Mask:
        if self.ready is not None:
            self.ready.synchronize()
        mask: Mask = self.host.cpu().numpy()
        return mask if self.kept is None else mask[self.kept]


def _within(outer: Mask, inner: Mask) -> Mask:
    """The rows `inner` of the rows `outer`."""
    both = outer.copy()
    both[outer] = inner
    return both


def positions(mask: Mask, device: torch.device) -> Tensor:
    """The positions of the true elements, int64 on a device, sent there without waiting."""
    return torch.from_numpy(np.flatnonzero(mask)).to(device, non_blocking=True)
