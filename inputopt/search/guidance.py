"""A guide: what a layer saw in one image decides what is made more of in another."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from inputopt.search.objectives import Objective
from inputopt.search.problem import Problem

MOST = 400  # places of a guide that are compared with


def guided(guide: Mapping[str, Tensor]) -> Objective:
    """How well each place of an image matches the place of the guide that it matches best (after Mordvintsev, 2015).

    Args:
        guide: what each layer puts out for the guide, [1, C, ...].

    A match is the mean product of what the layer puts out; it is averaged over places and summed over layers. It is to
    be ascended, so it comes negated.
    """
    known = {layer: _places(seen)[0] for layer, seen in guide.items()}
    known = {layer: places[:: -(-len(places) // MOST)] for layer, places in known.items()}

    def value(outputs: dict[str, Tensor], x: Tensor, problem: Problem) -> Tensor:
        matches = [
            (_places(outputs[layer]) @ places.to(x).T / places.shape[1]).amax(2).mean(1)
            for layer, places in known.items()
        ]
        return -torch.stack(matches).sum(0)

    return Objective(value, tuple(known), logits=False)


def _places(seen: Tensor) -> Tensor:
    """[B, C, ...] as [B, places, C]; a layer without places, [B, n], is one place."""
    return seen.flatten(2).mT if seen.ndim > 2 else seen[:, None]
