"""A search on a canvas: what pictures that begin with noise, and those that begin with a photo, have in common."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from inputopt.nets.frozen import Frozen
from inputopt.pictures.canvas_choice import Surface
from inputopt.pictures.successive_halving import best_restarts
from inputopt.search.channel_axes.layout import NetworkGeometry, network_geometry
from inputopt.search.goals import never
from inputopt.search.loop import Interrupted, Stop, Watch, at_the_end, latest, optimise
from inputopt.search.objectives.objective import Objective
from inputopt.search.oracles import Autograd, awake
from inputopt.search.problem import Problem
from inputopt.search.result import Result
from inputopt.search.rows import take
from inputopt.search.steps.directions import Adam
from inputopt.search.steps.step import Descend, HalfCosine
from inputopt.search.transforms import Transform


def bound_to(net: Frozen, objective: Objective, x: Tensor) -> tuple[Objective, dict[str, Any]]:
    """An objective that knows the network, after one look at `x` [1, ...]; and what the recipe of its pictures says.

    That is, for each layer whose channels are looked at, which axis holds them, under "channels".
    """
    if objective.bind is None:
        return objective, {}
    to = network_geometry(net, x, objective.layers)
    found = objective.bound(to)
    return found, indexed(to)


def indexed(to: NetworkGeometry) -> dict[str, Any]:
    """What a recipe says of the layers whose channels were looked at."""
    said: dict[str, list[str]] = {}
    for layout in to.used:
        said.setdefault(layout.layer, []).append(str(layout))
    return {"channels": {layer: "; ".join(texts) for layer, texts in said.items()}} if said else {}


class FiniteBounds:
    """An objective that must be a number for each image: one that is none leads a search nowhere, to a grey picture.

    Attributes:
        objective: the same one, watched: it raises a ValueError at its first look already.
    """

    def __init__(self, objective: Objective) -> None:
        self._value: Tensor | None = None

        def value(outputs: Any, x: Tensor, problem: Problem) -> Tensor:
            found = objective(outputs, x, problem)
            if found.shape != x.shape[:1]:
                raise ValueError(
                    f"The objective must be one number for each image, not {list(found.shape)} for {len(x)}; where the "
                    "first axis of a layer's output is not the batch (but windows, or tokens), choose another layer."
                )
            first, self._value = self._value is None, found.detach()
            if first:
                self.check(x)
            return found

        self.objective = replace(objective, value=value)

    def check(self, x: Tensor) -> None:
        """Raises:
        ValueError: what was seen last, or what came of it, is NaN or infinite.
        """
        if not all(bool(each.isfinite().all()) for each in (self._value, x) if each is not None):
            raise ValueError(
                "The objective is NaN or infinite, so that it leads to no picture; check what the model expects its "
                "inputs to be (bounds, mean and std of Frozen) and its activations."
            )


def check_followed(found: Result) -> None:
    """Refuse what a search made whose derivatives were not all numbers: where they are none, nothing moves.

    Raises:
        ValueError: some were NaN or infinite.
    """
    if bool(found.nonfinite.any()):
        raise ValueError(
            "The objective's derivative is NaN or infinite at the picture, so that the search cannot follow it; check "
            "for square roots, logarithms and divisions at 0 in the model."
        )


def optimise_picture(
    net: Frozen,
    objective: Objective,
    surface: Surface,
    z: Tensor,
    label: Tensor,
    ids: Tensor,
    steps: int,
    transform: Transform,
    watch: Watch | None = None,
    stop: Stop = at_the_end,
) -> tuple[Tensor, dict[str, Any]]:
    """Bring an objective down by Adam, in steps that shrink to a tenth.

    Returns:
        Of each picture `label` the image that went furthest, [n, C, H, W]; and what their recipe says of layers.

    Raises:
        ValueError: the model does not take such images, or the objective is no number.
    """
    with torch.no_grad():
        start = surface.canvas(z, Problem(z, label, ids))
    objective, said = bound_to(net, objective, start[:1])
    finite = FiniteBounds(objective)
    oracle = Autograd(net, finite.objective, never, transform, surface.canvas)
    step = Descend(Adam(), HalfCosine(surface.rate, surface.rate / 10, steps))
    problem = Problem(start, label, ids)
    try:
        found = optimise(
            awake(oracle), step, surface.project, problem, z, steps=steps, select=latest, stop=stop, watch=watch
        )
    except Interrupted as stopped:
        stopped.result = _chosen(stopped.result, label, surface)
        raise
    finite.check(found.x)
    check_followed(found)
    return _chosen(found, label, surface).x, said


def _chosen(found: Result, label: Tensor, surface: Surface) -> Result:
    """Of each picture the search that went furthest, in the range to the last bit."""
    best = take(found, best_restarts(found, label))
    return replace(best, x=surface.within.clamp(best.x))
