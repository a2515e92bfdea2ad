"""Final re-evaluation of all images of an evaluation, independent of the attacks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inputopt.attacks.batches import logits_in_batches
from inputopt.evaluation.confidence import Interval, over_draws
from inputopt.evaluation.random_accuracy import JUDGING, JUDGING_AGAIN, is_correct, share_correct
from inputopt.evaluation.state import EvaluationState
from inputopt.nets.frozen import Frozen
from inputopt.search.network_traits import NetworkTraits, same_logits_alone
from inputopt.search.problem import Problem
from inputopt.search.rows import take

CHECKED = 8
"""Number of final images evaluated in a batch of one, to detect batch dependence."""


@dataclass(frozen=True)
class FinalCheck:
    """Accuracy of clean and final images when re-evaluated.

    Attributes:
        clean: per clean input the fraction of draws in which it is classified correctly, [B]; 0 or 1 for a
            deterministic network.
        robust: the same for the final images, [B].
        changed: number of successful adversarial examples that are classified correctly when re-evaluated.
        error: standard error of the mean of `robust` due to the draws.
        one_by_one: whether each image was evaluated in a batch of one, because the network is batch-dependent.
        changed_alone: share of the final images whose class alone differs from that in a batch of all final images.
        clean_error: standard error of the mean of `clean` due to the draws.
    """

    clean: Tensor
    robust: Tensor
    changed: int
    error: float = 0.0
    one_by_one: bool = False
    changed_alone: float = 0.0
    clean_error: float = 0.0

    @property
    def interval(self) -> Interval:
        """The 95 % confidence interval of the mean of `robust`, over examples and draws."""
        return over_draws(float(self.robust.double().mean()), len(self.robust), self.error)

    @property
    def clean_interval(self) -> Interval:
        """The 95 % confidence interval of the mean of `clean`, over examples and draws."""
        return over_draws(float(self.clean.double().mean()), len(self.clean), self.clean_error)


@torch.no_grad()
def check_final_images(
    net: Frozen, problem: Problem, state: EvaluationState, traits: NetworkTraits, seed: int
) -> FinalCheck:
    """Re-evaluate the clean inputs and the final images, independent of the attacks.

    Random networks are evaluated on fresh draws, batch-dependent ones on each image in a batch of one. The final image
    of an input on which all attacks failed may be the input itself.
    """
    final = replace(problem, x0=state.x)
    if traits.stochastic:
        before = share_correct(net, problem, seed, JUDGING)
        after = share_correct(net, final, seed, JUDGING_AGAIN)
        changed = _changed(state, after.shares > 0.5)
        return FinalCheck(before.shares, after.shares, changed, after.error, clean_error=before.error)
    clean = state.clean_correct
    perturbed = (clean & ~state.robust).nonzero()[:, 0]  # all others are unchanged
    again, one_by_one = _correct_in_batch(net, take(final, perturbed)) if len(perturbed) else (clean[perturbed], False)
    again = clean.index_copy(0, perturbed, again)
    if traits.batch_dependent or one_by_one:
        return _checked_alone(net, problem, final, state)
    robust = again & clean
    return FinalCheck(clean.to(problem.x0.dtype), robust.to(problem.x0.dtype), _changed(state, robust))


def _checked_alone(net: Frozen, problem: Problem, final: Problem, state: EvaluationState) -> FinalCheck:
    """The check of a batch-dependent network: every clean input and every final image in a batch of one."""
    clean = is_correct(logits_one_by_one(net, problem), problem.label)
    alone = logits_one_by_one(net, final)
    robust = is_correct(alone, final.label) & clean
    differs = alone.argmax(1) != logits_in_batches(net, final).argmax(1)
    dtype, share = problem.x0.dtype, float(differs.double().mean())
    return FinalCheck(clean.to(dtype), robust.to(dtype), _changed(state, robust), one_by_one=True, changed_alone=share)


def _correct_in_batch(net: Frozen, final: Problem) -> tuple[Tensor, bool]:
    """Whether images are classified correctly in a batch, bool [B], and whether their logits depend on the batch."""
    logits = logits_in_batches(net, final)
    return is_correct(logits, final.label), not same_logits_alone(net, final.x0, logits, CHECKED)


def _changed(state: EvaluationState, correct: Tensor) -> int:
    """Number of successful adversarial examples that are classified correctly after all."""
    return int((correct & ~state.robust & (state.fooled > 0.5)).sum())


@torch.no_grad()
def logits_one_by_one(net: Frozen, problem: Problem) -> Tensor:
    """Logits of x0, [B, n], each in a batch of one."""
    return torch.cat([net(row) for row in torch.split(problem.x0, 1)])
