"""Random numbers that a network draws by itself: within the library they come from keys, and the generators stay.

torch, numpy and Python have one generator each for the whole process, so that drawing by a key takes a lock.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

_lock = threading.RLock()


class _Numbered(threading.local):
    """How many forwards of random networks a call of the library has made; None outside, or where others give keys."""

    count: int | None = None


_numbered = _Numbered()

States = tuple[torch.Tensor, Any, Any]


def generator_states() -> States:
    """Those of torch's (on the CPU), numpy's and Python's generators."""
    return torch.get_rng_state(), np.random.get_state(), random.getstate()


def moved_on(states: States) -> bool:
    """Whether numpy's or Python's generator has been drawn from since."""
    _, (_, before, place, *_), python = states
    now: Any = np.random.get_state()
    return now[2] != place or not np.array_equal(now[1], before) or random.getstate() != python


def put_back(states: States) -> None:
    """Set the generators to `generator_states` of before."""
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])
    random.setstate(states[2])


@contextmanager
def drawn_by(key: int) -> Iterator[None]:
    """Inside, whatever is drawn follows from the key; afterwards the generators are where they were."""
    before, _numbered.count = _numbered.count, None
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    try:
        with _lock, torch.random.fork_rng(devices):
            python, arrays = random.getstate(), np.random.get_state()
            try:
                torch.manual_seed(key)
                random.seed(key)
                np.random.seed(key % 2**32)
                yield
            finally:
                random.setstate(python)
                np.random.set_state(arrays)
    finally:
        _numbered.count = before


@contextmanager
def numbered() -> Iterator[None]:
    """Inside, the forwards of random networks are numbered, and each draws by its number."""
    if _numbered.count is not None:
        yield
        return
    _numbered.count = 0
    try:
        yield
    finally:
        _numbered.count = None


@contextmanager
def next_number() -> Iterator[None]:
    """One forward of a random network: by its number inside a call of the library, as it comes elsewhere."""
    if _numbered.count is None:
        yield
        return
    _numbered.count += 1
    with drawn_by(_numbered.count):
        yield
