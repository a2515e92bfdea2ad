"""Draws of a network that answers at random, keyed so that the same seed gives the same answers.

A network draws from the process's global generators. For one forward these are seeded by (seed, draw) and then put
back, under a lock, so that nobody else notices. Networks that are not random are never run like this.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch

from inputopt.search.chance import word

Draws = Callable[[int], AbstractContextManager[None]]
"""(number of the draw) -> a context in which the network is run."""

_lock = threading.RLock()


def as_it_comes(draw: int) -> AbstractContextManager[None]:
    """No keys: for networks that are not random."""
    return nullcontext()


def keyed(seed: int, purpose: int = 0) -> Draws:
    """Every draw by its own key.

    Args:
        seed: of the search.
        purpose: draws for one purpose are independent of those for another.
    """

    @contextmanager
    def draws(draw: int) -> Iterator[None]:
        key = word(seed, purpose, draw)
        with _lock, torch.random.fork_rng(_devices()):
            python, arrays = random.getstate(), np.random.get_state()
            try:
                torch.manual_seed(key)
                random.seed(key)
                np.random.seed(key % 2**32)
                yield
            finally:
                random.setstate(python)
                np.random.set_state(arrays)

    return draws


@contextmanager
def generators_kept() -> Iterator[Callable[[], bool]]:
    """Whatever is drawn inside from the process's global generators is put back; gives whether anything was, so far."""
    before = _states()
    try:
        yield lambda: any(_differ(before))
    finally:
        from_torch, from_numpy, from_python = _differ(before)
        if from_torch:
            torch.set_rng_state(before[0])
        if from_numpy:
            np.random.set_state(before[1])
        if from_python:
            random.setstate(before[2])


def _differ(before: tuple[torch.Tensor, Any, Any]) -> tuple[bool, bool, bool]:
    """Which of torch's, numpy's and Python's generators have moved on."""
    torch_state, (_, words, place, *_), python = _states()
    return (
        not torch.equal(before[0], torch_state),
        before[1][2] != place or not np.array_equal(before[1][1], words),
        before[2] != python,
    )


def _states() -> tuple[torch.Tensor, Any, Any]:
    arrays: Any = np.random.get_state()
    return torch.get_rng_state(), arrays, random.getstate()


def _devices() -> list[int]:
    return list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
