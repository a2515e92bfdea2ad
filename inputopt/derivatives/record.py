"""What every way to a derivative returns, and what it must offer to be trained with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any, Protocol

import torch
from torch import Tensor

from inputopt.nets.activations import Array
from inputopt.nets.costs import Cost
from inputopt.nets.mlp import MLP


@dataclass(frozen=True)
class Gradients:
    """Every derivative of one batch, averaged over its examples unless said otherwise.

    Attributes:
        cost: the cost.
        weights: dCost/dWeight of each layer, [n_out, n_in].
        biases: dCost/dBias of each layer, [n_out].
        inputs: dCost/dInput, [B, ...]: each example's own cost, not averaged.
        evaluations: how many times the network was run, forwards and backwards counted apart.
    """

    cost: float
    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    inputs: Tensor
    evaluations: int

    @property
    def neuron_errors(self) -> tuple[Tensor, ...]:
        """dCost/dZ of each layer, [n_out]: a bias adds to Z directly, so its derivative is the neuron error."""
        return self.biases


class Way(Protocol):
    """One way to a derivative, bound to a network and a cost.

    `parameters` are the network's own numbers (tensors or arrays that share its memory), weights and biases in turn
    from the first layer on, those with `requires_grad` only; `step` gives the derivatives in the same order, and takes
    `evaluations` runs of the network, forwards and backwards counted apart. `parameters` change in place only.
    """

    parameters: list[Any]
    evaluations: int

    def native(self, inputs: Tensor, targets: Tensor) -> tuple[Any, Any]:
        """A batch in the form that `step` takes, sharing its memory where it can."""

    def step(self, inputs: Any, targets: Any) -> Sequence[Any]:
        """dCost/dParameter, averaged over the batch: all that a training needs; None where there is none."""

    def repeated(self, inputs: Any, targets: Any) -> Callable[[], Sequence[Any]]:
        """`step` on one batch, to be called again and again; what it returns lives until the next call."""

    def report(self, inputs: Tensor, targets: Tensor) -> Gradients:
        """Every derivative, those of the inputs too."""


class BindWay(Protocol):
    """Makes a `Way` for a network and a cost."""

    def __call__(self, net: MLP, cost: Cost) -> Way: ...


def in_turn(weights: Sequence[Any], biases: Sequence[Any]) -> list[Any]:
    """[weights 0, biases 0, weights 1, ...]."""
    return [value for pair in zip(weights, biases, strict=True) for value in pair]


def trainable(net: MLP) -> Callable[[list[Any]], list[Any]]:
    """A function that keeps, of values one per weight and bias in turn, those whose parameter may move."""
    moving = [parameter.requires_grad for parameter in in_turn(net.weights, net.biases)]
    if all(moving):
        return lambda values: values
    return lambda values: list(compress(values, moving))


def as_arrays(inputs: Tensor, targets: Tensor) -> tuple[Array, Array]:
    """A batch as arrays, the inputs flattened to [B, n]."""
    return inputs.flatten(1).numpy(), targets.numpy()


def to_gradients(
    cost: float, weights: Sequence[Array], biases: Sequence[Array], d_inputs: Array, inputs: Tensor, evaluations: int
) -> Gradients:
    """Arrays as the tensors of a `Gradients`, the input derivatives in the shape of the inputs."""
    return Gradients(
        float(cost),
        tuple(torch.from_numpy(weight) for weight in weights),
        tuple(torch.from_numpy(bias) for bias in biases),
        torch.from_numpy(d_inputs).reshape(inputs.shape),
        evaluations,
    )
