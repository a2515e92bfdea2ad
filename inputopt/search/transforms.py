"""Transforms between the canvas and the network: drawn afresh at each step, for each example apart."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from inputopt.search import chance
from inputopt.search.problem import Problem

Transform = Callable[[Tensor, Problem, int], Tensor]


def unchanged(x: Tensor, problem: Problem, index: int) -> Tensor:
    """No transform."""
    return x


def jitter(pixels: int, seed: int) -> Transform:
    """Roll each image [B, C, H, W] by up to `pixels` each way, round the edges, so that no grid is favoured."""

    def transform(x: Tensor, problem: Problem, index: int) -> Tensor:
        drawn = chance.uniform((2,), seed, problem.ids, index)
        down, right = ((drawn * (2 * pixels + 1)).long() - pixels).unbind(1)
        return rolled(x, down, right)

    return transform


def rolled(x: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Each image of [B, C, H, W] rolled by its own whole number of pixels, [B] each way."""
    height, width = x.shape[-2:]
    rows = (torch.arange(height, device=x.device) - down[:, None]) % height
    columns = (torch.arange(width, device=x.device) - right[:, None]) % width
    examples = torch.arange(len(x), device=x.device)
    picked = x.movedim(1, -1)[examples[:, None, None], rows[:, :, None], columns[:, None, :]]
    return picked.movedim(-1, 1)
