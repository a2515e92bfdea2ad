"""What a search is given and what it sees at each step: frozen dataclasses of batch-first tensors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from inputopt.search.rows import per_example


@dataclass(frozen=True)
class Region:
    """Where each input of a batch may go.

    Attributes:
        eps: how far from x0, [B], in the norm of the search; infinite for no limit.
        low, high: the box, broadcast with x0 [B, ...]; may be infinite.
        mask: which numbers may change at all, bool, broadcast with x0; None for all.
        unit: the length that step sizes are parts of: the width of the network's bounds, 1 where they are infinite.
    """

    eps: Tensor
    low: Tensor
    high: Tensor
    mask: Tensor | None = None
    unit: float = 1.0

    @classmethod
    def everywhere(cls, x0: Tensor, unit: float = 1.0) -> Region:
        """No limit at all for inputs like x0 [B, ...]."""
        wide = torch.full(x0.shape[:1], torch.inf, dtype=x0.dtype, device=x0.device)
        return cls(wide, per_example(-wide, x0), per_example(wide, x0), unit=unit)

    def masked(self, grad: Tensor) -> Tensor:
        """A gradient [B, ...] without what may not change: it would use up the length of a step for nothing."""
        return grad if self.mask is None else grad * self.mask

    def room(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """How far each number of z may go down (at most 0) and up (at least 0)."""
        return (self.low - z).clamp(max=0), (self.high - z).clamp(min=0)


@dataclass(frozen=True)
class Problem:
    """The examples of a search; those that are finished are dropped from it.

    Attributes:
        x0: what each input starts from and is measured against, [B, ...].
        label: the class each search is about, int64 [B]: the one to leave, or for pictures the one to reach.
        ids: what each example's randomness is keyed by, int64 [B].
        target: the class to reach instead of `label`, int64 [B]; None for a search that only leaves.
        region: where the inputs may go; everywhere if not given.
        example: which example of the whole batch each row belongs to, int64 [B]; its own if not given. With restarts
            several rows belong to one.
        restarts: how many rows an example may have; with more than one, all of them are finished when one is.
    """

    x0: Tensor
    label: Tensor
    ids: Tensor
    target: Tensor | None = None
    region: Region = None  # type: ignore[assignment]  # made below if not given
    example: Tensor = None  # type: ignore[assignment]
    restarts: int = 1

    def __post_init__(self) -> None:
        if self.region is None:
            object.__setattr__(self, "region", Region.everywhere(self.x0))
        if self.example is None:
            object.__setattr__(self, "example", torch.arange(len(self.x0), device=self.x0.device))

    @cached_property
    def down(self) -> Tensor:
        """How far each number of x0 may go down, at most 0."""
        return self.region.low - self.x0

    @cached_property
    def up(self) -> Tensor:
        """How far each number of x0 may go up, at least 0."""
        return self.region.high - self.x0


@dataclass(frozen=True)
class Evaluation:
    """What the network said of one set of inputs; everything detached.

    Attributes:
        x: the inputs, [B, ...].
        outputs: the logits, [B, n]; [B, 0] where the network was not run to its end.
        loss: what the search brings down, [B]; finite.
        success: whether the goal is reached, bool [B]; never where the network gave no answer.
        grad: d loss / dz, the shape of z, NaN and infinity replaced by 0; None if it was not asked for.
        distance: how far x is from x0, [B], if the search keeps the nearest.
        answered: whether the network gave an answer, bool [B]: no NaN, and a finite largest logit; None for all.
    """

    x: Tensor
    outputs: Tensor
    loss: Tensor
    success: Tensor
    grad: Tensor | None = None
    distance: Tensor | None = None
    answered: Tensor | None = None

    @property
    def gradient(self) -> Tensor:
        """`grad`, for step rules, which the loop always gives one.

        Raises:
            ValueError: it was not asked for; a rule that needs it must say so by `uses_gradient`.
        """
        if self.grad is None:
            raise ValueError("This step needs a gradient; set uses_gradient to True in its class.")
        return self.grad
