"""Seeding the random numbers drawn in a network's forward, without changing the global generators.

The global generators of torch, numpy and Python are seeded for one forward and restored afterwards, under a lock,
because all threads share them.
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


class _ForwardCount(threading.local):
    """Number of forwards of random networks in the current public call; None outside and in `seeded_generators`."""

    count: int | None = None


_forwards = _ForwardCount()

States = tuple[torch.Tensor, Any, Any]


def generator_states() -> States:
    """Return the states of the global generators of torch (CPU), numpy and Python."""
    return torch.get_rng_state(), np.random.get_state(), random.getstate()


def generators_used(states: States) -> bool:
    """Whether numpy's or Python's generator has been used since `states` were taken."""
    _, (_, keys, position, *_), python = states
    now: Any = np.random.get_state()
    return now[2] != position or not np.array_equal(now[1], keys) or random.getstate() != python


def restore_generators(states: States) -> None:
    """Restore the states returned by `generator_states`."""
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])
    random.setstate(states[2])


@contextmanager
def seeded_generators(key: int) -> Iterator[None]:
    """Context in which the global generators are seeded with `key`; they are restored afterwards."""
    before, _forwards.count = _forwards.count, None
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
        _forwards.count = before


@contextmanager
def numbered_forwards() -> Iterator[None]:
    """Context in which each forward of a random network is seeded with its number; the outermost one counts."""
    if _forwards.count is not None:
        yield
        return
    _forwards.count = 0
    try:
        yield
    finally:
        _forwards.count = None


@contextmanager
def next_number() -> Iterator[None]:
    """Context for one forward of a random network: seeded inside `numbered_forwards`, unseeded elsewhere."""
    if _forwards.count is None:
        yield
        return
    _forwards.count += 1
    with seeded_generators(_forwards.count):
        yield
