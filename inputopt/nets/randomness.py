"""Seeding the random numbers that a network draws in its forward, without disturbing the global generators.

torch, numpy and Python have one global generator each. It is seeded for one forward and restored afterwards, under a
lock, since all threads share it.
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
    """Forwards of random networks so far in this public call; None outside of one, and inside `drawn_by`."""

    count: int | None = None


_numbered = _Numbered()

States = tuple[torch.Tensor, Any, Any]


def generator_states() -> States:
    """The states of torch's CPU generator, numpy's and Python's."""
    return torch.get_rng_state(), np.random.get_state(), random.getstate()


def moved_on(states: States) -> bool:
    """Whether numpy's or Python's generator has been drawn from since."""
    _, (_, before, place, *_), python = states
    now: Any = np.random.get_state()
    return now[2] != place or not np.array_equal(now[1], before) or random.getstate() != python


def put_back(states: States) -> None:
    """Restore states that `generator_states` returned."""
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])
    random.setstate(states[2])


@contextmanager
def drawn_by(key: int) -> Iterator[None]:
    """Seed the global generators with `key` inside, and restore them afterwards."""
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
    """Inside, each forward of a random network is seeded with its number, counted from the outermost call."""
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
    """Run one forward of a random network: seeded inside `numbered`, unseeded elsewhere."""
    if _numbered.count is None:
        yield
        return
    _numbered.count += 1
    with drawn_by(_numbered.count):
        yield
