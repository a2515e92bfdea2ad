"""What excites a neuron, a channel, a layer or a class: an image made from nothing, to please it."""

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
from inputopt.pictures.canvas_choice import Surface, canvas_of, shape_of
from inputopt.pictures.picture import Picture
from inputopt.pictures.picture_search import optimise_picture
from inputopt.pictures.provenance import Kind, repeatable
from inputopt.pictures.successive_halving import SuccessiveHalving
from inputopt.search.bounds import Range, picture_range
from inputopt.search.loop import Watch, at_the_end
from inputopt.search.objectives.features import only, rebuilt
from inputopt.search.objectives.objective import Objective
from inputopt.search.problem import Problem
from inputopt.search.transforms import Transform, chained, noise, rotate, scale, shift, unchanged
from inputopt.search.transforms import mirror as mirrored_at_random

OBJECTIVE = Kind(lambda objective: objective.plain or "one that cannot be written down", rebuilt)
"""An objective by its plain form."""


@repeatable(objective=OBJECTIVE)
def visualize(
    model: Frozen | nn.Module | Callable[[Tensor], Tensor],
    objective: Objective,
    size: int | tuple[int, int] = 224,
    steps: int = 256,
    seed: int = 0,
    *,
    canvas: str = "natural",
    augment: float = 1.0,
    colours: int = 3,
    shared_frequencies: int = 0,
    restarts: int = 1,
    initial_scale: float = 1.0,
    mirror: bool = False,
    skip_gradient: float = 1.0,
    watch: Watch | None = None,
) -> Picture | list[Picture]:
    """Ascend an objective from noise (Olah, Mordvintsev and Schubert, 2017).

    Args:
        model: a network, frozen or not; if not, its inputs are taken to lie in [0, 1].
        objective: what there shall be more of, such as `Channel("blocks.5", 12) - 0.1 * total_variation()`; one that
            names several channels, neurons or classes makes as many pictures, in one batch.
        size: the side of the picture, or (height, width).
        steps: how many.
        seed: what all chance is drawn from.
        canvas: "natural" (waves, as strong at each frequency as in a photo), "fourier" (free waves), "phase" (waves of
            fixed strength, MACO), "cppn" (a formula), "pixels".
        augment: how strongly the image is moved, turned, scaled and blurred by noise before each look: 1 for up to a
            fourteenth of its side, 10 degrees, a factor of 1.3 and 5 % of the bounds' width; 0 for not at all.
        colours: 3 for RGB, 1 for grey.
        shared_frequencies: frequencies up to this many cycles over the image are shared by all pictures, so that they
            are spatially aligned; 0 for none. Not for "cppn".
        restarts: how many searches each picture begins with. In rounds over the first half of the steps the better half
            of them goes on, by the objective itself, until one is left: it costs more, and gets out of bad beginnings.
            Not for pictures that depend on each other.
        initial_scale: the size at which the network first sees the picture, a share of each side, at most 1; it rises
            to 1 over the first half of the steps. Faster, and better for whole scenes, such as those of classes. For
            networks that take images of any size.
        mirror: whether about half of the looks are at the picture in a mirror. For what has no left and right, such
            as most classes: it takes more steps, and other networks read the picture better.
        skip_gradient: the factor for gradients through residual branches (skip gradient method; Wu et al., 2020); 1 for
            none. With about 0.5 other networks recognise the picture far better, in fewer steps. For networks with
            skip connections.
        watch: shown every step.

    Returns:
        A picture, or for an objective that names several a list of them. Where an objective looks at the channels of a
        layer, the recipe says under "channels" which axis they are on, and of how many places.

    Raises:
        ValueError, TypeError: an unknown layer, channel or canvas, numbers that make no sense, a layer whose channels
            cannot be told apart from places, an objective that is not a number, or infinite bounds.
    """
    net = frozen(model)
    plan = _planned(
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
    # one seed's pictures all start alike, so that each is what it would be alone
    ids = label if objective.together else torch.arange(restarts, device=net.device).repeat(objective.count)
    z = plan.surface.canvas.start(plan.seed, ids).to(net.dtype)
    stop = SuccessiveHalving(objective.count, restarts, steps) if restarts > 1 else at_the_end
    with net.skipping(skip_gradient):
        x, said = optimise_picture(net, -objective, plan.surface, z, label, ids, steps, plan.transform, watch, stop)
    pictures = [
        # a copy, so that none keeps the others
        Picture(image.clone(), {**said, **_own_recipe(objective, number, shared_frequencies)}, net.bounds)
        for number, image in enumerate(x)
    ]
    return pictures if objective.count > 1 else pictures[0]


@dataclass(frozen=True)
class Plan:
    """What `visualize` makes of its settings before the network is asked about anything."""

    surface: Surface
    transform: Transform
    seed: int


def check_settings(net: Frozen, objective: Objective, *args: Any, **settings: Any) -> None:
    """What `visualize` would say of its settings, without running the network.

    Raises:
        ValueError, TypeError: as `visualize`.
    """
    bound = inspect.signature(visualize).bind(net, objective, *args, **settings)
    bound.apply_defaults()
    _planned(*(value for name, value in bound.arguments.items() if name != "watch"))


def _planned(
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
        raise TypeError(f"objective must be made by Channel, Class or the like, not {type(objective).__name__}.")
    shape = shape_of(size, colours)
    checks.whole("steps", steps)
    checks.share("skip_gradient", skip_gradient)
    look = growing(checks.share("initial_scale", initial_scale), max(1, steps // 2))
    within = picture_range(net, shape)
    if initial_scale != 1:
        picture_range(net, (shape[0], 1, 1))  # bounds that are of one size do not fit smaller looks
    surface = canvas_of(canvas, shape, within, shared_frequencies)
    if checks.whole("restarts", restarts) > 1 and (objective.together or shared_frequencies):
        raise ValueError("Pictures that depend on each other have one start each; set restarts to 1.")
    seed = checks.seed(seed)
    return Plan(surface, augmented(within, augment, seed, look, mirror), seed)


def _own_recipe(objective: Objective, number: int, shared_frequencies: int) -> dict[str, Any]:
    """How one of several pictures is made again: alone, or as one of all where they depend on each other."""
    if objective.count > 1 and (objective.together or shared_frequencies):
        return {"picture": number}
    return {} if objective.plain is None else {"settings": {"objective": only(objective.plain, number)}}


def augmented(
    within: Range, strength: float, seed: int, look: Transform = unchanged, mirror: bool = False
) -> Transform:
    """How an image is moved, scaled, turned and blurred by noise before each look, so that no trick of one pixel pays.

    `look` comes after the moves and before the noise, whose size is a part of the range's width.

    Raises:
        ValueError, TypeError: the strength is not a number of at least 0.
    """
    turned_round = [mirrored_at_random(seed)] if mirror else []
    if strength == 0:
        return chained(*turned_round, look)
    checks.positive("augment", strength)
    factor = 1.3**strength
    return chained(
        *turned_round,
        shift(min(1.0, strength / 14), seed),
        scale(1 / factor, factor, seed),
        rotate(10 * strength, seed),
        look,
        noise(0.05 * strength * within.width, seed),
    )


GRAIN = 32
"""Sides that are smaller than the image are multiples of this: networks halve them up to five times."""


def growing(share: float, steps: int) -> Transform:
    """Show each image [B, C, H, W] smaller at first: from `share` of each side to all of it over so many steps.

    What is small must please as a whole: a search settles where things are before it settles what they are made of.
    """

    def transform(x: Tensor, problem: Problem, index: int) -> Tensor:
        part = share + (1 - share) * min(1.0, index / steps)
        height, width = (min(side, max(1, round(part * side / GRAIN)) * GRAIN) for side in x.shape[2:])
        if part == 1 or (height, width) == x.shape[2:]:
            return x
        return functional.interpolate(x, (height, width), mode="bilinear", antialias=True)

    return transform
