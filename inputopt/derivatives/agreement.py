"""Do the ways to a derivative agree, and what does each cost?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from inputopt.derivatives.record import Gradients
from inputopt.derivatives.ways import WAYS, find_way, gradients
from inputopt.nets.mlp import MLP

REFERENCE = "autograd"


@dataclass(frozen=True)
class Agreement:
    """How one way compares with autograd.

    Attributes:
        method: the way.
        layers: the largest disagreement in each layer's weights and biases, relative to the largest derivative there.
        inputs: the same for the derivatives of the inputs.
        seconds: how long it took.
        evaluations: how many times it ran the network; for dual numbers one, as wide as there are variables.
    """

    method: str
    layers: tuple[float, ...]
    inputs: float
    seconds: float
    evaluations: int

    @property
    def largest(self) -> float:
        """The largest disagreement anywhere."""
        return float(np.max([*self.layers, self.inputs]))


def agreements(
    net: MLP, inputs: Any, targets: Any, cost: str = "mse", methods: Sequence[str] = tuple(WAYS)
) -> list[Agreement]:
    """Find all derivatives in each way and compare them with autograd's.

    Raises:
        ValueError, TypeError: as for `gradients`, before any is found.
    """
    if isinstance(methods, str):
        raise TypeError(f"methods must be a list of names, not {methods!r}.")
    for method in methods:
        find_way(method)
    reference = gradients(net, inputs, targets, cost, REFERENCE)
    found = []
    for method in methods:
        started = time.perf_counter()
        other = gradients(net, inputs, targets, cost, method)
        seconds = time.perf_counter() - started
        found.append(
            Agreement(
                method,
                _by_layer(reference, other),
                disagreement([reference.inputs], [other.inputs]),
                seconds,
                other.evaluations,
            )
        )
    return found


def disagreement(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """The largest difference between two lists of tensors, relative to the largest number in the first."""
    largest = max(float(value.abs().max()) for value in one)
    difference = float(np.max([float((value - twin).abs().max()) for value, twin in zip(one, other, strict=True)]))
    return difference / largest if largest > 0 else difference


def _by_layer(one: Gradients, other: Gradients) -> tuple[float, ...]:
    layers = zip(one.weights, one.biases, other.weights, other.biases, strict=True)
    return tuple(disagreement([weight, bias], [weight2, bias2]) for weight, bias, weight2, bias2 in layers)
