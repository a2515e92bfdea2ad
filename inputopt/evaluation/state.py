"""State of an evaluation between attacks: which inputs are still robust, and the smallest margins so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inputopt.evaluation.random_accuracy import JUDGING, share_correct
from inputopt.nets.frozen import Frozen
from inputopt.search.network_traits import NetworkTraits
from inputopt.search.objectives.logits import best_other, logit_of, margin
from inputopt.search.objectives.probability_scores import Scores, unchanged_scores
from inputopt.search.problem import Problem
from inputopt.search.result import Result


@dataclass(frozen=True)
class EvaluationState:
    """The state of an evaluation between two attacks.

    Attributes:
        robust: whether no attack has succeeded on the input yet and it is classified correctly, bool [B].
        x: the adversarial examples, or for a random network those with the highest success rate; else the clean
            inputs, [B, ...].
        fooled: fraction of draws in which `x` is misclassified, [B]; 0 or 1 for a deterministic network.
        clean_correct: whether the clean input is classified correctly, bool [B]: its highest logit is finite and the
            predicted class is the label, also where another class has the same logit.
        clean_margin: logit of the label minus the highest other logit on the clean input, [B].
        margin: smallest margin that any attack reached, [B].
        margin_reduced: whether the last attack reduced the margin to less than 0.9 of the smallest before, bool [B].
        nonfinite: whether any logit or gradient was NaN or infinite, bool [B].
        fooled_class: the class of the adversarial example, int64 [B]; -1 without one.
        scores: the scores of the model's outputs that margins are computed from.
    """

    robust: Tensor
    x: Tensor
    fooled: Tensor
    clean_correct: Tensor
    clean_margin: Tensor
    margin: Tensor
    margin_reduced: Tensor
    nonfinite: Tensor
    fooled_class: Tensor
    scores: Scores = unchanged_scores

    @classmethod
    def at_start(
        cls, net: Frozen, problem: Problem, logits: Tensor, traits: NetworkTraits, seed: int
    ) -> EvaluationState:
        """The state before the first attack; inputs whose highest logit is not finite count as misclassified."""
        most = logits.amax(1)
        finite = (most - most) == 0
        margins = torch.where(finite, margin(traits.scores(logits), problem.x0, problem), -torch.inf)
        correct = finite & (logits.argmax(1) == problem.label)
        if traits.stochastic:
            correct = share_correct(net, problem, seed, JUDGING).shares > 0.5
        none = torch.zeros_like(correct)
        no_class, fooled = torch.full_like(problem.label, -1), (~correct).to(margins.dtype)
        return cls(
            correct, problem.x0.clone(), fooled, correct, margins, margins, none, ~finite, no_class, traits.scores
        )  # fmt: skip

    def reopened(self, correct: Tensor) -> EvaluationState:
        """The state in which inputs whose final image is classified correctly after all, bool [B], are robust again."""
        again = correct & ~self.robust & self.clean_correct
        fooled, no_class = self.fooled.masked_fill(again, 0), self.fooled_class.masked_fill(again, -1)
        return replace(self, robust=self.robust | again, fooled=fooled, fooled_class=no_class)

    def after(self, tried: Tensor, found: Result | None, label: Tensor) -> EvaluationState:
        """The state after an attack on positions `tried` with labels `label`; `found` is None if none are attacked."""
        none = torch.zeros_like(self.margin_reduced)
        if found is None:
            return replace(self, margin_reduced=none)
        scores = self.scores(found.logits)
        margins = logit_of(scores, label) - best_other(scores, label)
        before = self.margin[tried]
        better = found.success_rate > self.fooled[tried]
        kept = tried[better]
        return EvaluationState(
            self.robust.index_fill(0, tried[found.success], False),
            self.x.index_copy(0, kept, found.x[better]),
            self.fooled.index_copy(0, kept, found.success_rate[better].to(self.fooled)),
            self.clean_correct,
            self.clean_margin,
            self.margin.index_copy(0, tried, torch.where(margins < before, margins, before)),
            none.index_copy(0, tried, margins < 0.9 * before),
            self.nonfinite.index_copy(0, tried, self.nonfinite[tried] | found.nonfinite),
            self.fooled_class.index_copy(0, tried[found.success], found.prediction[found.success]),
            self.scores,
        )


Selection = Callable[[EvaluationState], Tensor]
"""Selects the inputs that an attack is run on, bool [B], independently for each input."""


def all_robust(state: EvaluationState) -> Tensor:
    """All inputs that are still robust."""
    return state.robust


def margin_below(share: float) -> Selection:
    """Inputs whose margin is at most this fraction of the clean margin."""
    return lambda state: state.margin <= share * state.clean_margin


def margin_reduced(state: EvaluationState) -> Tensor:
    """Inputs whose margin the last attack reduced to less than 0.9 of the smallest before."""
    return state.margin_reduced
