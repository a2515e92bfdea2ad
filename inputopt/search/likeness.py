"""Objectives that compare: activations with wanted ones, styles, the images of a batch with each other, neighbours."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from inputopt import checks
from inputopt.search.objectives import Objective
from inputopt.search.problem import Problem


def activation_distance(wanted: Mapping[str, Tensor]) -> Objective:
    """How far layers are from the activations wanted of them, [n, C, ...] for n pictures.

    The squared distance in parts of the wanted activations' own squared length (Mahendran and Vedaldi, 2015), averaged
    over the layers: 0 is reached, 1 is as far as no activation at all.
    """
    goals = {layer: _several(layer, goal) for layer, goal in wanted.items()}

    def value(outputs: dict[str, Tensor], x: Tensor, problem: Problem) -> Tensor:
        return _mean([_apart(outputs[layer], goal, problem) for layer, goal in goals.items()])

    return Objective(value, tuple(goals), logits=False, count=max(len(goal) for goal in goals.values()))


def along_activations(wanted: Mapping[str, Tensor], power: float = 2.0) -> Objective:
    """How far layers go in the direction of given activations [n, C, ...]: a caricature's objective.

    The part of the activations along the given ones, in units of their length, times the cosine between the two to
    `power`: it pays to go further that way, and not elsewhere (Carter et al., 2019).
    """
    goals = {layer: _several(layer, goal) for layer, goal in wanted.items()}

    def along(seen: Tensor, goal: Tensor, problem: Problem) -> Tensor:
        own = _own(goal, seen, problem)
        product = (seen * own).flatten(1).sum(1)
        lengths = [part.flatten(1).square().sum(1).clamp_min(1e-12).sqrt() for part in (seen, own)]
        cosine = product / (lengths[0] * lengths[1])
        return product / lengths[1].square() * cosine.clamp_min(0.1) ** power

    def value(outputs: dict[str, Tensor], x: Tensor, problem: Problem) -> Tensor:
        return _mean([along(outputs[layer], goal, problem) for layer, goal in goals.items()])

    return Objective(value, tuple(goals), logits=False, count=max(len(goal) for goal in goals.values()))


def style_distance(wanted: Mapping[str, Tensor]) -> Objective:
    """As `activation_distance`, but of the layers' styles: their Gram matrices (Gatys, Ecker and Bethge, 2015)."""
    goals = {layer: gram(_several(layer, goal)) for layer, goal in wanted.items()}

    def value(outputs: dict[str, Tensor], x: Tensor, problem: Problem) -> Tensor:
        return _mean([_apart(gram(outputs[layer]), goal, problem) for layer, goal in goals.items()])

    return Objective(value, tuple(goals), logits=False, count=max(len(goal) for goal in goals.values()))


def diversity(layer: str) -> Objective:
    """How unlike the other images of the batch each is: 1 - the mean cosine between their layer's Gram matrices, [B].

    Added to a channel's objective for several pictures, it finds what else excites it (Olah et al., 2017). An image
    alone is as unlike the others as can be: 1.
    """

    def value(outputs: dict[str, Tensor], x: Tensor, problem: Problem) -> Tensor:
        styles = gram(outputs[layer]).flatten(1)
        unit = styles / styles.norm(dim=1, keepdim=True).clamp_min(1e-12)
        others = unit.sum(0) - unit
        return 1 - (unit * others).sum(1) / max(1, len(unit) - 1)

    return Objective(value, (layer,), logits=False, together=True, plain=["diversity", layer])


def total_variation() -> Objective:
    """The mean absolute difference between neighbouring pixels of [B, C, H, W] across, and that down, added."""

    def value(outputs: object, x: Tensor, problem: Problem) -> Tensor:
        across, down = (x[..., 1:] - x[..., :-1]).abs(), (x[..., 1:, :] - x[..., :-1, :]).abs()
        return sum((part.flatten(1).mean(1) for part in (across, down) if part.numel()), x.new_zeros(len(x)))

    return Objective(value, logits=False, plain=["total_variation"])


def gram(activations: Tensor) -> Tensor:
    """How channels [B, C, ...] go together: their mean products over all places, [B, C, C]."""
    flat = activations.reshape(*activations.shape[:2], -1)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


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
