"""The result type and the interface of the differentiation methods, and shared helpers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from inputopt.files import blank_figure
from inputopt.nets.activations import Array
from inputopt.nets.costs import Cost
from inputopt.nets.mlp import MLP
from inputopt.summaries import Summarised, Summary, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class Gradients(Summarised):
    """All gradients of the cost on one batch, averaged over its examples unless stated otherwise.

    Attributes:
        cost: the mean cost.
        weights: dCost/dWeight of each layer, [n_out, n_in].
        biases: dCost/dBias of each layer, [n_out].
        inputs: dCost/dInput [B, ...] of the cost of each example, not averaged.
        evaluations: number of network evaluations; a forward and a backward count as two.
    """

    cost: float
    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    inputs: Tensor
    evaluations: int

    @property
    def neuron_errors(self) -> tuple[Tensor, ...]:
        """dCost/dZ of each layer, [n_out], which equals dCost/dBias because the bias is added to Z."""
        return self.biases

    @property
    def norms(self) -> Tensor:
        """L2 norm of the gradient by all parameters of each layer, from the input to the output, [L]."""
        pairs = zip(self.weights, self.biases, strict=True)
        return torch.stack([torch.cat([weight.flatten(), bias]).norm() for weight, bias in pairs])

    def figure(self) -> Figure:
        """A plot of `norms`, on a logarithmic axis: gradients that vanish or explode show as a slope."""
        figure = blank_figure(figsize=(max(4.0, 1.5 + 0.5 * len(self.norms)), 3.2), layout="constrained")
        axes = figure.add_subplot(xlabel="layer, from the input", ylabel="gradient norm", title="Gradient by layer")
        axes.semilogy(range(1, len(self.norms) + 1), self.norms.tolist(), "o-")
        axes.set_xticks(range(1, len(self.norms) + 1))
        axes.grid(alpha=0.3)
        return figure

    def _summary(self, images: bool) -> Summary:
        norms = self.norms.tolist()
        facts = [
            ("cost", f"{self.cost:.6g}"),
            ("norm by layer:", ", ".join(f"{norm:.3g}" for norm in norms)),
            ("inputs", str(list(self.inputs.shape))),
            ("", f"{self.evaluations:,} evaluations"),
        ]
        rows = [
            [str(index + 1), str(list(weight.shape)), str(list(bias.shape)), f"{norm:.6g}"]
            for index, (weight, bias, norm) in enumerate(zip(self.weights, self.biases, norms, strict=True))
        ]
        return Summary("Gradients", facts, tables=[Table(["layer", "weights", "biases", "norm"], rows)])


class GradientMethod(Protocol):
    """A differentiation method bound to a network and a cost.

    Attributes:
        parameters: tensors or arrays that share the network's memory: [weights 0, biases 0, weights 1, ...], only those
            with `requires_grad`. They must be changed in place only. `step` returns gradients in the same order.
        evaluations: network evaluations per `step`; a forward and a backward count as two.
    """

    parameters: list[Any]
    evaluations: int

    def native(self, inputs: Tensor, targets: Tensor) -> tuple[Any, Any]:
        """Convert a batch to the form that `step` takes, without a copy where possible."""

    def step(self, inputs: Any, targets: Any) -> Sequence[Any]:
        """Return dCost/dParameter averaged over the batch; None where the cost does not depend on a parameter."""

    def report(self, inputs: Tensor, targets: Tensor) -> Gradients:
        """Return all gradients, including those of the inputs."""


class BindMethod(Protocol):
    """Constructor of a `GradientMethod` for a network and a cost."""

    def __call__(self, net: MLP, cost: Cost) -> GradientMethod: ...


def interleaved(weights: Sequence[Any], biases: Sequence[Any]) -> list[Any]:
    """Return [weights 0, biases 0, weights 1, ...]."""
    return [value for pair in zip(weights, biases, strict=True) for value in pair]


def trainable(net: MLP) -> Callable[[list[Any]], list[Any]]:
    """Return a filter of `interleaved` lists that keeps the entries of parameters with `requires_grad`."""
    requires_grad = [parameter.requires_grad for parameter in interleaved(net.weights, net.biases)]
    if all(requires_grad):
        return lambda values: values
    return lambda values: list(compress(values, requires_grad))


def as_arrays(inputs: Tensor, targets: Tensor) -> tuple[Array, Array]:
    """Return a batch as arrays, with the inputs flattened to [B, n]."""
    return inputs.flatten(1).numpy(), targets.numpy()


def to_gradients(
    cost: float, weights: Sequence[Array], biases: Sequence[Array], d_inputs: Array, inputs: Tensor, evaluations: int
) -> Gradients:
    """Convert gradients as arrays to a `Gradients`; the input gradients get the shape of the inputs."""
    return Gradients(
        float(cost),
        tuple(torch.from_numpy(weight) for weight in weights),
        tuple(torch.from_numpy(bias) for bias in biases),
        torch.from_numpy(d_inputs).reshape(inputs.shape),
        evaluations,
    )
