"""Objectives that compare activations or Gram matrices with given ones, or between the images of a batch."""

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
"""Layer outputs by layer name."""


def activation_distance(wanted: Mapping[str, Any]) -> Objective:
    """Distance of layers' activations from target activations `wanted`, [n, ...] for n pictures, by layer name.

    The squared distance divided by the squared norm of the target activations (Mahendran and Vedaldi, 2015), averaged
    over the layers: 0 is an exact match, 1 is the distance of zero activations. The axis of the channels does not
    matter.
    """
    goals = _goals(wanted)

    def value(outputs: Layers, x: Tensor, problem: Problem) -> Tensor:
        return _mean([_relative_distance(outputs[layer], goal, problem) for layer, goal in goals.items()])

    return Objective(value, tuple(goals), logits=False, count=_count(goals))


def along_activations(wanted: Mapping[str, Any], power: float = 2.0) -> Objective:
    """Projection of layers' activations on given activations [n, ...]: the caricature objective (Carter et al., 2019).

    The projection is in units of the given activations' norm and multiplied by the cosine between the two to `power`.
    This rewards larger activations in the given direction only.
    """
    goals = _goals(wanted)

    def along(seen: Tensor, goal: Tensor, problem: Problem) -> Tensor:
        target = _goal_per_example(goal, seen, problem)
        # scaled by the largest element, since the squares of very small activations would underflow
        largest = target.flatten(1).abs().amax(1)
        shown, aim = ((part.flatten(1) / largest[:, None]) for part in (seen, target))
        product, size = (shown * aim).sum(1), aim.square().sum(1)
        cosine = product / (shown.square().sum(1).clamp_min(1e-12 * size) * size).sqrt()
        return product / size * cosine.clamp_min(0.1) ** power

    def value(outputs: Layers, x: Tensor, problem: Problem) -> Tensor:
        return _mean([along(outputs[layer], goal, problem) for layer, goal in goals.items()])

    return Objective(value, tuple(goals), logits=False, count=_count(goals))


def style_distance(wanted: Mapping[str, Any], *, axis: Axis = None) -> Objective:
    """As `activation_distance`, but between the layers' Gram matrices (Gatys, Ecker and Bethge, 2015).

    `axis` is the channel axis of the layers' outputs [B, ...], one number for all layers or a dict with one for each;
    found automatically if not given, as for `Channel`.
    """
    goals = _goals(wanted)

    def made(axes: Mapping[str, int | None]) -> Objective:
        styles: Layers = {}

        def value(outputs: Layers, x: Tensor, problem: Problem) -> Tensor:
            for layer, goal in goals.items():
                if layer not in styles:  # computed once, when the axis is known
                    styles[layer] = gram(channels_second(goal, layer, axes[layer]))
            seen = {layer: gram(channels_second(outputs[layer], layer, axes[layer])) for layer in goals}
            return _mean([_relative_distance(seen[layer], styles[layer], problem) for layer in goals])

        return Objective(value, tuple(goals), logits=False, count=_count(goals))

    return _by_axes(made, tuple(goals), axis)


def diversity(layer: str, *, axis: int | None = None) -> Objective:
    """Diversity of a batch: 1 - the mean cosine between an image's Gram matrix at a layer and those of the others, [B].

    Added to a channel's objective for several pictures, it finds different stimuli of the channel (Olah et al., 2017).
    For a single image it is 1, the maximum. `axis` is the channel axis of the layer's output, as for `Channel`.
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
    """Gram matrices of activations [B, C, ...]: mean products of channels over all positions, [B, C, C]."""
    flat = activations.reshape(*activations.shape[:2], -1)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def _by_axes(made: Callable[[Mapping[str, int | None]], Objective], layers: tuple[str, ...], axis: Axis) -> Objective:
    """An objective of the channels of layers, with the channel axes given or, after `bind`, those found."""

    def bound(to: NetworkGeometry) -> Objective:
        return made({layer: to.layout(layer, axis).axis for layer in layers})

    return replace(made({layer: axis_of(layer, axis) for layer in layers}), bind=bound)


def _goals(wanted: Mapping[str, Any]) -> Layers:
    return {layer: _checked_goal(layer, checks.as_tensor(goal)) for layer, goal in wanted.items()}


def _count(goals: Layers) -> int:
    return max(len(goal) for goal in goals.values())


def _checked_goal(layer: str, goal: Tensor) -> Tensor:
    goal = checks.finite(f"the target activations of {layer}", goal.detach())
    if not bool(goal.flatten(1).any(1).all()):
        raise ValueError(f"The target activations of {layer!r} are all 0; choose a layer that responds to the image.")
    return goal


def _goal_per_example(goal: Tensor, seen: Tensor, problem: Problem) -> Tensor:
    """The target activations of each example, [B, ...]."""
    goal = goal.to(seen)
    if goal.shape[1:] != seen.shape[1:]:
        raise ValueError(
            f"The layer's activations have shape {list(seen.shape[1:])} and the target activations "
            f"{list(goal.shape[1:])}; use images of the same size for both."
        )
    return goal[problem.label] if len(goal) > 1 else goal.expand_as(seen)


def _relative_distance(seen: Tensor, goal: Tensor, problem: Problem) -> Tensor:
    target = _goal_per_example(goal, seen, problem)
    return (seen - target).flatten(1).square().sum(1) / target.flatten(1).square().sum(1)


def _mean(parts: list[Tensor]) -> Tensor:
    return torch.stack(parts).mean(0)
