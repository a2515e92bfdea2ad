"""Who is still classified rightly, and how close the attacks came so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt.attacks.base import logits_in_batches
from inputopt.nets.frozen import Frozen
from inputopt.search.goals import wrong
from inputopt.search.objectives import best_other, logit_of, margin
from inputopt.search.problem import Problem, Result


@dataclass(frozen=True)
class Standing:
    """The state of an evaluation between two attacks.

    Attributes:
        robust: whether each input is still classified rightly, bool [B].
        x: the inputs that fooled the network; for the others the inputs as they were, [B, ...].
        clean_margin: how far the label is ahead of the best other class on the clean input, [B].
        margin: the least that any attack brought it down to, [B].
        gained: whether the last attack brought it down by a tenth more than all before, bool [B].
    """

    robust: Tensor
    x: Tensor
    clean_margin: Tensor
    margin: Tensor
    gained: Tensor

    @classmethod
    def at_start(cls, net: Frozen, problem: Problem) -> Standing:
        """Before the first attack."""
        logits = logits_in_batches(net, problem)
        ahead = margin(logits, problem.x0, problem)
        right = ~wrong(logits, problem)
        return cls(right, problem.x0.clone(), ahead, ahead, torch.zeros_like(right))

    def after(self, tried: Tensor, found: Result | None, label: Tensor) -> Standing:
        """After an attack on the positions `tried`, whose classes are `label`; None if it had nobody to attack."""
        none = torch.zeros_like(self.gained)
        if found is None:
            return Standing(self.robust, self.x, self.clean_margin, self.margin, none)
        fooled = tried[found.success]
        ahead = logit_of(found.logits, label) - best_other(found.logits, label)
        before = self.margin[tried]
        return Standing(
            self.robust.index_fill(0, fooled, False),
            self.x.index_copy(0, fooled, found.x[found.success]),
            self.clean_margin,
            self.margin.index_copy(0, tried, torch.minimum(before, ahead)),
            none.index_copy(0, tried, ahead < 0.9 * before),
        )


Where = Callable[[Standing], Tensor]
"""Which inputs an attack goes on with, bool [B]: a choice that is made for each input by itself."""


def everyone(standing: Standing) -> Tensor:
    """All that stand."""
    return standing.robust


def near(share: float) -> Where:
    """Those whose margin came down to this share of the clean one."""
    return lambda standing: standing.margin <= share * standing.clean_margin


def gained(standing: Standing) -> Tensor:
    """Those that the last attack brought clearly closer to the boundary than all before."""
    return standing.gained
