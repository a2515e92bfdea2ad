"""The most fragile examples: the inputs with the nearest misclassified neighbours, beside these neighbours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt.evaluation.report_page.nearest_distances import NearestDistances
from inputopt.images import Bounds, are_images, ends, thumbnail
from inputopt.nets.class_probabilities import only_class, probabilities
from inputopt.nets.frozen import Frozen

CHANGES = 6
"""Number of changed elements listed for an input that is not an image."""


@dataclass(frozen=True)
class Judged:
    """The class that the network predicts, and its probability; None for a network that returns only classes."""

    name: str
    probability: float | None


@dataclass(frozen=True)
class Views:
    """An image, its adversarial example and the difference, as data URIs, and how often the difference is magnified."""

    before: str
    after: str
    difference: str
    factor: float


@dataclass(frozen=True)
class Change:
    """One changed element of an input that is not an image: its index, and its value before and after."""

    place: str
    before: float
    after: float


@dataclass(frozen=True)
class Twin:
    """An input and its nearest misclassified neighbour.

    Attributes:
        position: position among the evaluated inputs.
        label: name of its class; empty if it is not known.
        distance: distance of the two, in the norm of the evaluation.
        before, after: what the network predicts.
        views: the images; None for other inputs.
        changes: the largest changes of inputs that are not images.
        changed: number of changed elements.
    """

    position: int
    label: str
    distance: float
    before: Judged
    after: Judged
    views: Views | None
    changes: tuple[Change, ...]
    changed: int


def fragile_examples(
    net: Frozen,
    x0: Tensor,
    label: Tensor | None,
    nearest: NearestDistances,
    name_of: Callable[[int], str],
    most: int,
) -> list[Twin]:
    """The `most` inputs with the smallest distances above 0, nearest first.

    Args:
        net: the network.
        x0: all evaluated inputs [B, ...].
        label: their labels, int64 [B].
        nearest: their minimal distances, with rows and inputs.
        name_of: name of a class.
        most: number of examples.
    """
    if nearest.rows is None or nearest.x is None:
        return []
    possible = (torch.isfinite(nearest.distance) & (nearest.distance > 0)).nonzero()[:, 0]
    chosen = possible[nearest.distance[possible].argsort(stable=True)[:most]]
    if not len(chosen):
        return []
    rows = nearest.rows[chosen]
    before = x0[rows.to(x0.device)]
    after = nearest.x[chosen].to(before)
    judged = [_judged(net, part, name_of) for part in (before, after)]
    images = are_images(before, net.bounds)
    found = []
    for index, row in enumerate(rows.tolist()):
        views = _views(before[index], after[index], net.bounds) if images else None
        found.append(
            Twin(
                row,
                "" if label is None else name_of(int(label[row])),
                float(nearest.distance[chosen[index]]),
                judged[0][index],
                judged[1][index],
                views,
                () if images else _changes(before[index], after[index]),
                int((before[index] != after[index]).sum()),
            )
        )
    return found


@torch.no_grad()
def _judged(net: Frozen, x: Tensor, name_of: Callable[[int], str]) -> list[Judged]:
    outputs = net(x)
    best = probabilities(outputs).max(1)
    return [
        Judged(name_of(predicted), None if only_class(row) else probability)
        for row, predicted, probability in zip(outputs, best.indices.tolist(), best.values.tolist(), strict=True)
    ]


def _views(before: Tensor, after: Tensor, bounds: Bounds) -> Views:
    low, high = ends(before, bounds)
    change = (after - before).cpu().double() / (high - low)
    largest = float(change.abs().max())
    factor = 0.5 / largest if largest > 0 else 1.0
    return Views(thumbnail(before, bounds), thumbnail(after, bounds), thumbnail(0.5 + factor * change), factor)


def _changes(before: Tensor, after: Tensor) -> tuple[Change, ...]:
    size = (after - before).abs().flatten()
    order = size.argsort(descending=True, stable=True)[:CHANGES]
    found = []
    for flat in order[size[order] > 0].tolist():
        place = torch.unravel_index(torch.tensor(flat), before.shape)
        name = ", ".join(str(int(each)) for each in place)
        found.append(Change(name, float(before.flatten()[flat]), float(after.flatten()[flat])))
    return tuple(found)
