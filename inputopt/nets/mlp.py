"""The multi-layer perceptron: the document's network, with any sizes and activations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from inputopt import checks
from inputopt.nets.activations import Activation, find_activation


class Layer(nn.Module):
    """Neurons that share their inputs: O = activation(Z), Z = weight @ inputs + bias.

    Attributes:
        weight: Parameter [n_out, n_in], a row a neuron.
        bias: Parameter [n_out].
    """

    def __init__(self, weight: Tensor, bias: Tensor, activation: Activation) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)
        self.activation = activation

    def weighted_input(self, inputs: Tensor) -> Tensor:
        """Z, [B, n_out], of inputs [B, n_in]."""
        return functional.linear(inputs, self.weight, self.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """O, [B, n_out], of inputs [B, n_in]."""
        return self.activation.torch(self.weighted_input(inputs))

    def augmented(self) -> Tensor:
        """The layer as one matrix [n_out, n_in + 1]: the bias is the weight of a "fake input" that is always 1."""
        return torch.cat([self.weight, self.bias[:, None]], dim=1)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[1]} -> {self.weight.shape[0]}, {self.activation.name}"


def with_fake_input(inputs: Tensor) -> Tensor:
    """`inputs` [B, n] with a last column of ones, [B, n + 1]: what `Layer.augmented` multiplies."""
    return torch.cat([inputs, inputs.new_ones(len(inputs), 1)], dim=1)


class MLP(nn.Module):
    """A fully connected network of any depth.

    Args:
        sizes: neurons per layer, the inputs first: [784, 128, 10].
        activation: of the hidden layers.
        output: activation of the last layer; `activation` if not given.
        weights: exact initial weights, [n_out, n_in] a layer; drawn from `seed` if not given.
        biases: exact initial biases, [n_out] a layer; zero if not given.
        seed: what the weights are drawn from, normal with standard deviation gain / sqrt(n_in) (He et al., 2015).

    Inputs of any shape [B, ...] are flattened.

    Raises:
        ValueError: sizes, weights or biases that do not fit together, or an unknown activation.

    >>> net = MLP([2, 2, 1], "tanh", "sigmoid")
    >>> net(torch.zeros(3, 2)).shape
    torch.Size([3, 1])
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: str = "sigmoid",
        output: str | None = None,
        weights: Sequence[Any] | None = None,
        biases: Sequence[Any] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if len(sizes) < 2:
            raise ValueError(f"sizes must name at least the inputs and one layer, not {list(sizes)}.")
        self.sizes = tuple(checks.whole("each size", size) for size in sizes)
        self.activation = find_activation(activation).name
        self.output = find_activation(activation if output is None else output).name
        kinds = [self.activation] * (len(sizes) - 2) + [self.output]
        drawn = _draw(self.sizes, [find_activation(kind).gain for kind in kinds], seed)
        given = _exact("weights", weights, [list(weight.shape) for weight in drawn])
        offsets = _exact("biases", biases, [[size] for size in sizes[1:]])
        self.layers = nn.ModuleList(
            Layer(
                drawn[index] if given is None else given[index],
                torch.zeros(sizes[index + 1]) if offsets is None else offsets[index],
                find_activation(kind),
            )
            for index, kind in enumerate(kinds)
        )

    @property
    def weights(self) -> tuple[nn.Parameter, ...]:
        """The weights of each layer, [n_out, n_in], first layer first."""
        return tuple(layer.weight for layer in self._stack())

    @property
    def biases(self) -> tuple[nn.Parameter, ...]:
        """The biases of each layer, [n_out], first layer first."""
        return tuple(layer.bias for layer in self._stack())

    def logits(self, inputs: Tensor) -> Tensor:
        """Z of the last layer, [B, n_out]: what the costs are computed from."""
        signal = inputs.flatten(1)
        layers = self._stack()
        for layer in layers[:-1]:
            signal = layer.forward(signal)
        return layers[-1].weighted_input(signal)

    def forward(self, inputs: Tensor) -> Tensor:
        """O of the last layer, [B, n_out], of inputs [B, ...] with `sizes[0]` numbers an example."""
        signal = inputs.flatten(1)
        for layer in self.layers:
            signal = layer(signal)
        return signal

    def config(self) -> dict[str, Any]:
        """What rebuilds this architecture: keyword arguments of `MLP`."""
        return {"sizes": list(self.sizes), "activation": self.activation, "output": self.output}

    def _stack(self) -> list[Layer]:
        return list(self.layers)  # type: ignore[arg-type]  # a ModuleList forgets what it holds


def _draw(sizes: Sequence[int], gains: Sequence[float], seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(checks.seed(seed))
    return [
        torch.randn(n_out, n_in, generator=generator) * (gain / n_in**0.5)
        for (n_in, n_out), gain in zip(pairwise(sizes), gains, strict=True)
    ]


def _exact(what: str, given: Sequence[Any] | None, shapes: list[list[int]]) -> list[Tensor] | None:
    if given is None:
        return None
    made = [checks.tensor(what, value, torch.float32, torch.device("cpu")).clone() for value in given]
    if [list(value.shape) for value in made] != shapes:
        raise ValueError(f"{what} must have the shapes {shapes}, not {[list(value.shape) for value in made]}.")
    return made
