"""A head fitted to a model's own predictions, on inner features that have a gradient, for transfer attacks.

For heads without a derivative, such as nearest neighbours or trees: the differentiable head gives each class the
density of its examples in feature space (as Sitawarin and Wagner, 2019, attack nearest neighbours).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt.nets.frozen import Frozen
from inputopt.nets.gradient_rules.gradient_repair import GradientRepair, prepared, watched, with_argmax_of
from inputopt.search import keyed_random

Forward = Callable[[Tensor], Tensor]

COPIES = 3
"""Noisy copies of each input that the head is fitted on, besides the input."""

REFERENCES = 2000
"""Largest number of points that the head is fitted on."""

FITTING = 13
"""Seed of the noise."""

INPUT = -1
"""As a feature's number: the input itself."""

WIDTHS = 3
"""The last inner tensors [B, d] that are tried as features."""


@dataclass(frozen=True)
class FittedHead:
    """Class scores of features by the density of each class.

    Attributes:
        features: of the points that it was fitted on, [R, d].
        classes: predictions of the model there, int64 [R].
        count: number of classes.
        width: squared width of the densities.
    """

    features: Tensor
    classes: Tensor
    count: int
    width: float

    def __call__(self, features: Tensor) -> Tensor:
        """Log densities of the classes at features [B, d]: [B, count]."""
        exponents = -torch.cdist(features, self.features).square() / self.width
        scores = [exponents[:, self.classes == number] for number in range(self.count)]
        lowest = exponents.detach().amin(1) - 1
        return torch.stack([part.logsumexp(1) if part.shape[1] else lowest for part in scores], 1)


def feature_taps(net: Frozen, x: Tensor) -> list[int]:
    """Numbers of the last inner tensors [B, d] with a gradient, the last first, and the input itself."""
    found: list[int] = []

    def visit(number: int, tensor: Tensor) -> Tensor:
        if tensor.requires_grad:
            found.append(number)
        return tensor

    try:
        with torch.enable_grad():
            watched(net.runner, prepared(net.runner, x.detach().requires_grad_()), GradientRepair(), None, visit)
    except Exception:  # the model refuses inputs with a gradient
        return [INPUT]
    return [*found[: -WIDTHS - 1 : -1], INPUT]


def with_fitted_head(net: Frozen, x: Tensor, tap: int, deviation: float, ids: Tensor) -> Forward:
    """The model's predictions, with the scores of a head fitted on the inner tensor `tap` around inputs x [B, ...].

    Args:
        net: the network.
        x: inputs to fit on, with noisy copies.
        tap: as returned by `feature_taps`.
        deviation: of the noise.
        ids: int64 [B], keys of the noise.
    """

    def run(inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Features [B, d] and the model's outputs [B, n]."""
        inner: list[Tensor] = []

        def visit(number: int, tensor: Tensor) -> Tensor:
            if number == tap:
                inner.append(tensor)
            return tensor

        given = prepared(net.runner, inputs)
        outputs = watched(net.runner, given, GradientRepair(), None, None if tap == INPUT else visit).outputs
        features = given if tap == INPUT or not inner else inner[0]
        return features.flatten(1), outputs

    noisy = [x, *(x + deviation * keyed_random.normal(x.shape[1:], FITTING, ids, draw).to(x) for draw in range(COPIES))]
    with torch.no_grad():
        parts = [run(part) for part in torch.split(torch.cat(noisy)[:REFERENCES], 256)]
    features, outputs = (torch.cat(each) for each in zip(*parts, strict=True))
    distances = torch.cdist(features[: len(x)], features[: len(x)]).fill_diagonal_(torch.inf).amin(1)
    width = float(distances.square().median().clamp_min(1e-12))
    head = FittedHead(features, outputs.argmax(1), outputs.shape[1], width)

    def forward(inputs: Tensor) -> Tensor:
        inner, outputs = run(inputs)
        return with_argmax_of(head(inner), outputs)

    return forward
