"""What all remedies of an evaluation share: the network, the inputs and how they may change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from inputopt.nets.frozen import Frozen
from inputopt.search.network_traits import NetworkTraits
from inputopt.search.norms import NormName
from inputopt.search.problem import Problem


@dataclass(frozen=True)
class Threat:
    """A network, and the inputs that attacks may change within a distance.

    Attributes:
        net: the network.
        problem: the inputs, with their region.
        traits: of the network.
        norm: name of the norm.
        seed: random seed.
        levels: as for `AttackConfig`.
        progress: called with each attack's name and the number of its inputs.
    """

    net: Frozen
    problem: Problem
    traits: NetworkTraits
    norm: NormName
    seed: int
    levels: int | None = None
    progress: Callable[[str, int], None] | None = None

    @property
    def reach(self) -> float:
        """How far elements of an input change typically: half of eps in Linf, 5 % of the bounds' width elsewhere."""
        if self.norm == "linf":
            return 0.5 * float(self.problem.region.eps.median())
        return 0.05 * self.problem.region.unit
