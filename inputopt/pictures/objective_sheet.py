"""A sheet of feature visualisations, each with what it maximises and the score that it reaches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from inputopt.nets.class_names import name_of_class
from inputopt.nets.class_probabilities import probabilities
from inputopt.nets.default_modes import default_modes
from inputopt.nets.frozen import Frozen, frozen
from inputopt.pictures.picture import Picture
from inputopt.pictures.picture_search import scores
from inputopt.pictures.sheet import named_sheet
from inputopt.search.objectives.features import plain_of_one
from inputopt.search.objectives.objective import Objective

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@default_modes()
def objective_sheet(
    pictures: Sequence[Picture | Tensor],
    model: Frozen | nn.Module | Callable[[Tensor], Tensor],
    objective: Objective,
    title: str = "Feature visualisations, each with the value of its objective",
    columns: int = 5,
    names: Sequence[str] | None = None,
) -> Figure:
    """A figure of the pictures that `visualize` made for an objective, captioned by name and score.

    Args:
        pictures: the pictures, or tensors in the model's bounds such as those of `read_photo`, one for each channel,
            neuron or class of the objective, [C, H, W] of one size.
        model: the network that they were made with.
        objective: what they maximise.
        title: title of the figure.
        columns: largest number of columns.
        names: names of the pictures instead of those of the channels or classes.

    Raises:
        ValueError: another number of pictures or names than the objective is for.
    """
    net = frozen(model)
    if len(pictures) != objective.count or len(pictures) != len(names or pictures):
        raise ValueError(f"The objective is for {objective.count} pictures; give as many pictures and names.")
    made = [picture if isinstance(picture, Picture) else Picture(picture, bounds=net.bounds) for picture in pictures]
    x = torch.stack([picture.x for picture in made]).to(net.device)
    captions = score_captions(net, objective, x, names)
    return named_sheet(x, made[0].bounds, captions, title, columns)


def score_captions(net: Frozen, objective: Objective, x: Tensor, names: Sequence[str] | None = None) -> list[str]:
    """A caption for each image [B, C, H, W]: its name, and its probability for a class, else its objective's value."""
    plains = [plain_of_one(objective.plain, number) for number in range(len(x))]
    with torch.no_grad():
        values = scores(net, objective, x)
        classes = [plain[1] if plain is not None and plain[0] in CLASSES else None for plain in plains]
        if None in classes:
            shown = [_name(plain, 0, None) for plain in plains] if names is None else names
            return [f"{name}\nscore {float(value):.3g}".strip() for name, value in zip(shown, values, strict=True)]
        logits = net(x)
        chosen = probabilities(logits)[torch.arange(len(x)), torch.tensor(classes)]
        shown = [_name(plain, logits.shape[1], net.facts.class_names) for plain in plains] if names is None else names
    return [f"{name}\nprobability {float(share):.3f}" for name, share in zip(shown, chosen, strict=True)]


CLASSES = ("Class", "LogProbability")
"""Objectives on a class, whose probability says more than their value."""


def _name(plain: Any, count: int, names: Sequence[str] | None) -> str:
    """The name of what one picture maximises, from the plain form of its objective; of a sum, the first part's.

    A class of a network with `count` classes has its name in `names`, or that of ImageNet's; else it is "class 3".
    """
    match plain:
        case ["+" | "*", first, _]:
            return _name(first, count, names)
        case ["Class" | "LogProbability", number, *_]:
            name = name_of_class(number, count, names)
            return f"class {name}" if name.isdecimal() else name
        case ["Channel" | "Neuron" as kind, layer, number, *_]:
            return f"{layer} {kind.lower()} {number}"
        case ["Layer" | "Direction" as kind, layer, *_]:
            return f"{layer} {kind.lower()}"
    return ""
