"""Input of a search and evaluation at each step: frozen dataclasses of batch-first tensors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from inputopt.search.rows import per_example


@dataclass(frozen=True)
class Region:
    """Constraints on each input of a batch.

    Attributes:
        eps: largest distance from x0, [B], in the norm of the search; infinite for no limit.
        low, high: lower and upper bounds, broadcast with x0 [B, ...]; may be infinite.
        mask: which elements may change, bool, broadcast with x0; None for all.
        unit: the length that step sizes are fractions of: the width of the network's bounds, 1 where they are infinite.
    """

    eps: Tensor
    low: Tensor
    high: Tensor
    mask: Tensor | None = None
    unit: float = 1.0

    @classmethod
    def everywhere(cls, x0: Tensor, unit: float = 1.0) -> Region:
        """No constraints, for inputs like x0 [B, ...]."""
        wide = torch.full(x0.shape[:1], torch.inf, dtype=x0.dtype, device=x0.device)
        return cls(wide, per_example(-wide, x0), per_example(wide, x0), unit=unit)

    def masked(self, grad: Tensor) -> Tensor:
        """A gradient [B, ...] set to 0 outside the mask, so that these elements take no share of a normalised step."""
        return grad if self.mask is None else grad * self.mask

    def room(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Largest allowed decrease (at most 0) and increase (at least 0) of each element of z."""
        return (self.low - z).clamp(max=0), (self.high - z).clamp(min=0)


@dataclass(frozen=True)
class Problem:
    """The examples of a search; finished examples are dropped from it.

    Attributes:
        x0: the original inputs, from which distances are measured, [B, ...].
        label: class of each example, int64 [B]: the class to leave in attacks, the class to reach in pictures.
        ids: key of each example's random numbers, int64 [B].
        target: the class to reach instead of `label`, int64 [B]; None for an untargeted search.
        region: constraints on the inputs; unconstrained if not given.
        example: index in the full batch of the example of each row, int64 [B]; the row's index if not given. With
            restarts several rows belong to one example.
        restarts: how many rows an example may have; if more than one, all are finished as soon as one is.
    """

    x0: Tensor
    label: Tensor
    ids: Tensor
    target: Tensor | None = None
    region: Region = None  # type: ignore[assignment]  # set in __post_init__ if not given
    example: Tensor = None  # type: ignore[assignment]
    restarts: int = 1

    def __post_init__(self) -> None:
        if self.region is None:
            object.__setattr__(self, "region", Region.everywhere(self.x0))
        if self.example is None:
            object.__setattr__(self, "example", torch.arange(len(self.x0), device=self.x0.device))

    @cached_property
    def down(self) -> Tensor:
        """Largest allowed decrease of each element of x0, at most 0."""
        return self.region.low - self.x0

    @cached_property
    def up(self) -> Tensor:
        """Largest allowed increase of each element of x0, at least 0."""
        return self.region.high - self.x0


@dataclass(frozen=True)
class Evaluation:
    """The network's outputs and the loss at one batch of inputs; all tensors are detached.

    Attributes:
        x: the inputs, [B, ...].
        outputs: the logits, [B, n]; [B, 0] if the network was not run to its last layer.
        loss: the value that the search minimises, [B]; finite.
        success: whether the goal is reached, bool [B]; false where the logits are not valid (see `valid`).
        grad: d loss / dz, in the shape of z, with NaN and infinity replaced by 0; None if it was not computed.
        distance: distance of x from x0, [B], if the search keeps the nearest input.
        valid: whether the logits are valid, bool [B]: no NaN, and a finite largest logit; None if all are.
    """

    x: Tensor
    outputs: Tensor
    loss: Tensor
    success: Tensor
    grad: Tensor | None = None
    distance: Tensor | None = None
    valid: Tensor | None = None

    @property
    def gradient(self) -> Tensor:
        """`grad`, for step rules that need a gradient.

        Raises:
            ValueError: it was not computed; a step that needs it must set `uses_gradient`.
        """
        if self.grad is None:
            raise ValueError("This step needs a gradient; set uses_gradient to True in its class.")
        return self.grad
