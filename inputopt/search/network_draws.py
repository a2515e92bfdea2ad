"""Seeds for forward passes of random networks, derived from (seed, purpose, draw); see `nets.randomness`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from inputopt.nets.randomness import seeded_generators
from inputopt.search.keyed_random import word

Draws = Callable[[int], AbstractContextManager[None]]
"""Draw number -> context in which the network is run."""


def unseeded(draw: int) -> AbstractContextManager[None]:
    """No seeding: for networks that are not random."""
    return nullcontext()


def keyed(seed: int, purpose: int = 0) -> Draws:
    """Seed the network's random numbers by the number of the draw.

    Args:
        seed: seed of the search.
        purpose: draws for one purpose are independent of those for another.
    """

    def draws(draw: int) -> AbstractContextManager[None]:
        return seeded_generators(word(seed, purpose, draw))

    return draws
