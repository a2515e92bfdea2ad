"""From static down to a class: an image that the network is sure of and that a person would not know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from inputopt import checks
from inputopt.nets.ambient import ambient
from inputopt.nets.frozen import Frozen, frozen
from inputopt.search import keyed_random
from inputopt.search.bounds import picture_range
from inputopt.search.canvases.colours import Squash
from inputopt.search.canvases.fourier import Fourier
from inputopt.search.canvases.natural import Natural
from inputopt.search.goals import confident
from inputopt.search.inputs import check_problem
from inputopt.search.loop import Watch, optimise
from inputopt.search.objectives.logits import cross_entropy
from inputopt.search.oracles import Autograd
from inputopt.search.problem import Problem
from inputopt.search.projections import Box
from inputopt.search.result import Result
from inputopt.search.steps.directions import Stateless, unit
from inputopt.search.steps.step import Descend

STARTS = ("static", "fourier")


@ambient()
def fool(
    model: Frozen | nn.Module | Callable[[Tensor], Tensor],
    target: int,
    shape: Sequence[int],
    count: int = 8,
    seed: int = 0,
    *,
    confidence: float = 0.99,
    steps: int = 1_000,
    rate: float = 0.01,
    start: str = "static",
    watch: Watch | None = None,
) -> Result:
    """Start from static and descend until the network sees `target` (after Nguyen, Yosinski and Clune, 2015).

    Args:
        model: a network, frozen or not; if not, its inputs are taken to lie in [0, 1].
        target: the class to reach.
        shape: of one input, such as (1, 28, 28).
        count: how many images, each from static of its own.
        seed: what the static is drawn from.
        confidence: the probability of `target` at which an image is done.
        steps: how many steps at most.
        rate: the length of a step, as the mean change of a pixel in parts of the bounds' width.
        start: "static", every number by itself; or for images "fourier", waves as strong as in a photo.
        watch: shown every step.

    Returns:
        `x` [count, *shape]; `distance` is the L2 distance from the static.

    Raises:
        ValueError, TypeError: a target, shape or number that makes no sense.
    """
    net = frozen(model)
    checks.whole("count", count)
    seed = checks.seed(seed)
    checks.whole("steps", steps)
    checks.positive("rate", rate)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be a probability between 0 and 1, not {confidence}.")
    sizes = [checks.whole("each number of shape", size) for size in shape]
    checks.whole("target", target, least=0)
    within = picture_range(net, sizes)
    ids = torch.arange(count, device=net.device)
    begun = within.clamp(within.of_parts(_begun(start, sizes, seed, ids).to(net.dtype)))
    problem, _ = check_problem(net, begun, torch.full_like(ids, target), ids)
    return optimise(
        Autograd(net, cross_entropy, confident(confidence)),
        Descend(by_width(within.width), rate * begun[0].numel() ** 0.5),
        Box(within.low, within.high),
        problem,
        begun,
        steps=steps,
        watch=watch,
    )


def by_width(width: Any) -> Stateless:
    """The gradient at length 1 (L2) where each number is measured in its own width."""
    return Stateless(lambda grad: unit.function(grad * width) * width)


def _begun(start: str, sizes: list[int], seed: int, ids: Tensor) -> Tensor:
    """Where each image starts, [B, *sizes], in parts of the bounds' width."""
    if checks.one_of("start", start, STARTS) == "static":
        return keyed_random.uniform(sizes, seed, ids)
    if len(sizes) != 3:
        raise ValueError(f"Waves are for images (C, H, W), not for inputs of shape {tuple(sizes)}.")
    canvas = Natural(Fourier((sizes[0], sizes[1], sizes[2]), Squash(0, 1)))
    z = canvas.start(seed, ids)
    return canvas(z, Problem(z, ids, ids))
