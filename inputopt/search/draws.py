"""Seeds for the forwards of a random network in a search, derived from (seed, purpose, draw); see `nets.randomness`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from inputopt.nets.dispatch import DispatchMode
from inputopt.nets.randomness import drawn_by, generator_states, put_back
from inputopt.search.chance import word

Draws = Callable[[int], AbstractContextManager[None]]
"""(number of the draw) -> a context in which the network is run."""


def as_it_comes(draw: int) -> AbstractContextManager[None]:
    """No keys: for networks that are not random."""
    return nullcontext()


def keyed(seed: int, purpose: int = 0) -> Draws:
    """Every draw by its own key.

    Args:
        seed: of the search.
        purpose: draws for one purpose are independent of those for another.
    """

    def draws(draw: int) -> AbstractContextManager[None]:
        return drawn_by(word(seed, purpose, draw))

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
    """Restore the global generators afterwards if the network draws from them (`network_draws`)."""
    if not network_draws:
        yield
        return
    states = generator_states()
    try:
        yield
    finally:
        put_back(states)
