"""Canvases: differentiable maps from the optimised parameters z to the network's inputs."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from inputopt.search.problem import Problem

Canvas = Callable[[Tensor, Problem], Tensor]
"""(z, problem) -> the network's inputs [B, ...]."""


def pixels(z: Tensor, problem: Problem) -> Tensor:
    """The pixel canvas: z [B, ...] is the input."""
    return z
