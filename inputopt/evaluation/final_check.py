"""Final re-evaluation of all images of an evaluation, independent of the attacks."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inputopt.attacks.batches import logits_in_batches
from inputopt.evaluation.random_accuracy import JUDGING, JUDGING_AGAIN, right, share_right
from inputopt.evaluation.state import EvaluationState
from inputopt.nets.frozen import Frozen
from inputopt.search.network_traits import NetworkTraits, same_answers_alone
from inputopt.search.problem import Problem
from inputopt.search.rows import take

CHECKED = 8
"""Number of final images evaluated in a batch of one, to detect batch dependence."""

Z = 1.959964
"""Standard errors on either side of a 95 % interval."""


@dataclass(frozen=True)
class FinalCheck:
    """Accuracy of clean and final images when re-evaluated.

    Attributes:
        clean: per clean input the fraction of draws in which it is classified correctly, [B]; 0 or 1 for a
            deterministic network.
        robust: the same for the final images, [B].
        changed: number of successful adversarial examples that are classified correctly when re-evaluated.
        error: standard error of the mean of `robust` due to the draws.
        alone: whether each image was evaluated in a batch of one, because the network is batch-dependent.
    """

    clean: Tensor
    robust: Tensor
    changed: int
    error: float = 0.0
    alone: bool = False

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval of the mean of `robust`, over examples and draws."""
        accuracy = float(self.robust.double().mean())
        low, high = wilson(accuracy, len(self.robust))
        drawn_error = Z * self.error
        below, above = math.hypot(accuracy - low, drawn_error), math.hypot(high - accuracy, drawn_error)
        return max(0.0, accuracy - max(0.0, below)), min(1.0, accuracy + max(0.0, above))


@torch.no_grad()
def judge(net: Frozen, problem: Problem, standing: EvaluationState, known: NetworkTraits, seed: int) -> FinalCheck:
    """Re-evaluate the clean inputs and the final images, independent of the attacks.

    Random networks are evaluated on fresh draws, batch-dependent ones on each image in a batch of one. The final image
    of an input on which all attacks failed may be the input itself.
    """
    final = replace(problem, x0=standing.x)
    if known.varies:
        before = share_right(net, problem, seed, JUDGING)
        after = share_right(net, final, seed, JUDGING_AGAIN)
        return FinalCheck(before.shares, after.shares, _changed(standing, after.shares > 0.5), after.error)
    clean = standing.clean_margin > 0
    perturbed = (clean & ~standing.robust).nonzero()[:, 0]  # all others are unchanged
    again, alone = _correct_in_batch(net, take(final, perturbed)) if len(perturbed) else (clean[perturbed], False)
    again = clean.index_copy(0, perturbed, again)
    if known.batch_dependent or alone:
        clean, again, alone = *(right(_logits_one_by_one(net, each), problem.label) for each in (problem, final)), True
    robust = again & clean
    changed = _changed(standing, robust)
    return FinalCheck(clean.to(problem.x0.dtype), robust.to(problem.x0.dtype), changed, alone=alone)


def _correct_in_batch(net: Frozen, final: Problem) -> tuple[Tensor, bool]:
    """Whether images are classified correctly in a batch, bool [B], and whether their logits depend on the batch."""
    logits = logits_in_batches(net, final)
    return right(logits, final.label), not same_answers_alone(net, final.x0, logits, CHECKED)


def _changed(standing: EvaluationState, correct: Tensor) -> int:
    """Number of successful adversarial examples that are classified correctly after all."""
    return int((correct & ~standing.robust & (standing.fooled > 0.5)).sum())


def _logits_one_by_one(net: Frozen, problem: Problem) -> Tensor:
    return torch.cat([net(row) for row in torch.split(problem.x0, 1)])


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % Wilson score interval of a proportion `share` observed in `count` examples (Wilson, 1927).

    For proportions of draws averaged over examples it is conservative.
    """
    centre = (share + Z * Z / (2 * count)) / (1 + Z * Z / count)
    half = Z / (1 + Z * Z / count) * math.sqrt(share * (1 - share) / count + Z * Z / (4 * count * count))
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))
