"""Read tensor values on the host without synchronising with the device.

On a CPU reading a value is free. A GPU runs asynchronously, and reading a value blocks the host until the GPU has
caught up. Searches therefore never read values there: they take the code path that is right for all values, or use
values copied one step earlier.
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
    """Context in which a CPU is treated like a GPU: for tests, and to count the operations that a GPU would run."""
    token = _always_behind.set(True)
    try:
        yield
    finally:
        _always_behind.reset(token)


def immediate(tensor: Tensor) -> bool:
    """Whether the host can read a tensor's values without synchronising."""
    return tensor.device.type == "cpu" and not _always_behind.get()


def known_all(mask: Tensor) -> bool:
    """True if all elements of a bool tensor [B] are true; False if not, or if reading it would synchronise."""
    return immediate(mask) and all(mask.tolist())


def known_none(mask: Tensor) -> bool:
    """True if no element of a bool tensor [B] is true; False if one is, or if reading it would synchronise."""
    return immediate(mask) and not any(mask.tolist())


def known_finite(values: Tensor) -> bool:
    """True if the sum of a tensor is finite; False if not, or if reading it would synchronise.

    A finite sum means that all elements are finite. The converse fails: large finite elements may sum to infinity.
    """
    return immediate(values) and math.isfinite(float(values.sum().tolist()))  # type: ignore[arg-type]


def known_finite_each(values: Tensor) -> bool:
    """As `known_finite` for short tensors [B]: tests each value instead of their sum, which may overflow."""
    return immediate(values) and all(map(math.isfinite, values.tolist()))


class Departures:
    """Reports to the host which rows of a batch are finished: at once on a CPU, one step late on other devices.

    Dropping a row one step late only costs time: the loop keeps its result from the step at which it finished.
    """

    def __init__(self) -> None:
        self._pending: _Copy | None = None

    def finished(self, done: Tensor) -> Mask | None:
        """The rows known to be finished, bool [B] in the current batch; None if there are none.

        Args:
            done: bool [B]; a row that is true must stay true in later calls.
        """
        if immediate(done):
            rows = done.tolist()  # tolist(), unlike numpy(), is not a tensor operation
            return np.array(rows) if any(rows) else None
        known, self._pending = self._pending, _Copy.start(done)
        if known is None:
            return None
        mask = known.read()
        return mask if mask.any() else None

    def drop(self, kept: Mask) -> None:
        """Record that the batch was reduced to the rows `kept`, bool [B]."""
        if self._pending is not None:
            self._pending = self._pending.of(kept)


@dataclass(frozen=True)
class _Copy:
    """A copy to the host that may not be complete yet; `kept` are the rows still in the batch."""

    host: Tensor
    ready: Any
    kept: Mask | None = None

    @staticmethod
    def start(mask: Tensor) -> _Copy:
        if mask.device.type != "cuda":
            return _Copy(mask.clone(), None)  # read one step later
        host = torch.empty(mask.shape, dtype=torch.bool, pin_memory=True)
        host.copy_(mask, non_blocking=True)
        ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
        ready.record()
        return _Copy(host, ready)

    def of(self, kept: Mask) -> _Copy:
        return _Copy(self.host, self.ready, kept if self.kept is None else _compose(self.kept, kept))

    def read(self) -> Mask:
        if self.ready is not None:
            self.ready.synchronize()
        mask: Mask = self.host.cpu().numpy()
        return mask if self.kept is None else mask[self.kept]


def _compose(outer: Mask, inner: Mask) -> Mask:
    """Compose two masks: `inner` selects among the true rows of `outer`."""
    both = outer.copy()
    both[outer] = inner
    return both


def positions(mask: Mask, device: torch.device) -> Tensor:
    """Indices of the true elements, int64, copied to a device without synchronising."""
    return torch.from_numpy(np.flatnonzero(mask)).to(device, non_blocking=True)
