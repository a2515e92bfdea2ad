"""Fooling images (Nguyen et al., 2015): noise optimised until the model is confident of a class no person would see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from inputopt import checks
from inputopt.nets.default_modes import default_modes
from inputopt.nets.frozen import Frozen, frozen
from inputopt.search import keyed_random
from inputopt.search.bounds import picture_range
from inputopt.search.canvases.colours import Squash
from inputopt.search.canvases.fourier import Fourier
from inputopt.search.canvases.natural import Natural
from inputopt.search.goals import confident
from inputopt.search.inputs import check_problem
from inputopt.search.loop import Snapshot, Watch, optimise
from inputopt.search.objectives.logits import cross_entropy
from inputopt.search.objectives.probability_scores import on_scores
from inputopt.search.oracles import Autograd
from inputopt.search.problem import Problem
from inputopt.search.projections import Box
from inputopt.search.result import Result
from inputopt.search.result_origin import STARTED, provenance
from inputopt.search.steps.directions import Stateless, unit
from inputopt.search.steps.step import GradientStep

StartName = Literal["static", "fourier"]

STARTS: tuple[StartName, ...] = get_args(StartName)


@default_modes()
def fool(
    model: Frozen | nn.Module | Callable[[Tensor], Tensor],
    target: int | str,
    shape: Sequence[int],
    count: int = 8,
    seed: int = 0,
    *,
    confidence: float = 0.99,
    steps: int = 1_000,
    rate: float = 0.01,
    start: StartName = "static",
    watch: Watch | None = None,
) -> Result:
    """Optimise noise until the model is confident of class `target` (after Nguyen, Yosinski and Clune, 2015).

    Args:
        model: a network, frozen or not; if not, its inputs are taken to lie in [0, 1].
        target: the target class: its index, or its name, "daisy", where the names of the network's classes are known.
        shape: shape of one input, such as (1, 28, 28).
        count: number of images, each from different noise.
        seed: seed of the noise.
        confidence: probability of `target` at which an image counts as success.
        steps: maximum number of steps.
        rate: step length, as the root-mean-square change of a pixel in units of the bounds' width.
        start: "static", independent uniform noise; or for images "fourier", noise with the power spectrum of photos.
        watch: called at every step.

    Returns:
        The result, with `x` [count, *shape]; its `distance` is the L2 distance from the initial noise, and
        `made_by["started in target class"]` the number of noise images whose prediction is `target` before any step.

    Raises:
        ValueError, TypeError: an invalid target, shape or setting.
        ModuleNotFoundError: a name is given, and the package with the names is not installed.
    """
    net = frozen(model)
    checks.whole("count", count)
    seed = checks.seed(seed)
    checks.whole("steps", steps)
    checks.positive("rate", rate)
    checks.probability("confidence", confidence)
    sizes = [checks.whole("each number of shape", size) for size in shape]
    if not isinstance(target, str):
        checks.whole("target", target, least=0)
    within = picture_range(net, sizes)
    ids = torch.arange(count, device=net.device)
    x0 = within.clamp(within.of_parts(_initial_noise(start, sizes, seed, ids).to(net.dtype)))
    problem, traits = check_problem(net, x0, [target] * count, ids, label_name="target")
    number = int(problem.label[0])
    in_target: list[int] = []

    def observe(snapshot: Snapshot) -> None:
        if not in_target:
            in_target.append(int((snapshot.outputs.argmax(1) == number).sum()))
        if watch is not None:
            watch(snapshot)

    found = optimise(
        Autograd(net, on_scores(cross_entropy, traits.scores), confident(confidence, traits.scores)),
        GradientStep(by_width(within.width), rate * x0[0].numel() ** 0.5),
        Box(within.low, within.high),
        problem,
        x0,
        steps=steps,
        watch=observe,
    )
    settings = {"target": number, "confidence": confidence, "steps": steps, "rate": rate, "start": start}
    made_by = provenance("fool", net, "l2", seed, settings)
    return replace(found, made_by={**made_by, STARTED: in_target[0]})


def by_width(width: Any) -> Stateless:
    """Normalise the gradient to L2 norm 1, with each element measured in units of its own `width`."""
    return Stateless(lambda grad: unit.function(grad * width) * width)


def _initial_noise(start: str, sizes: list[int], seed: int, ids: Tensor) -> Tensor:
    """Initial images [B, *sizes] in [0, 1], relative to the bounds."""
    if checks.one_of("start", start, STARTS) == "static":
        return keyed_random.uniform(sizes, seed, ids)
    if len(sizes) != 3:
        raise ValueError(f"start={start!r} needs images of shape (C, H, W), not inputs of shape {tuple(sizes)}.")
    canvas = Natural(Fourier((sizes[0], sizes[1], sizes[2]), Squash(0, 1)))
    z = canvas.start(seed, ids)
    return canvas(z, Problem(z, ids, ids))
