"""Qualities of feature visualisations: the settings that `visualize` uses where none are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from inputopt.nets.frozen import Frozen
from inputopt.pictures.augmentation import augmented, downscaled
from inputopt.pictures.canvas_choice import Surface
from inputopt.pictures.picture_search import optimise_picture, scores
from inputopt.search.bounds import picture_range
from inputopt.search.objectives.objective import Objective
from inputopt.search.problem import Problem

QualityName = Literal["draft", "good", "best"]
"""The qualities of `visualize`."""


@dataclass(frozen=True)
class SearchSettings:
    """Settings of a search for pictures, as `visualize` describes them.

    Attributes:
        steps: number of optimisation steps.
        restarts: number of searches per picture.
        initial_scale: scale at which the network is first run on the picture.
        mirror: whether to flip the picture horizontally at about half of the evaluations.
        skip_gradient: factor for gradients through residual branches.
        drop_branches: probability that a step runs the network without its last residual branch.
    """

    steps: int
    restarts: int
    initial_scale: float
    mirror: bool
    skip_gradient: float
    drop_branches: float


# chosen on classes of DEVELOPMENT in benchmarks/class_pictures.py, none of which it judges; the number of steps and
# drop_branches on the six hardest (422, 518, 627, 705, 839, 899), made 448 steps long: mean probability on three other
# networks 0.65 without dropping, 0.78 at 0.3 and 0.82 at 0.5
QUALITIES: Mapping[str, SearchSettings] = {
    "draft": SearchSettings(64, 1, 0.5, False, 0.5, 0.0),
    "good": SearchSettings(512, 1, 0.8, True, 0.5, 0.5),
    "best": SearchSettings(768, 2, 0.8, True, 0.5, 0.5),
}
"""The settings of each quality, for a network and an objective that all of them apply to."""

WITHOUT_DROPPING: Mapping[str, int] = {"draft": 64, "good": 256, "best": 384}
"""Number of steps of each quality where no branches are dropped, since dropping takes more steps."""

OFF: Mapping[str, Any] = {
    "restarts": 1,
    "initial_scale": 1.0,
    "mirror": False,
    "skip_gradient": 1.0,
    "drop_branches": 0.0,
}
"""The values with which a setting has no effect."""

MIRROR_STEPS = 64
"""Mirroring slows a search down, so searches with fewer steps do without."""

PROBE_STEPS = 24
KEPT = 0.85
"""A picture is mirrored if the objective, from a grey image to a picture of `PROBE_STEPS` steps, rises by at least this
share of it on the mirror image too. Pictures of ImageNet classes keep 0.9 to 1, those of most digits less than 0.6."""


@dataclass(frozen=True)
class ChosenSettings:
    """The settings of a search, resolved for one network and objective.

    Attributes:
        shared: the settings of all pictures; `mirror` is whether any of them is mirrored.
        mirror: for each picture whether it is mirrored.
        left_out: by name of a setting of the quality that is not used, why it does not apply.
    """

    shared: SearchSettings
    mirror: tuple[bool, ...]
    left_out: Mapping[str, str]

    def recorded(self, picture: int) -> dict[str, Any]:
        """The settings of one picture, by the names of the arguments of `visualize`."""
        return {**asdict(self.shared), "mirror": self.mirror[picture]}


@dataclass(frozen=True)
class Search:
    """A search whose settings are to be chosen.

    Attributes:
        net: the network.
        objective: what is maximised.
        surface: the canvas.
        joint: whether the pictures are optimised jointly.
        augment: strength of the random transforms.
        seed: seed of the random numbers.
    """

    net: Frozen
    objective: Objective
    surface: Surface
    joint: bool
    augment: float
    seed: int

    def start(self) -> tuple[Tensor, Problem]:
        """The initial parameters of each picture [count, ...], and the problem with the images that they decode to."""
        label = torch.arange(self.objective.count, device=self.net.device)
        ids = torch.zeros_like(label)
        z = self.surface.canvas.start(self.seed, ids).to(self.net.dtype)
        with torch.no_grad():
            x = self.surface.canvas(z, Problem(z, label, ids))
        return z, Problem(x, label, ids)


def chosen_settings(search: Search, quality: str, given: Mapping[str, Any]) -> ChosenSettings:
    """Resolve the settings that are not given: those of the quality, as far as they apply.

    Whether the network accepts smaller images and has residual branches is found by running it, and whether a picture
    may be mirrored by a short search without mirroring.

    Args:
        search: the search.
        quality: a name in `QUALITIES`.
        given: by name, the settings that the caller chose; None for those of the quality.

    Raises:
        ValueError, TypeError: as `visualize`, for an objective or gradient that is not finite.
    """
    preset = asdict(QUALITIES[quality])
    values = {name: preset[name] if value is None else value for name, value in given.items()}
    left_out: dict[str, str] = {}
    for name, off in OFF.items():
        if given[name] is None and values[name] != off:
            why = _why_not(search, name, values)
            if why is not None:
                values[name], left_out[name] = off, why
    if given["steps"] is None and "drop_branches" in left_out:
        values["steps"] = WITHOUT_DROPPING[quality]
    mirror = [bool(values["mirror"])] * search.objective.count
    if given["mirror"] is None and any(mirror):
        mirror = _may_be_mirrored(search, values)
        if not all(mirror):
            left_out["mirror"] = "the objective is lower on mirror images"
    shared = SearchSettings(**{**values, "mirror": any(mirror)})
    return ChosenSettings(shared, tuple(mirror), left_out)


def default_steps(net: Frozen, objective: Objective, quality: str, x: Tensor) -> int:
    """The number of steps of a quality, for a network and an objective; `x` [1, C, H, W] is an image of its size."""
    dropping = not objective.layers and QUALITIES[quality].drop_branches > 0 and _has_branches(net, x)
    return QUALITIES[quality].steps if dropping else WITHOUT_DROPPING[quality]


def _why_not(search: Search, name: str, values: Mapping[str, Any]) -> str | None:
    """Why a setting of the quality does not apply to a search; None if it does."""
    if name == "restarts":
        return "the pictures are optimised jointly" if search.joint else None
    if search.objective.layers:
        return "it is for objectives on logits alone"
    if name == "mirror":
        return f"it needs at least {MIRROR_STEPS} steps" if values["steps"] < MIRROR_STEPS else None
    x = search.start()[1].x0[:1]
    if name == "initial_scale":
        return None if _takes_scale(search.net, x, values[name]) else "the network is not run on smaller images"
    return None if _has_branches(search.net, x) else "the network has no residual branches"


def _takes_scale(net: Frozen, x: Tensor, share: float) -> bool:
    """Whether the image [1, C, H, W] can be made smaller, and the logits then have the same shape."""
    smaller = downscaled(x, share)
    if smaller is x:
        return False
    try:
        picture_range(net, (x.shape[1], 1, 1))  # per-pixel bounds do not fit smaller images
        with torch.no_grad():
            return net(smaller).shape == net(x).shape
    except (ValueError, TypeError):  # if it does not accept the full size either, the search says so
        return False


def _has_branches(net: Frozen, x: Tensor) -> bool:
    """Whether the network has residual branches on an image [1, C, H, W]."""
    try:
        with torch.no_grad(), net.skipping(0.5):
            net(x)
    except (ValueError, TypeError):
        return False
    return True


def _may_be_mirrored(search: Search, values: Mapping[str, Any]) -> list[bool]:
    """For each picture, whether the objective is about as high on the mirror image of a picture made without flips.

    Pictures that are optimised jointly are mirrored only if all of them may be.
    """
    net, objective, within = search.net, search.objective, search.surface.within
    z, problem = search.start()
    grey = within.of_parts(torch.full_like(problem.x0, 0.5))

    def look(x: Tensor, problem: Problem, index: int) -> Tensor:
        return downscaled(x, values["initial_scale"])

    transform = augmented(within, search.augment, search.seed, look)
    with net.skipping(values["skip_gradient"]):
        x, _ = optimise_picture(
            net,
            -objective,
            search.surface,
            z,
            problem.label,
            problem.ids,
            PROBE_STEPS,
            transform,
            independent=not search.joint,
        )
    with torch.no_grad():
        start, plain, flipped = (scores(net, objective, each) for each in (grey, x, x.flip(3)))
    found = (plain > start) & (flipped - start >= KEPT * (plain - start))
    return (found if not search.joint else found.all().expand_as(found)).tolist()
