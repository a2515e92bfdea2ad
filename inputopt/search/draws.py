"""Draws of a network that answers at random, keyed so that the same seed gives the same answers.

A network draws from the process's global generators. For one forward these are seeded by (seed, draw) and then put
back, under a lock, so that nobody else notices. Networks that are not random are never run like this.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch

from inputopt.nets.dispatch import DispatchMode
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


class Drawing(DispatchMode):
    """Sees whether the calling thread draws random numbers from torch inside.

    Attributes:
        seen: whether it has.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen = False

    def __torch_dispatch__(
        self, func: Any, types: Sequence[Any], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self.seen = self.seen or torch.Tag.nondeterministic_seeded in func.tags
        return func(*args, **(kwargs or {}))


@contextmanager
def generators_kept(network_draws: bool) -> Iterator[None]:
    """What a network that draws from the process's global generators takes inside is put back; others touch none."""
    if not network_draws:
        yield
        return
    states = generator_states()
    try:
        yield
    finally:
        put_back(states)


def generator_states() -> tuple[torch.Tensor, Any, Any]:
    """Those of torch's (on the CPU), numpy's and Python's global generators."""
    return torch.get_rng_state(), np.random.get_state(), random.getstate()


def moved_on(states: tuple[torch.Tensor, Any, Any]) -> bool:
    """Whether numpy's or Python's generator has been drawn from since."""
    _, (_, before, place, *_), python = states
    now: Any = np.random.get_state()
    return now[2] != place or not np.array_equal(now[1], before) or random.getstate() != python


def put_back(states: tuple[torch.Tensor, Any, Any]) -> None:
    """Set the global generators to `generator_states` of before."""
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])
    random.setstate(states[2])


def _devices() -> list[int]:
    return list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
