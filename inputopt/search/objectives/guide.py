"""Guided DeepDream objective: amplify the activations in one image that match those of a guide image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from inputopt.search.channel_axes.layout import Axis, NetworkGeometry, axis_of, channels_second
from inputopt.search.objectives.objective import Objective
from inputopt.search.problem import Problem

MAX_POSITIONS = 400  # maximum number of guide positions to compare with


def guided(guide: Mapping[str, Tensor], *, axis: Axis = None) -> Objective:
    """Match of each position's activations with the best-matching position of a guide (after Mordvintsev, 2015).

    Args:
        guide: each layer's output for the guide image, [1, ...].
        axis: channel axis of the layers' outputs, one number for all layers or a dict with one for each; found
            automatically if not given, as for `Channel`.

    A match is the mean product over channels of two activation vectors. It is averaged over positions, summed over
    layers, and negated, since searches minimise.
    """

    def made(axes: Mapping[str, int | None]) -> Objective:
        def value(outputs: dict[str, Tensor], x: Tensor, problem: Problem) -> Tensor:
            matches = []
            for layer, seen in guide.items():
                guide_vectors = _positions(seen, layer, axes[layer])[0]
                guide_vectors = guide_vectors[:: -(-len(guide_vectors) // MAX_POSITIONS)]
                vectors = _positions(outputs[layer], layer, axes[layer])
                matches.append((vectors @ guide_vectors.to(vectors).T / guide_vectors.shape[1]).amax(2).mean(1))
            return -torch.stack(matches).sum(0)

        return Objective(value, tuple(guide), logits=False)

    def bound(to: NetworkGeometry) -> Objective:
        return made({layer: to.layout(layer, axis).axis for layer in guide})

    return replace(made({layer: axis_of(layer, axis) for layer in guide}), bind=bound)


def _positions(seen: Tensor, layer: str, axis: int | None) -> Tensor:
    """A layer's output as [B, positions, C]; an output [B, C] has one position."""
    seen = channels_second(seen, layer, axis)
    return seen.flatten(2).mT if seen.ndim > 2 else seen[:, None]
