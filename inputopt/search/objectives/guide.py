"""A guide: what a layer saw in one image decides what is made more of in another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from inputopt.search.channel_axes.layout import Axis, NetworkGeometry, axis_of, channels_second
from inputopt.search.objectives.objective import Objective
from inputopt.search.problem import Problem

MOST = 400  # places of a guide that are compared with


def guided(guide: Mapping[str, Tensor], *, axis: Axis = None) -> Objective:
    """How well each place of an image matches the place of the guide that it matches best (after Mordvintsev, 2015).

    Args:
        guide: what each layer puts out for the guide, [1, ...].
        axis: which axis of a layer's output holds its channels, one number for all layers or a dict with one for each;
            found where it is not given, as for `Channel`.

    A match is the mean product of what the layer puts out; it is averaged over places and summed over layers. It is to
    be ascended, so it comes negated.
    """

    def made(axes: Mapping[str, int | None]) -> Objective:
        def value(outputs: dict[str, Tensor], x: Tensor, problem: Problem) -> Tensor:
            matches = []
            for layer, seen in guide.items():
                known = _places(seen, layer, axes[layer])[0]
                known = known[:: -(-len(known) // MOST)]
                places = _places(outputs[layer], layer, axes[layer])
                matches.append((places @ known.to(places).T / known.shape[1]).amax(2).mean(1))
            return -torch.stack(matches).sum(0)

        return Objective(value, tuple(guide), logits=False)

    def bound(to: NetworkGeometry) -> Objective:
        return made({layer: to.layout(layer, axis).axis for layer in guide})

    return replace(made({layer: axis_of(layer, axis) for layer in guide}), bind=bound)


def _places(seen: Tensor, layer: str, axis: int | None) -> Tensor:
    """A layer's output as [B, places, C]; one without places is one place."""
    seen = channels_second(seen, layer, axis)
    return seen.flatten(2).mT if seen.ndim > 2 else seen[:, None]
