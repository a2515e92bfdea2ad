"""The multi-layer perceptron (the network of the reference document) with any sizes and activations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from inputopt import checks
from inputopt.nets.activations import Activation, ActivationName, find_activation


class Layer(nn.Module):
    """A fully connected layer: O = activation(Z), Z = weight @ inputs + bias.

    Attributes:
        weight: Parameter [n_out, n_in], one row per neuron.
        bias: Parameter [n_out].
    """

    def __init__(self, weight: Tensor, bias: Tensor, activation: Activation) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)
        self.activation = activation

    def weighted_input(self, inputs: Tensor) -> Tensor:
        """Return Z [B, n_out] of inputs [B, n_in]."""
        return functional.linear(inputs, self.weight, self.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return O [B, n_out] of inputs [B, n_in]."""
        return self.activation.torch(self.weighted_input(inputs))

    def augmented(self) -> Tensor:
        """Return the layer as a matrix [n_out, n_in + 1]: the bias is the weight of a "fake input" of 1."""
        return torch.cat([self.weight, self.bias[:, None]], dim=1)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[1]} -> {self.weight.shape[0]}, {self.activation.name}"


def with_fake_input(inputs: Tensor) -> Tensor:
    """Append a column of ones to `inputs` [B, n]; the result [B, n + 1] is multiplied by `Layer.augmented`."""
    return torch.cat([inputs, inputs.new_ones(len(inputs), 1)], dim=1)


class MLP(nn.Module):
    """A fully connected network of any depth; inputs [B, ...] are flattened.

    Args:
        sizes: the number of inputs and the neurons of each layer, for example [784, 128, 10].
        activation: activation of the hidden layers.
        output: activation of the last layer; default: `activation`.
        weights: initial weights, [n_out, n_in] per layer; default: drawn from `seed`.
        biases: initial biases, [n_out] per layer; default: zero.
        seed: random seed of the weights: normal with standard deviation gain / sqrt(n_in) (He et al., 2015).

    Raises:
        ValueError: sizes, weights or biases that do not fit together, or an unknown activation.

    >>> net = MLP([2, 2, 1], "tanh", "sigmoid")
    >>> net(torch.zeros(3, 2)).shape
    torch.Size([3, 1])
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: ActivationName | str = "sigmoid",
        output: ActivationName | str | None = None,
        weights: Sequence[Any] | None = None,
        biases: Sequence[Any] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if len(sizes) < 2:
            raise ValueError(f"sizes must hold at least the numbers of inputs and of outputs, not {list(sizes)}.")
        self.sizes = tuple(checks.whole("each size", size) for size in sizes)
        self.activation = find_activation(activation).name
        self.output = find_activation(activation if output is None else output).name
        kinds = [self.activation] * (len(sizes) - 2) + [self.output]
        initial = _draw(self.sizes, [find_activation(kind).gain for kind in kinds], seed)
        given_weights = _given_tensors("weights", weights, [list(weight.shape) for weight in initial])
        given_biases = _given_tensors("biases", biases, [[size] for size in sizes[1:]])
        self.layers = nn.ModuleList(
            Layer(
                initial[index] if given_weights is None else given_weights[index],
                torch.zeros(sizes[index + 1]) if given_biases is None else given_biases[index],
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
        """Return Z of the last layer, [B, n_out], from which the costs are computed."""
        signal = inputs.flatten(1)
        layers = self._stack()
        for layer in layers[:-1]:
            signal = layer.forward(signal)
        return layers[-1].weighted_input(signal)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return O of the last layer, [B, n_out], of inputs [B, ...] with `sizes[0]` numbers per example.

        Whole numbers, arrays and lists are converted to the dtype of the weights.
        """
        if not isinstance(inputs, Tensor) or not inputs.is_floating_point():
            inputs = torch.as_tensor(inputs, dtype=self.weights[0].dtype, device=self.weights[0].device)
        signal = inputs.flatten(1)
        for layer in self.layers:
            signal = layer(signal)
        return signal

    def config(self) -> dict[str, Any]:
        """Return the keyword arguments of `MLP` that rebuild this architecture."""
        return {"sizes": list(self.sizes), "activation": self.activation, "output": self.output}

    def _stack(self) -> list[Layer]:
        return list(self.layers)  # type: ignore[arg-type]  # the elements of a ModuleList are untyped


def _draw(sizes: Sequence[int], gains: Sequence[float], seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(checks.seed(seed))
    return [
        torch.randn(n_out, n_in, generator=generator) * (gain / n_in**0.5)
        for (n_in, n_out), gain in zip(pairwise(sizes), gains, strict=True)
    ]


def _given_tensors(what: str, given: Sequence[Any] | None, shapes: list[list[int]]) -> list[Tensor] | None:
    if given is None:
        return None
    converted = [checks.tensor(what, value, torch.float32, torch.device("cpu")).clone() for value in given]
    if [list(value.shape) for value in converted] != shapes:
        raise ValueError(f"{what} must have the shapes {shapes}, not {[list(value.shape) for value in converted]}.")
    return converted
