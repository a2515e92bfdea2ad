"""Comparison of the differentiation methods: their agreement with autograd and their run time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast, get_args

import numpy as np
from torch import Tensor

from inputopt.derivatives.gradient_methods import MethodName, find_gradient_method, gradients
from inputopt.derivatives.record import Gradients
from inputopt.nets.costs import CostName
from inputopt.nets.mlp import MLP

REFERENCE: MethodName = "autograd"


@dataclass(frozen=True)
class Agreement:
    """Comparison of one method with autograd.

    Attributes:
        method: the name of the method.
        layers: per layer, the largest difference of its weight and bias gradients, relative to the largest gradient.
        inputs: the same for the input gradients.
        seconds: run time.
        evaluations: number of network evaluations; for dual numbers one, which carries a partial for each variable.
    """

    method: str
    layers: tuple[float, ...]
    inputs: float
    seconds: float
    evaluations: int

    @property
    def largest(self) -> float:
        """The largest relative difference over all layers and inputs."""
        return float(np.max([*self.layers, self.inputs]))


def agreements(
    net: MLP, inputs: Any, targets: Any, cost: str = "mse", methods: Sequence[MethodName] = get_args(MethodName)
) -> list[Agreement]:
    """Compute all gradients by each method and compare them with autograd.

    Raises:
        ValueError, TypeError: as for `gradients`, before anything is computed.
    """
    if isinstance(methods, str):
        raise TypeError(f"methods must be a list of names, not {methods!r}.")
    for method in methods:
        find_gradient_method(method)
    cost = cast(CostName, cost)  # `gradients` checks it
    reference = gradients(net, inputs, targets, cost, REFERENCE)
    results = []
    for method in methods:
        start = time.perf_counter()
        other = gradients(net, inputs, targets, cost, method)
        seconds = time.perf_counter() - start
        results.append(
            Agreement(
                method,
                _by_layer(reference, other),
                disagreement([reference.inputs], [other.inputs]),
                seconds,
                other.evaluations,
            )
        )
    return results


def disagreement(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """Return the largest absolute difference of two lists of tensors, relative to the largest magnitude in `one`."""
    largest = max(float(value.abs().max()) for value in one)
    difference = float(
        np.max([float((value - other_value).abs().max()) for value, other_value in zip(one, other, strict=True)])
    )
    return difference / largest if largest > 0 else difference


def _by_layer(one: Gradients, other: Gradients) -> tuple[float, ...]:
    layers = zip(one.weights, one.biases, other.weights, other.biases, strict=True)
    return tuple(disagreement([weight, bias], [weight2, bias2]) for weight, bias, weight2, bias2 in layers)
