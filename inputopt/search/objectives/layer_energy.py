"""Mean square activation of layers: the objective of DeepDream (Mordvintsev et al., 2015)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from inputopt.search.objectives.objective import Objective
from inputopt.search.problem import Problem


def layer_energy(layers: Sequence[str]) -> Objective:
    """The mean square activation of each named layer, summed over layers: the quantity that DeepDream maximises."""

    if not layers:
        raise ValueError("layers must name at least one layer.")

    def value(outputs: dict[str, Tensor], x: Tensor, problem: Problem) -> Tensor:
        energies = [outputs[layer].flatten(1).square().mean(1) for layer in layers]
        return sum(energies[1:], energies[0])

    return Objective(value, tuple(layers), logits=False)
