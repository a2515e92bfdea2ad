"""Directions: pure functions that transform a gradient before a step, with batch-first state; they can be chained."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from inputopt.search.norms import L2, LINF, Norm
from inputopt.search.norms.norm import over_largest as _over_largest
from inputopt.search.rows import per_example


class Direction(Protocol):
    """`init` returns the state for inputs like z; `update` maps a gradient and a state to a direction and a state."""

    def init(self, z: Tensor) -> Any: ...

    def update(self, grad: Tensor, state: Any) -> tuple[Tensor, Any]: ...


@dataclass(frozen=True)
class Stateless:
    """A direction that is a function of the gradient alone."""

    function: Callable[[Tensor], Tensor]

    def init(self, z: Tensor) -> tuple[()]:
        return ()

    def update(self, grad: Tensor, state: tuple[()]) -> tuple[Tensor, tuple[()]]:
        return self.function(grad), state


def _over_mean(grad: Tensor) -> Tensor:
    mean = grad.flatten(1).abs().mean(1).clamp_min(torch.finfo(grad.dtype).tiny)
    return grad / per_example(mean, grad)


sign = Stateless(LINF.steepest)
"""The sign of the gradient: steepest ascent in Linf."""

unit = Stateless(L2.steepest)
"""The gradient normalised to L2 norm 1 for each example; a zero gradient stays zero."""

over_mean = Stateless(_over_mean)
"""The gradient divided by its mean absolute value in each example: the usual normalisation in DeepDream."""

over_largest = Stateless(_over_largest)
"""The gradient divided by its largest absolute value in each example."""


def smooth(sigma: float) -> Stateless:
    """The gradient of images [B, C, H, W] blurred by a Gaussian of `sigma` pixels, with replicated edges.

    Without the blur, the highest frequencies of the gradients would add up to visible dots.
    """
    radius = max(1, math.ceil(3 * sigma))
    weights = [math.exp(-(place**2) / (2 * sigma**2)) for place in range(-radius, radius + 1)]
    kernel = torch.tensor(weights, dtype=torch.float64) / sum(weights)

    def blurred(grad: Tensor) -> Tensor:
        row = kernel.to(grad).expand(grad.shape[1], 1, 1, -1)
        for weight, padding in ((row, (radius, radius, 0, 0)), (row.mT, (0, 0, radius, radius))):
            grad = functional.conv2d(functional.pad(grad, padding, "replicate"), weight, groups=grad.shape[1])
        return grad

    return Stateless(blurred)


def steepest(norm: Norm) -> Stateless:
    """Steepest ascent: the change of size 1 in the norm along which the loss rises fastest."""
    return Stateless(norm.steepest)


def ascent(norm: Norm) -> Stateless:
    """The ascent direction for long searches in this norm; see `Norm.ascent`."""
    return Stateless(norm.ascent)


@dataclass(frozen=True)
class Momentum:
    """Running sum of gradients, in which old gradients are multiplied by `decay` at each step."""

    decay: float = 0.9

    def init(self, z: Tensor) -> tuple[Tensor]:
        return (torch.zeros_like(z),)

    def update(self, grad: Tensor, state: tuple[Tensor]) -> tuple[Tensor, tuple[Tensor]]:
        velocity = self.decay * state[0] + grad
        return velocity, (velocity,)


@dataclass(frozen=True)
class Adam:
    """Adam: running mean of the gradient over the square root of its running mean square (Kingma and Ba, 2015)."""

    def init(self, z: Tensor) -> Averages:
        return Averages(torch.zeros_like(z), torch.zeros_like(z), 0)

    def update(self, grad: Tensor, state: Averages) -> tuple[Tensor, Averages]:
        mean, square, step = adam(grad, state.mean, state.square, state.index)
        return step, Averages(mean, square, state.index + 1)


@dataclass(frozen=True)
class Averages:
    """Adam's running averages, shaped like z, and the step index."""

    mean: Tensor
    square: Tensor
    index: int


def adam(grad: Tensor, mean: Tensor, square: Tensor, index: int) -> tuple[Tensor, Tensor, Tensor]:
    """Adam's running averages after step `index`, and the step (Kingma and Ba, 2015); all [B, ...]."""
    mean, square = mean.lerp(grad, 0.1), torch.addcmul(0.999 * square, grad, grad, value=0.001)
    first, second = 1 - 0.9 ** (index + 1), 1 - 0.999 ** (index + 1)  # bias corrections
    return mean, square, mean / square.sqrt().mul_(first / math.sqrt(second)).add_(1e-8 * first)


@dataclass(frozen=True)
class Chain:
    """Several directions applied one after the other."""

    links: tuple[Direction, ...]

    def init(self, z: Tensor) -> tuple[Any, ...]:
        return tuple(link.init(z) for link in self.links)

    def update(self, grad: Tensor, state: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
        new = []
        for link, link_state in zip(self.links, state, strict=True):
            grad, changed = link.update(grad, link_state)
            new.append(changed)
        return grad, tuple(new)


def chain(*links: Direction) -> Chain:
    """Chain directions, for example chain(Momentum(0.9), sign)."""
    return Chain(links)
