"""Canvases: what a search moves is z, what the network sees is made from it."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from inputopt.search.problem import Problem

Canvas = Callable[[Tensor, Problem], Tensor]
"""(z, problem) -> the inputs [B, ...] that the network is shown."""


def pixels(z: Tensor, problem: Problem) -> Tensor:
    """z itself."""
    return z
