"""An MLP as numpy arrays, for manual backpropagation, dual numbers, finite differences and the genetic search."""

from __future__ import annotations

from dataclasses import dataclass

from inputopt.nets.activations import Activation, Array, find_activation
from inputopt.nets.mlp import MLP


@dataclass(frozen=True)
class Arrays:
    """The weights, biases and activations of an MLP's layers.

    Weights are [..., n_out, n_in] and biases [n_out] or [..., 1, n_out]: a leading dimension holds a population of
    networks of the same shape, which `forward` runs in one call. Any array may be replaced by dual numbers.
    """

    weights: list[Array]
    biases: list[Array]
    activations: tuple[Activation, ...]


def arrays(net: MLP) -> Arrays:
    """The network's parameters as arrays that share its memory: writing to them changes the network.

    Raises:
        ValueError: the network is not on the CPU.
    """
    if any(parameter.device.type != "cpu" for parameter in net.parameters()):
        raise ValueError(
            "This differentiation method runs only on a CPU; move the network with .cpu() or use autograd."
        )
    kinds = [net.activation] * (len(net.weights) - 1) + [net.output]
    return Arrays(
        [weight.detach().numpy() for weight in net.weights],
        [bias.detach().numpy() for bias in net.biases],
        tuple(find_activation(kind) for kind in kinds),
    )


def forward(net: Arrays, inputs: Array) -> tuple[list[Array], list[Array]]:
    """Return the weighted inputs Z and the outputs O of all layers; O[0] are the inputs, [B, n_in]."""
    Z: list[Array] = []
    O = [inputs]
    for weight, bias, activation in zip(net.weights, net.biases, net.activations, strict=True):
        z = O[-1] @ weight.mT + bias
        Z.append(z)
        O.append(activation.value(z))
    return Z, O
