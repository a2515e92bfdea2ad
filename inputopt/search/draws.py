"""Draws of a network that answers at random, keyed so that the same seed gives the same answers.

A network draws from the process's global generators. For one forward these are seeded by (seed, draw) and then put
back, under a lock, so that nobody else notices. Networks that are not random are never run like this.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

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


def _devices() -> list[int]:
    return list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
