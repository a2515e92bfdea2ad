"""Mean square activation of layers, and of the positive part of channels: DeepDream (Mordvintsev et al., 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from inputopt.search.channel_axes.layout import NetworkGeometry, axis_of, channels_second
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


def channel_energy(layer: str, channels: Sequence[int], *, axis: int | None = None) -> Objective:
    """The mean square of the positive activations of some channels of a layer, over all positions.

    A channel of a layer without a rectifier is also negative where it finds the opposite of its feature, which would be
    amplified as well. Where an image has no positive activation at all, the highest one is raised.

    Args:
        layer: name of a module.
        channels: their numbers.
        axis: channel axis of the layer's output, as for `Channel`.

    Raises:
        ValueError: when it is bound to a network, a channel that the layer does not have.
    """
    stated = axis_of(layer, axis)

    def made(place: int | None) -> Objective:
        def value(outputs: dict[str, Tensor], x: Tensor, problem: Problem) -> Tensor:
            activations = channels_second(outputs[layer], layer, place)[:, list(channels)].flatten(1)
            highest = activations.amax(1)
            return torch.where(highest > 0, activations.clamp_min(0).square().mean(1), highest)

        return Objective(value, (layer,), logits=False)

    def bound(to: NetworkGeometry) -> Objective:
        place = to.layout(layer, stated).axis
        most = to.shapes[layer][place] - 1
        if max(channels) > most:
            raise ValueError(f"channel must be at most {most} in {layer}, not {max(channels)}.")
        return made(place)

    return replace(made(stated), bind=bound)
