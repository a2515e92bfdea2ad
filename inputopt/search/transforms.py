"""Transforms between the canvas and the network: drawn afresh at each step, for each example apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
    return _Roll.apply(x, down, right)  # type: ignore[no-untyped-call]


class _Roll(torch.autograd.Function):
    """Its derivative is the roll back; autograd's own, of an indexing, adds up pixel by pixel."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, down: Tensor, right: Tensor) -> Tensor:
        ctx.save_for_backward(down, right)
        return _moved(x, down, right)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        down, right = ctx.saved_tensors
        return _moved(grad, -down, -right), None, None


def _moved(x: Tensor, down: Tensor, right: Tensor) -> Tensor:
    height, width = x.shape[-2:]
    rows = (torch.arange(height, device=x.device) - down[:, None]) % height
    columns = (torch.arange(width, device=x.device) - right[:, None]) % width
    examples = torch.arange(len(x), device=x.device)
    picked = x.movedim(1, -1)[examples[:, None, None], rows[:, :, None], columns[:, None, :]]
    return picked.movedim(-1, 1)
