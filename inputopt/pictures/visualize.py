"""Feature visualisation (Olah et al., 2017): optimise images that maximise a neuron, channel, layer or class."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn

from inputopt import checks
from inputopt.nets.frozen import Frozen, frozen
from inputopt.pictures.augmentation import augmented, growing
from inputopt.pictures.canvas_choice import CanvasName, canvas_of
from inputopt.pictures.dream import resized
from inputopt.pictures.photo import photo_in_range
from inputopt.pictures.picture import Photo, Picture
from inputopt.pictures.picture_quality import (
    QUALITIES,
    ChosenSettings,
    QualityName,
    Search,
    SearchSettings,
    chosen_settings,
)
from inputopt.pictures.picture_search import optimise_picture
from inputopt.pictures.picture_shape import picture_shape
from inputopt.pictures.provenance import FILE, Kind, repeatable
from inputopt.pictures.stochastic_depth import StochasticDepth
from inputopt.pictures.successive_halving import SuccessiveHalving
from inputopt.search.bounds import picture_range
from inputopt.search.canvases.fourier import Shape
from inputopt.search.loop import Watch, at_the_end
from inputopt.search.objectives.features import objective_from_plain, plain_of_one
from inputopt.search.objectives.objective import Objective
from inputopt.search.transforms import chained

OBJECTIVE = Kind(lambda objective: objective.plain or "an objective without a JSON form", objective_from_plain)
"""An objective, recorded in its JSON form."""


@repeatable(objective=OBJECTIVE, init=FILE)
def visualize(
    model: Frozen | nn.Module | Callable[[Tensor], Tensor],
    objective: Objective,
    size: int | tuple[int, int] | None = None,
    steps: int | None = None,
    seed: int = 0,
    *,
    quality: QualityName | str = "good",
    canvas: CanvasName | str = "natural",
    augment: float = 1.0,
    colours: int | None = None,
    init: Photo | None = None,
    shared_frequencies: int = 0,
    restarts: int | None = None,
    initial_scale: float | None = None,
    mirror: bool | None = None,
    skip_gradient: float | None = None,
    drop_branches: float | None = None,
    watch: Watch | None = None,
) -> Picture | list[Picture]:
    """Feature visualisation: maximise an objective from noise (Olah, Mordvintsev and Schubert, 2017).

    Args:
        model: a network, frozen or not; if not, its inputs are taken to lie in [0, 1].
        objective: what to maximise, such as `Channel("blocks.5", 12) - 0.1 * total_variation()`; one that names several
            channels, neurons or classes yields as many pictures, optimised in one batch.
        size: side of the picture, or (height, width), in pixels; if not given, the size of `init`, or the only one
            that the network takes, or 224.
        steps: number of optimisation steps; that of the quality if not given: 64, 512 or 768, but 64, 256 or 384 where
            the quality leaves `drop_branches` out.
        seed: seed of all random numbers.
        quality: "draft", "good" or "best": the values of `steps`, `restarts`, `initial_scale`, `mirror`,
            `skip_gradient` and `drop_branches` that are not given, as far as they apply to the network and the
            objective. A draft of a class takes about a tenth of the time of a good picture, and the best takes twice as
            long. The recipe of a picture says which values were used, and under "left_out" which do not apply, and why.
        canvas: "natural" (Fourier coefficients with the power spectrum of photos), "fourier" (free coefficients),
            "phase" (fixed amplitudes, MACO), "cppn" (a pattern-producing network), "pixels".
        augment: strength of the random shift, rotation, scaling and noise before each evaluation: 1 for up to a
            fourteenth of the side, 10 degrees, a factor of 1.3 and 5 % of the bounds' width; 0 for none.
        colours: 3 for RGB, 1 for grey; if not given, the channels that the network's first layer takes.
        init: a picture to start from instead of noise: a path, a Pillow image, a uint8 array, or a tensor [C, H, W] in
            the bounds; scaled to `size`. "fourier" and "pixels" represent any picture; "natural" gives it the power
            spectrum of photos, and so changes the brightness and contrast of a picture that was not made on it. Fewer
            steps keep more of it.
        shared_frequencies: frequencies up to this many cycles over the image are shared by all pictures, so that they
            are spatially aligned; 0 for none. Not for "cppn".
        restarts: number of searches per picture. In rounds over the first half of the steps the half with the worse
            objective is dropped until one remains: it costs more, and avoids bad initialisations. Not supported for
            pictures that are optimised jointly, where the quality leaves it out.
        initial_scale: scale at which the network is first run on the picture, a fraction of each side, at most 1; it
            rises to 1 over the first half of the steps. Faster, and better for whole scenes, such as those of classes.
            For networks that accept images of any size; the quality leaves it out for others, and for objectives on
            layers.
        mirror: whether to flip the picture horizontally at about half of the evaluations. For objectives without left
            and right, such as most classes: it takes more steps, and the picture transfers better to other networks.
            The quality leaves it out for objectives on layers, for fewer than 64 steps, and where the objective is
            lower on the mirror image of a picture that a short search without flips made.
        skip_gradient: the factor for gradients through residual branches (skip gradient method; Wu et al., 2020); 1 for
            none. With about 0.5 the picture transfers far better to other networks, in fewer steps. For networks with
            skip connections; the quality leaves it out for others, and for objectives on layers.
        drop_branches: probability, below 1, that a step runs the network without its last residual branch; earlier ones
            are dropped in proportion to their number (stochastic depth; Huang et al., 2016). With 0.5 the picture
            transfers better to other networks, and takes more steps. For networks and objectives as `skip_gradient`.
        watch: called at every step.

    Returns:
        A picture, or a list of them for an objective that names several. For an objective on channels of a layer,
        "channels" in the recipe says which axis holds them, and the number of positions.

    Raises:
        ValueError, TypeError: an unknown layer, channel, canvas or quality, invalid settings, a layer whose channel
            axis cannot be detected, an objective that is NaN or infinite, or infinite bounds.
        FileError: `init` cannot be read.
    """
    net = frozen(model)
    image = None if init is None else photo_in_range(net, init)
    if image is not None:
        size, colours = size or (image.shape[2], image.shape[3]), colours or image.shape[1]
    shape = picture_shape(net, size, colours)
    given = {
        "steps": steps,
        "restarts": restarts,
        "initial_scale": initial_scale,
        "mirror": mirror,
        "skip_gradient": skip_gradient,
        "drop_branches": drop_branches,
    }
    search = _search(net, objective, shape, seed, quality, canvas, augment, shared_frequencies, given)
    chosen = chosen_settings(search, quality, given)
    settings = chosen.shared
    label = torch.arange(objective.count, device=net.device).repeat_interleave(settings.restarts)
    # all pictures start from the same noise, so that each is the same as if it were made alone
    ids = label if objective.together else torch.arange(settings.restarts, device=net.device).repeat(objective.count)
    z = _start(search, shape, ids, image)
    depth = StochasticDepth(settings.drop_branches, search.seed)
    look = chained(depth.transform, growing(settings.initial_scale, max(1, settings.steps // 2)))
    transform = augmented(search.surface.within, augment, search.seed, look, chosen.mirror)
    halving = SuccessiveHalving(objective.count, settings.restarts, settings.steps)
    stop = halving if settings.restarts > 1 else at_the_end
    with net.skipping(settings.skip_gradient, depth.kept if settings.drop_branches else None):
        x, recipe = optimise_picture(
            net, -objective, search.surface, z, label, ids, settings.steps, transform, watch, stop, not search.joint
        )
    pictures = [
        # a copy, so that no picture keeps the memory of the whole batch
        Picture(found.clone(), {**recipe, **_reproduction(objective, number, search.joint, chosen, shape)}, net.bounds)
        for number, found in enumerate(x)
    ]
    return pictures if objective.count > 1 else pictures[0]


def _start(search: Search, shape: Shape, ids: Tensor, image: Tensor | None) -> Tensor:
    """The initial z of the pictures: noise, different for each of `ids`, or a given image [1, C, H, W], scaled."""
    canvas = search.surface.canvas
    if image is None:
        return canvas.start(search.seed, ids).to(search.net.dtype)
    if image.shape[1] != shape[0]:
        raise ValueError(f"init must have {shape[0]} channels, as colours says, not {image.shape[1]}.")
    with torch.no_grad():
        z = canvas.encode(search.surface.within.clamp(resized(image, *shape[1:])))
    return z.expand(len(ids), *z.shape[1:]).clone()


def check_settings(net: Frozen, objective: Objective, *args: Any, **settings: Any) -> None:
    """Check the arguments of `visualize` without running the network.

    Raises:
        ValueError, TypeError: as `visualize`.
    """
    bound = inspect.signature(visualize).bind(net, objective, *args, **settings)
    bound.apply_defaults()
    arguments = {name: value for name, value in bound.arguments.items() if name not in NOT_CHECKED}
    given = {field.name: arguments.pop(field.name) for field in fields(SearchSettings)}
    size, colours = arguments.pop("size"), arguments.pop("colours")
    shape = picture_shape(net, 1 if size is None else size, colours)  # which runs the network only without a size
    _search(net, objective, shape, given=given, **arguments)


NOT_CHECKED = ("model", "objective", "init", "watch")
"""Arguments of `visualize` that need the network to run, or are checked elsewhere."""


def _search(
    net: Frozen,
    objective: Objective,
    shape: Shape,
    seed: int,
    quality: str,
    canvas: str,
    augment: float,
    shared_frequencies: int,
    given: Mapping[str, Any],
) -> Search:
    """Check the arguments of `visualize` without running the network."""
    if not isinstance(objective, Objective):
        raise TypeError(f"objective must be an Objective such as Channel or Class, not {type(objective).__name__}.")
    checks.one_of("quality", quality, QUALITIES)
    values = {name: value for name, value in given.items() if value is not None}
    checks.whole("steps", values.get("steps", 1))
    checks.share("skip_gradient", values.get("skip_gradient", 1))
    if not 0 <= checks.number("drop_branches", values.get("drop_branches", 0)) < 1:
        raise ValueError(f"drop_branches must be at least 0 and below 1, not {values['drop_branches']}.")
    within = picture_range(net, shape)
    if checks.share("initial_scale", values.get("initial_scale", 1)) != 1:
        picture_range(net, (shape[0], 1, 1))  # per-pixel bounds do not fit smaller images
    surface = canvas_of(canvas, shape, within, shared_frequencies)
    joint = objective.together or shared_frequencies > 0
    if not objective.together:
        check_different(objective)
    if checks.whole("restarts", values.get("restarts", 1)) > 1 and joint:
        raise ValueError("Images that are optimised jointly do not support restarts; set restarts=1.")
    seed = checks.seed(seed)
    augmented(within, augment, seed)  # checks the strength
    return Search(net, objective, surface, joint, augment, seed)


def check_different(objective: Objective) -> None:
    """Check that an objective for several pictures, which all start from the same noise, differs between them.

    Raises:
        ValueError: it has the same channel or class twice, whose pictures would be equal.
    """
    plain = [plain_of_one(objective.plain, number) for number in range(objective.count)]
    same = [number for number, each in enumerate(plain) if each is not None and plain.index(each) < number]
    if same:
        raise ValueError(
            f"The objective of picture {same[0]} is that of picture {plain.index(plain[same[0]])}, so they would be "
            "equal; give it once, and another seed for a variation, or add inputopt.diversity."
        )


def _reproduction(
    objective: Objective, number: int, joint: bool, chosen: ChosenSettings, shape: Shape
) -> dict[str, Any]:
    """Recipe entries that reproduce one of several pictures: alone, or by its index if they are optimised jointly."""
    size = shape[1] if shape[1] == shape[2] else list(shape[1:])
    settings, entries = {**chosen.recorded(number), "size": size, "colours": shape[0]}, {}
    if objective.count > 1 and joint:
        entries["picture"] = number
    elif objective.plain is not None:
        settings["objective"] = plain_of_one(objective.plain, number)
    left_out = {name: why for name, why in chosen.left_out.items() if name != "mirror" or not chosen.mirror[number]}
    return {**entries, "settings": settings, **({"left_out": left_out} if left_out else {})}
