"""Feature visualisation (Olah et al., 2017): optimise images that maximise a neuron, channel, layer or class."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from inputopt import checks
from inputopt.nets.frozen import Frozen, frozen
from inputopt.pictures.canvas_choice import CanvasName, Surface, canvas_of, shape_of
from inputopt.pictures.picture import Picture
from inputopt.pictures.picture_search import optimise_picture
from inputopt.pictures.provenance import Kind, repeatable
from inputopt.pictures.successive_halving import SuccessiveHalving
from inputopt.search.bounds import Range, picture_range
from inputopt.search.loop import Watch, at_the_end
from inputopt.search.objectives.features import objective_from_plain, plain_of_one
from inputopt.search.objectives.objective import Objective
from inputopt.search.problem import Problem
from inputopt.search.transforms import Transform, chained, noise, rotate, scale, shift, unchanged
from inputopt.search.transforms import mirror as mirrored_at_random

OBJECTIVE = Kind(lambda objective: objective.plain or "an objective without a JSON form", objective_from_plain)
"""An objective, recorded in its JSON form."""


@repeatable(objective=OBJECTIVE)
def visualize(
    model: Frozen | nn.Module | Callable[[Tensor], Tensor],
    objective: Objective,
    size: int | tuple[int, int] = 224,
    steps: int = 256,
    seed: int = 0,
    *,
    canvas: CanvasName | str = "natural",
    augment: float = 1.0,
    colours: int = 3,
    shared_frequencies: int = 0,
    restarts: int = 1,
    initial_scale: float = 1.0,
    mirror: bool = False,
    skip_gradient: float = 1.0,
    watch: Watch | None = None,
) -> Picture | list[Picture]:
    """Feature visualisation: maximise an objective from noise (Olah, Mordvintsev and Schubert, 2017).

    Args:
        model: a network, frozen or not; if not, its inputs are taken to lie in [0, 1].
        objective: what to maximise, such as `Channel("blocks.5", 12) - 0.1 * total_variation()`; one that names several
            channels, neurons or classes yields as many pictures, optimised in one batch.
        size: side of the picture, or (height, width), in pixels.
        steps: number of optimisation steps.
        seed: seed of all random numbers.
        canvas: "natural" (Fourier coefficients with the power spectrum of photos), "fourier" (free coefficients),
            "phase" (fixed amplitudes, MACO), "cppn" (a pattern-producing network), "pixels".
        augment: strength of the random shift, rotation, scaling and noise before each evaluation: 1 for up to a
            fourteenth of the side, 10 degrees, a factor of 1.3 and 5 % of the bounds' width; 0 for none.
        colours: 3 for RGB, 1 for grey.
        shared_frequencies: frequencies up to this many cycles over the image are shared by all pictures, so that they
            are spatially aligned; 0 for none. Not for "cppn".
        restarts: number of searches per picture. In rounds over the first half of the steps the half with the worse
            objective is dropped until one remains: it costs more, and avoids bad initialisations. Not supported for
            pictures that are optimised jointly.
        initial_scale: scale at which the network is first run on the picture, a fraction of each side, at most 1; it
            rises to 1 over the first half of the steps. Faster, and better for whole scenes, such as those of classes.
            For networks that accept images of any size.
        mirror: whether to flip the picture horizontally at about half of the evaluations. For objectives without left
            and right, such as most classes: it takes more steps, and the picture transfers better to other networks.
        skip_gradient: the factor for gradients through residual branches (skip gradient method; Wu et al., 2020); 1 for
            none. With about 0.5 the picture transfers far better to other networks, in fewer steps. For networks with
            skip connections.
        watch: called at every step.

    Returns:
        A picture, or a list of them for an objective that names several. For an objective on channels of a layer,
        "channels" in the recipe says which axis holds them, and the number of positions.

    Raises:
        ValueError, TypeError: an unknown layer, channel or canvas, invalid settings, a layer whose channel axis cannot
            be detected, an objective that is NaN or infinite, or infinite bounds.
    """
    net = frozen(model)
    plan = _plan(
        net,
        objective,
        size,
        steps,
        seed,
        canvas,
        augment,
        colours,
        shared_frequencies,
        restarts,
        initial_scale,
        mirror,
        skip_gradient,
    )
    label = torch.arange(objective.count, device=net.device).repeat_interleave(restarts)
    # all pictures start from the same noise, so that each is the same as if it were made alone
    ids = label if objective.together else torch.arange(restarts, device=net.device).repeat(objective.count)
    z = plan.surface.canvas.start(plan.seed, ids).to(net.dtype)
    stop = SuccessiveHalving(objective.count, restarts, steps) if restarts > 1 else at_the_end
    with net.skipping(skip_gradient):
        x, recipe = optimise_picture(net, -objective, plan.surface, z, label, ids, steps, plan.transform, watch, stop)
    pictures = [
        # a copy, so that no picture keeps the memory of the whole batch
        Picture(image.clone(), {**recipe, **_reproduction(objective, number, shared_frequencies)}, net.bounds)
        for number, image in enumerate(x)
    ]
    return pictures if objective.count > 1 else pictures[0]


@dataclass(frozen=True)
class Plan:
    """The checked settings of `visualize`, made before the network is run."""

    surface: Surface
    transform: Transform
    seed: int


def check_settings(net: Frozen, objective: Objective, *args: Any, **settings: Any) -> None:
    """Check the arguments of `visualize` without running the network.

    Raises:
        ValueError, TypeError: as `visualize`.
    """
    bound = inspect.signature(visualize).bind(net, objective, *args, **settings)
    bound.apply_defaults()
    _plan(*(value for name, value in bound.arguments.items() if name != "watch"))


def _plan(
    net: Frozen,
    objective: Objective,
    size: int | tuple[int, int],
    steps: int,
    seed: int,
    canvas: str,
    augment: float,
    colours: int,
    shared_frequencies: int,
    restarts: int,
    initial_scale: float,
    mirror: bool,
    skip_gradient: float,
) -> Plan:
    if not isinstance(objective, Objective):
        raise TypeError(f"objective must be an Objective such as Channel or Class, not {type(objective).__name__}.")
    shape = shape_of(size, colours)
    checks.whole("steps", steps)
    checks.share("skip_gradient", skip_gradient)
    look = growing(checks.share("initial_scale", initial_scale), max(1, steps // 2))
    within = picture_range(net, shape)
    if initial_scale != 1:
        picture_range(net, (shape[0], 1, 1))  # per-pixel bounds do not fit smaller images
    surface = canvas_of(canvas, shape, within, shared_frequencies)
    if checks.whole("restarts", restarts) > 1 and (objective.together or shared_frequencies):
        raise ValueError("Images that are optimised jointly do not support restarts; set restarts=1.")
    seed = checks.seed(seed)
    return Plan(surface, augmented(within, augment, seed, look, mirror), seed)


def _reproduction(objective: Objective, number: int, shared_frequencies: int) -> dict[str, Any]:
    """Recipe entry that reproduces one of several pictures: alone, or by its index if they are optimised jointly."""
    if objective.count > 1 and (objective.together or shared_frequencies):
        return {"picture": number}
    return {} if objective.plain is None else {"settings": {"objective": plain_of_one(objective.plain, number)}}


def augmented(
    within: Range, strength: float, seed: int, look: Transform = unchanged, mirror: bool = False
) -> Transform:
    """Random flip, shift, scaling, rotation and noise before each evaluation, against pixel-level artefacts.

    `look` is applied after the geometric transforms and before the noise, which is relative to the range's width.

    Raises:
        ValueError, TypeError: the strength is not a number of at least 0.
    """
    flips = [mirrored_at_random(seed)] if mirror else []
    if strength == 0:
        return chained(*flips, look)
    checks.positive("augment", strength)
    factor = 1.3**strength
    return chained(
        *flips,
        shift(min(1.0, strength / 14), seed),
        scale(1 / factor, factor, seed),
        rotate(10 * strength, seed),
        look,
        noise(0.05 * strength * within.width, seed),
    )


SIDE_MULTIPLE = 32
"""Downscaled sides are multiples of this, since networks halve them up to five times."""


def growing(share: float, steps: int) -> Transform:
    """Downscale images [B, C, H, W], with a scale that rises linearly from `share` to 1 over `steps` steps.

    At a small scale the search determines the layout of the picture before its details.
    """

    def transform(x: Tensor, problem: Problem, index: int) -> Tensor:
        fraction = share + (1 - share) * min(1.0, index / steps)
        height, width = (
            min(side, max(1, round(fraction * side / SIDE_MULTIPLE)) * SIDE_MULTIPLE) for side in x.shape[2:]
        )
        if fraction == 1 or (height, width) == x.shape[2:]:
            return x
        return functional.interpolate(x, (height, width), mode="bilinear", antialias=True)

    return transform
