"""Objectives: what a search brings down, a number an example. Added, scaled and negated: ascent is a minus sign."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional

from inputopt.search.problem import Problem


@dataclass(frozen=True)
class Objective:
    """A number for each example from (outputs, x, problem), [B].

    `outputs` are the logits [B, n], or for an objective with `layers` a dict of those layers' activations [B, ...].
    """

    value: Callable[[Any, Tensor, Problem], Tensor]
    layers: tuple[str, ...] = ()

    def __call__(self, outputs: Any, x: Tensor, problem: Problem) -> Tensor:
        return self.value(outputs, x, problem)

    def __add__(self, other: Objective) -> Objective:
        layers = tuple(dict.fromkeys(self.layers + other.layers))
        return Objective(lambda outputs, x, problem: self(outputs, x, problem) + other(outputs, x, problem), layers)

    def __mul__(self, factor: float) -> Objective:
        return Objective(lambda outputs, x, problem: self(outputs, x, problem) * factor, self.layers)

    __rmul__ = __mul__

    def __neg__(self) -> Objective:
        return self * -1.0

    def __sub__(self, other: Objective) -> Objective:
        return self + -other


def _cross_entropy(outputs: Tensor, x: Tensor, problem: Problem) -> Tensor:
    return functional.cross_entropy(outputs, problem.label, reduction="none")


cross_entropy = Objective(_cross_entropy)
"""The cost of the problem's label: descended to reach it, ascended (negated) to leave it."""


def layer_energy(layers: Sequence[str]) -> Objective:
    """The mean square activation of each named layer, summed: what a dream makes more of."""

    def value(outputs: dict[str, Tensor], x: Tensor, problem: Problem) -> Tensor:
        energies = [outputs[layer].flatten(1).square().mean(1) for layer in layers]
        return sum(energies[1:], energies[0])

    return Objective(value, tuple(layers))
