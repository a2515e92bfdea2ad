"""Objectives that compare: activations with wanted ones, styles, the images of a batch with each other, neighbours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from inputopt import checks
from inputopt.search.channel_axes.layout import Axis, NetworkGeometry, axis_of, channels_second
from inputopt.search.objectives.objective import Objective
from inputopt.search.problem import Problem

Layers = dict[str, Tensor]
"""What layers put out, by their names."""


def activation_distance(wanted: Mapping[str, Any]) -> Objective:
    """How far layers are from the activations wanted of them, [n, ...] for n pictures.

    The squared distance in parts of the wanted activations' own squared length (Mahendran and Vedaldi, 2015), averaged
    over the layers: 0 is reached, 1 is as far as no activation at all. How a layer is laid out makes no difference.
    """
    goals = _goals(wanted)

    def value(outputs: Layers, x: Tensor, problem: Problem) -> Tensor:
        return _mean([_apart(outputs[layer], goal, problem) for layer, goal in goals.items()])

    return Objective(value, tuple(goals), logits=False, count=_most(goals))


def along_activations(wanted: Mapping[str, Any], power: float = 2.0) -> Objective:
    """How far layers go in the direction of given activations [n, ...]: a caricature's objective.

    The part of the activations along the given ones, in units of their length, times the cosine between the two to
    `power`: it pays to go further that way, and not elsewhere (Carter et al., 2019).
    """
    goals = _goals(wanted)

    def along(seen: Tensor, goal: Tensor, problem: Problem) -> Tensor:
        own = _own(goal, seen, problem)
        # in parts of the largest number, whose square is a number even where that of a small one is none
        largest = own.flatten(1).abs().amax(1)
        shown, aim = ((part.flatten(1) / largest[:, None]) for part in (seen, own))
        product, size = (shown * aim).sum(1), aim.square().sum(1)
        cosine = product / (shown.square().sum(1).clamp_min(1e-12 * size) * size).sqrt()
        return product / size * cosine.clamp_min(0.1) ** power

    def value(outputs: Layers, x: Tensor, problem: Problem) -> Tensor:
        return _mean([along(outputs[layer], goal, problem) for layer, goal in goals.items()])

    return Objective(value, tuple(goals), logits=False, count=_most(goals))


def style_distance(wanted: Mapping[str, Any], *, axis: Axis = None) -> Objective:
    """As `activation_distance`, but of the layers' styles: their Gram matrices (Gatys, Ecker and Bethge, 2015).

    `axis` says which axis of a layer's output [B, ...] holds its channels, one number for all layers or a dict with one
    for each; found where it is not given, as for `Channel`.
    """
    goals = _goals(wanted)

    def made(axes: Mapping[str, int | None]) -> Objective:
        styles: Layers = {}

        def value(outputs: Layers, x: Tensor, problem: Problem) -> Tensor:
            for layer, goal in goals.items():
                if layer not in styles:  # once, and only when the axis is needed
                    styles[layer] = gram(channels_second(goal, layer, axes[layer]))
            seen = {layer: gram(channels_second(outputs[layer], layer, axes[layer])) for layer in goals}
            return _mean([_apart(seen[layer], styles[layer], problem) for layer in goals])

        return Objective(value, tuple(goals), logits=False, count=_most(goals))

    return _by_axes(made, tuple(goals), axis)


def diversity(layer: str, *, axis: int | None = None) -> Objective:
    """How unlike the other images of the batch each is: 1 - the mean cosine between their layer's Gram matrices, [B].

    Added to a channel's objective for several pictures, it finds what else excites it (Olah et al., 2017). An image
    alone is as unlike the others as can be: 1. `axis` says which axis of the layer's output holds its channels, as for
    `Channel`.
    """
    stated = axis_of(layer, axis)
    plain = ["diversity", layer] if stated is None else ["diversity", layer, {"axis": stated}]

    def made(axes: Mapping[str, int | None]) -> Objective:
        def value(outputs: Layers, x: Tensor, problem: Problem) -> Tensor:
            styles = gram(channels_second(outputs[layer], layer, axes[layer])).flatten(1)
            unit = styles / styles.norm(dim=1, keepdim=True).clamp_min(torch.finfo(styles.dtype).tiny)
            others = unit.sum(0) - unit
            return 1 - (unit * others).sum(1) / max(1, len(unit) - 1)

        return Objective(value, (layer,), logits=False, together=True, plain=plain)

    return _by_axes(made, (layer,), axis)


def gram(activations: Tensor) -> Tensor:
    """How channels [B, C, ...] go together: their mean products over all places, [B, C, C]."""
    flat = activations.reshape(*activations.shape[:2], -1)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def _by_axes(made: Callable[[Mapping[str, int | None]], Objective], layers: tuple[str, ...], axis: Axis) -> Objective:
    """An objective that looks at channels of layers, on the axes stated or, once it is bound, on those found."""

    def bound(to: NetworkGeometry) -> Objective:
        return made({layer: to.layout(layer, axis).axis for layer in layers})

    return replace(made({layer: axis_of(layer, axis) for layer in layers}), bind=bound)


def _goals(wanted: Mapping[str, Any]) -> Layers:
    return {layer: _several(layer, checks.as_tensor(goal)) for layer, goal in wanted.items()}


def _most(goals: Layers) -> int:
    return max(len(goal) for goal in goals.values())


def _several(layer: str, goal: Tensor) -> Tensor:
    goal = checks.finite(f"the activations wanted of {layer}", goal.detach())
    if not bool(goal.flatten(1).any(1).all()):
        raise ValueError(f"The activations wanted of {layer!r} are all 0; choose a layer that answers to the image.")
    return goal


def _own(goal: Tensor, seen: Tensor, problem: Problem) -> Tensor:
    """Of each example its own goal."""
    goal = goal.to(seen)
    if goal.shape[1:] != seen.shape[1:]:
        raise ValueError(
            f"The layer's activations have shape {list(seen.shape[1:])} and the wanted ones {list(goal.shape[1:])}; "
            "show the model images of one size."
        )
    return goal[problem.label] if len(goal) > 1 else goal.expand_as(seen)


def _apart(seen: Tensor, goal: Tensor, problem: Problem) -> Tensor:
    own = _own(goal, seen, problem)
    return (seen - own).flatten(1).square().sum(1) / own.flatten(1).square().sum(1)


def _mean(parts: list[Tensor]) -> Tensor:
    return torch.stack(parts).mean(0)
