"""Optimise an objective on a canvas: the search shared by feature visualisation, inversion and caricatures."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from inputopt.nets.frozen import Frozen
from inputopt.pictures.canvas_choice import Surface
from inputopt.pictures.successive_halving import best_restarts
from inputopt.search.channel_axes.layout import NetworkGeometry, network_geometry
from inputopt.search.goals import never
from inputopt.search.host_sync import immediate
from inputopt.search.loop import Interrupted, Stop, Watch, at_the_end, latest, optimise
from inputopt.search.objectives.objective import LOGITS, Objective
from inputopt.search.oracles import Autograd, with_relu_redirect
from inputopt.search.oracles.row_threads import by_rows
from inputopt.search.problem import Problem
from inputopt.search.result import Result
from inputopt.search.rows import take
from inputopt.search.steps.directions import Adam
from inputopt.search.steps.step import GradientStep, HalfCosine
from inputopt.search.transforms import Transform


def bind_objective(net: Frozen, objective: Objective, x: Tensor) -> tuple[Objective, dict[str, Any]]:
    """Bind an objective to the network by one forward of `x` [1, ...].

    Returns:
        The bound objective, and the recipe entry "channels": which axis of each layer it uses holds the channels.
    """
    if objective.bind is None:
        return objective, {}
    geometry = network_geometry(net, x, objective.layers)
    found = objective.bound(geometry)
    return found, channel_entry(geometry)


def channel_entry(to: NetworkGeometry) -> dict[str, Any]:
    """The recipe entry "channels", which describes the layers whose channels were used; empty if there are none."""
    recipe: dict[str, list[str]] = {}
    for layout in to.used:
        recipe.setdefault(layout.layer, []).append(str(layout))
    return {"channels": {layer: "; ".join(texts) for layer, texts in recipe.items()}} if recipe else {}


def scores(net: Frozen, objective: Objective, x: Tensor) -> Tensor:
    """The objective's value at each image [B, C, H, W] without random transforms, [B]: image i is for picture i."""
    label = torch.arange(len(x), device=x.device)
    bound, _ = bind_objective(net, objective, x[:1])
    layers = [*bound.layers, *([LOGITS] if bound.logits and bound.layers else [])]
    outputs: Any = net.features(x, layers) if layers else net(x)
    return bound(outputs, x, Problem(x, label, label))


class FiniteCheck:
    """Check that an objective returns one finite value per image; otherwise a search yields a grey picture.

    Attributes:
        objective: the same objective with checks: of the shape at every evaluation, and of the values at the first.
    """

    def __init__(self, objective: Objective) -> None:
        self._last: dict[int, Tensor] = {}  # by the batch's first example, since on a CPU rows may run in threads

        def value(outputs: Any, x: Tensor, problem: Problem) -> Tensor:
            found = objective(outputs, x, problem)
            if found.shape != x.shape[:1]:
                raise ValueError(
                    f"The objective must return one value per image, not shape {list(found.shape)} for a batch of "
                    f"{len(x)}; if the first axis of the layer's output is not the batch (but windows or tokens), "
                    "choose another layer."
                )
            rows = int(problem.example[0]) if immediate(x) else 0
            first, self._last[rows] = rows not in self._last, found.detach()
            if first:
                self._check(found.detach(), x)
            return found

        self.objective = replace(objective, value=value)

    def check(self, x: Tensor) -> None:
        """Check the last values of the objective and the images `x` [B, ...].

        Raises:
            ValueError: any of them is NaN or infinite.
        """
        self._check(*self._last.values(), x)

    def _check(self, *values: Tensor) -> None:
        if not all(bool(each.isfinite().all()) for each in values):
            raise ValueError(
                "The objective is NaN or infinite, so no image can be optimised; check the inputs that the model "
                "expects (bounds, mean and std of Frozen) and its activations."
            )


def check_followed(found: Result) -> None:
    """Check that a search met only finite gradients; elements with non-finite gradients would not have moved.

    Raises:
        ValueError: some were NaN or infinite.
    """
    if bool(found.nonfinite.any()):
        raise ValueError(
            "The gradient of the objective is NaN or infinite at the image, so the image cannot be optimised; check "
            "the model for square roots, logarithms and divisions at 0."
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
    independent: bool = True,
) -> tuple[Tensor, dict[str, Any]]:
    """Minimise an objective on a canvas by Adam, with a learning rate that falls to a tenth along half a cosine.

    Args:
        net: the network.
        objective: what to minimise.
        surface: the canvas, with its learning rate and projection.
        z: initial parameters, [B, ...].
        label: the picture that each row belongs to, int64 [B].
        ids: keys of each row's randomness, int64 [B].
        steps: number of steps.
        transform: random transform of the images before each evaluation.
        watch: called at every step.
        stop: which rows are finished.
        independent: whether no row's value depends on other rows, so that they may be evaluated one by one.

    Returns:
        The images [n, C, H, W], for each picture that of its best restart; and the recipe entry on layers.

    Raises:
        ValueError: the model does not accept such images, or the objective or its gradient is NaN or infinite.
    """
    with torch.no_grad():
        start = surface.canvas(z, Problem(z, label, ids))
    objective, recipe = bind_objective(net, objective, start[:1])
    finite = FiniteCheck(objective)
    oracle = with_relu_redirect(Autograd(net, finite.objective, never, transform, surface.canvas))
    step = GradientStep(Adam(), HalfCosine(surface.rate, surface.rate / 10, steps))
    problem = Problem(start, label, ids)
    try:
        with by_rows(oracle, net, start) if independent else nullcontext(oracle) as used:
            found = optimise(
                used, step, surface.project, problem, z, steps=steps, select=latest, stop=stop, watch=watch
            )
    except Interrupted as stopped:
        stopped.result = _best_of_each(stopped.result, label, surface)
        raise
    finite.check(found.x)
    check_followed(found)
    return _best_of_each(found, label, surface).x, recipe


def _best_of_each(found: Result, label: Tensor, surface: Surface) -> Result:
    """The best restart of each picture, clamped to the range."""
    best = take(found, best_restarts(found, label))
    return replace(best, x=surface.within.clamp(best.x))
