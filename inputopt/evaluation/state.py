"""Who is still classified rightly, and how close the attacks came so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt.evaluation.random_accuracy import JUDGING, share_right
from inputopt.nets.frozen import Frozen
from inputopt.search.network_traits import NetworkTraits
from inputopt.search.objectives.logits import best_other, logit_of, margin
from inputopt.search.problem import Problem
from inputopt.search.result import Result


@dataclass(frozen=True)
class EvaluationState:
    """The state of an evaluation between two attacks.

    Attributes:
        robust: whether each input is still classified rightly, bool [B].
        x: the inputs that fooled the network, or came closest to it if it is random; else as they were, [B, ...].
        fooled: the share of draws in which `x` fools the network, [B]; 0 or 1 if it is not random.
        clean_margin: how far the label is ahead of the best other class on the clean input, [B].
        margin: the least that any attack brought it down to, [B].
        gained: whether the last attack brought it down by a tenth more than all before, bool [B].
        nonfinite: whether logits or gradients that are not finite were met, bool [B].
    """

    robust: Tensor
    x: Tensor
    fooled: Tensor
    clean_margin: Tensor
    margin: Tensor
    gained: Tensor
    nonfinite: Tensor

    @classmethod
    def at_start(
        cls, net: Frozen, problem: Problem, logits: Tensor, known: NetworkTraits, seed: int
    ) -> EvaluationState:
        """Before the first attack; inputs whose `logits` [B, n] are not finite are not classified rightly."""
        most = logits.amax(1)
        answered = (most - most) == 0
        ahead = torch.where(answered, margin(logits, problem.x0, problem), -torch.inf)
        right = answered & (logits.argmax(1) == problem.label)
        if known.varies:
            right = share_right(net, problem, seed, JUDGING).shares > 0.5
        none = torch.zeros_like(right)
        return cls(right, problem.x0.clone(), (~right).to(ahead.dtype), ahead, ahead, none, ~answered)

    def after(self, tried: Tensor, found: Result | None, label: Tensor) -> EvaluationState:
        """After an attack on the positions `tried`, whose classes are `label`; None if it had nobody to attack."""
        none = torch.zeros_like(self.gained)
        if found is None:
            return EvaluationState(
                self.robust, self.x, self.fooled, self.clean_margin, self.margin, none, self.nonfinite
            )  # fmt: skip
        ahead = logit_of(found.logits, label) - best_other(found.logits, label)
        before = self.margin[tried]
        better = found.success | (found.success_rate > self.fooled[tried])
        kept = tried[better]
        return EvaluationState(
            self.robust.index_fill(0, tried[found.success], False),
            self.x.index_copy(0, kept, found.x[better]),
            self.fooled.index_copy(0, kept, found.success_rate[better].to(self.fooled)),
            self.clean_margin,
            self.margin.index_copy(0, tried, torch.where(ahead < before, ahead, before)),
            none.index_copy(0, tried, ahead < 0.9 * before),
            self.nonfinite.index_copy(0, tried, self.nonfinite[tried] | found.nonfinite),
        )


Where = Callable[[EvaluationState], Tensor]
"""Which inputs an attack goes on with, bool [B]: a choice that is made for each input by itself."""


def everyone(standing: EvaluationState) -> Tensor:
    """All that stand."""
    return standing.robust


def near(share: float) -> Where:
    """Those whose margin came down to this share of the clean one."""
    return lambda standing: standing.margin <= share * standing.clean_margin


def gained(standing: EvaluationState) -> Tensor:
    """Those that the last attack brought clearly closer to the boundary than all before."""
    return standing.gained
