"""A network to run attacks on: its predictions are those of the original, and its gradient is usable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from inputopt.nets.frozen import Frozen
from inputopt.nets.gradient_rules.gradient_repair import GradientRepair, repaired
from inputopt.search.canvases.canvas import Canvas
from inputopt.search.network_traits import NetworkTraits


@dataclass(frozen=True)
class AttackNetwork:
    """A network that attacks are run on instead of the original.

    Attributes:
        name: what was changed, as a noun phrase for a report.
        net: the network; its predicted class is the original's for every input.
        eot_samples: random draws to average over.
        changed: whether it differs from the original.
        taps: numbers of the inner tensors whose mean its outputs are; empty if they are the original's outputs, None
            if they are those of another network.
        repair: the repair of the gradient; None if it is none.
        canvas: maps the points of a search to inputs; None if they are inputs.
    """

    name: str
    net: Frozen
    eot_samples: int = 1
    changed: bool = True
    taps: tuple[int, ...] | None = ()
    repair: GradientRepair | None = None
    canvas: Canvas | None = None

    @property
    def logits(self) -> bool:
        """Whether its outputs are logits of another kind than the original's outputs."""
        return self.taps != ()


def with_repair(net: Frozen, name: str, repair: GradientRepair) -> AttackNetwork:
    """The network with repaired gradients; without any repair, the network itself."""
    if repair == GradientRepair():
        return AttackNetwork(name, net, changed=False, repair=repair)
    repaired_net = Frozen(repaired(net.runner, repair), bounds=net.bounds)
    return AttackNetwork(name, repaired_net, taps=repair.output_taps, repair=repair)


def with_forward(
    net: Frozen, name: str, forward: Callable[[Tensor], Tensor], taps: tuple[int, ...] | None = ()
) -> AttackNetwork:
    """A function [B, ...] -> [B, n] in place of the network; `taps`: as for `AttackNetwork`."""
    return AttackNetwork(name, Frozen(forward, bounds=net.bounds), taps=taps)


def traits_of(network: AttackNetwork, traits: NetworkTraits) -> NetworkTraits:
    """The traits of an attack network, given those of the original."""
    return replace(traits, probabilities=False, exponent=0) if network.logits else traits
