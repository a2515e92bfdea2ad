"""Total variation (Rudin, Osher and Fatemi, 1992): the mean absolute difference between neighbouring pixels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from inputopt.search.objectives.objective import Objective
from inputopt.search.problem import Problem


def total_variation() -> Objective:
    """Total variation of images [B, C, H, W]: mean absolute horizontal plus mean absolute vertical pixel difference.

    In picture functions it is in units of the width of the network's bounds, elsewhere in pixel units.
    """

    def made(width: Any) -> Objective:
        def value(outputs: object, x: Tensor, problem: Problem) -> Tensor:
            parts = x if isinstance(width, float) and width == 1 else x / width
            across, down = (parts[..., 1:] - parts[..., :-1]).abs(), (parts[..., 1:, :] - parts[..., :-1, :]).abs()
            return sum((part.flatten(1).mean(1) for part in (across, down) if part.numel()), x.new_zeros(len(x)))

        return Objective(value, logits=False, plain=["total_variation"])

    return replace(made(1.0), bind=lambda to: made(to.width))
