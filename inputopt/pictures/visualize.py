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
from inputopt.pictures.picture_search import painted
from inputopt.pictures.provenance import Kind, repeatable
from inputopt.pictures.successive_halving import Knockout
from inputopt.search.bounds import Range, picture_range
from inputopt.search.loop import Watch, at_the_end
from inputopt.search.objectives.features import only, rebuilt
from inputopt.search.objectives.objective import Objective
from inputopt.search.problem import Problem
from inputopt.search.transforms import Transform, chained, mirror, noise, rotate, scale, shift, unchanged

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
    shake: float = 1.0,
    colours: int = 3,
    shared: int = 0,
    starts: int = 1,
    coarse: float = 1.0,
    mirrored: bool = False,
    branches: float = 1.0,
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
        shake: how strongly the image is moved, turned, scaled and blurred by noise before each look: 1 for up to a
            fourteenth of its side, 10 degrees, a factor of 1.3 and 5 % of the bounds' width; 0 for not at all.
        colours: 3 for RGB, 1 for grey.
        shared: waves that repeat up to so often over the image are one for all pictures, so that they lie upon each
            other; 0 for none. Not for "cppn".
        starts: how many searches each picture begins with. In rounds over the first half of the steps the better half
            of them goes on, by the objective itself, until one is left: it costs more, and gets out of bad beginnings.
            Not for pictures that depend on each other.
        coarse: the share of each side at which the network is shown the picture at first, 1 or less; over half of the
            steps it rises to 1. Quicker, and better for whole scenes, such as those of classes. For networks that take
            images of any size.
        mirrored: whether about half of the looks are at the picture in a mirror. For what has no left and right, such
            as most classes: it takes more steps, and other networks read the picture better.
        branches: the share of the derivative that passes through the network's residual branches; all of it takes the
            skip connections beside them (`Frozen.skipping`). With about a half other networks read the picture far
            better, in fewer steps. For networks with skip connections.
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
        net, objective, size, steps, seed, canvas, shake, colours, shared, starts, coarse, mirrored, branches
    )
    label = torch.arange(objective.count, device=net.device).repeat_interleave(starts)
    # one seed's pictures all start alike, so that each is what it would be alone
    ids = label if objective.together else torch.arange(starts, device=net.device).repeat(objective.count)
    z = plan.surface.canvas.start(plan.seed, ids).to(net.dtype)
    stop = Knockout(objective.count, starts, steps) if starts > 1 else at_the_end
    with net.skipping(branches):
        x, said = painted(net, -objective, plan.surface, z, label, ids, steps, plan.transform, watch, stop)
    pictures = [
        # a copy, so that none keeps the others
        Picture(image.clone(), {**said, **_own_recipe(objective, number, shared)}, net.bounds)
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
    shake: float,
    colours: int,
    shared: int,
    starts: int,
    coarse: float,
    mirrored: bool,
    branches: float,
) -> Plan:
    if not isinstance(objective, Objective):
        raise TypeError(f"objective must be made by Channel, Class or the like, not {type(objective).__name__}.")
    shape = shape_of(size, colours)
    checks.whole("steps", steps)
    checks.share("branches", branches)
    look = growing(checks.share("coarse", coarse), max(1, steps // 2))
    within = picture_range(net, shape)
    if coarse != 1:
        picture_range(net, (shape[0], 1, 1))  # bounds that are of one size do not fit smaller looks
    surface = canvas_of(canvas, shape, within, shared)
    if checks.whole("starts", starts) > 1 and (objective.together or shared):
        raise ValueError("Pictures that depend on each other have one start each; set starts to 1.")
    seed = checks.seed(seed)
    return Plan(surface, shaken(within, shake, seed, look, mirrored), seed)


def _own_recipe(objective: Objective, number: int, shared: int) -> dict[str, Any]:
    """How one of several pictures is made again: alone, or as one of all where they depend on each other."""
    if objective.count > 1 and (objective.together or shared):
        return {"picture": number}
    return {} if objective.plain is None else {"settings": {"objective": only(objective.plain, number)}}


def shaken(within: Range, strength: float, seed: int, look: Transform = unchanged, mirrored: bool = False) -> Transform:
    """How an image is moved, scaled, turned and blurred by noise before each look, so that no trick of one pixel pays.

    `look` comes after the moves and before the noise, whose size is a part of the range's width.

    Raises:
        ValueError, TypeError: the strength is not a number of at least 0.
    """
    turned_round = [mirror(seed)] if mirrored else []
    if strength == 0:
        return chained(*turned_round, look)
    checks.positive("shake", strength)
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
