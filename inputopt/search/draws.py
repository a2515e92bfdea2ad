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
def generators_kept() -> Iterator[None]:
    """Whatever is drawn inside from the process's global generators is put back, if anything was."""
    before = _states()
    try:
        yield
    finally:
        torch_state, arrays, python = before
        if not torch.equal(torch_state, torch.get_rng_state()):
            torch.set_rng_state(torch_state)
        _, arrays_now, python_now = _states()
        if arrays[2] != arrays_now[2] or not np.array_equal(arrays[1], arrays_now[1]):
            np.random.set_state(arrays)
        if python != python_now:
            random.setstate(python)


def _states() -> tuple[torch.Tensor, Any, Any]:
    arrays: Any = np.random.get_state()
    return torch.get_rng_state(), arrays, random.getstate()


def _devices() -> list[int]:
    return list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
