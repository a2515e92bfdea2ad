"""Objectives of the logits: cross-entropy, margins and differences."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from inputopt.search.objectives.objective import Objective
from inputopt.search.problem import Problem


class _LogOdds(torch.autograd.Function):
    """Log-odds with a hand-written derivative, since autograd takes twice as many operations."""

    @staticmethod
    def forward(ctx: Any, outputs: Tensor, classes: Tensor, sign: float) -> Tensor:
        index = classes[:, None]
        others = outputs.scatter(1, index, -torch.inf)
        ctx.save_for_backward(others, index)
        ctx.sign = sign
        class_logit, rest = outputs.gather(1, index), others.logsumexp(1, keepdim=True)
        return (class_logit - rest if sign > 0 else rest - class_logit)[:, 0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        others, index = ctx.saved_tensors
        return others.softmax(1).scatter_(1, index, -1.0).mul_((grad if ctx.sign < 0 else -grad)[:, None]), None, None


def log_odds(outputs: Tensor, classes: Tensor, sign: float = 1.0) -> Tensor:
    """The log-odds of each example's class against all others together, [B], times a sign of 1 or -1.

    Cross-entropy is log(1 + exp(-log-odds)): it decreases with the log-odds, and the gradients are parallel. But in
    float32 cross-entropy, and part of its gradient, is rounded to 0 once a logit leads by 17; the log-odds never are.
    """
    found: Tensor = _LogOdds.apply(outputs, classes, sign)  # type: ignore[no-untyped-call]
    return found


cross_entropy = Objective(lambda outputs, x, problem: log_odds(outputs, problem.label, -1.0))
"""Cross-entropy of the problem's label, as log-odds: minimise it to reach the label, negate it to leave the label."""


def _attack_cross_entropy(outputs: Tensor, x: Tensor, problem: Problem) -> Tensor:
    if problem.target is None:
        return log_odds(outputs, problem.label)
    return log_odds(outputs, problem.target, -1.0)


attack_cross_entropy = Objective(_attack_cross_entropy)
"""Loss that attacks minimise: the log-odds of the label, or with a target minus the log-odds of the target.

Its gradient has the direction of that of cross-entropy, and does not vanish for large logits (see `log_odds`).
"""


def logit_of(outputs: Tensor, classes: Tensor) -> Tensor:
    """The logit of each example's class, [B]."""
    return outputs.gather(1, classes[:, None])[:, 0]


def best_other(outputs: Tensor, classes: Tensor) -> Tensor:
    """The highest logit of all classes other than each example's class, [B]."""
    return outputs.scatter(1, classes[:, None], -torch.inf).amax(1)


def others_first(logits: Tensor, label: Tensor, count: int) -> Tensor:
    """The `count` classes other than the label with the highest logits, in descending order, [B, count]."""
    ruled_out = torch.finfo(logits.dtype).min  # classes with logit -inf come last, but before the label
    ranked = logits.nan_to_num(ruled_out, neginf=ruled_out).scatter(1, label[:, None], -torch.inf)
    return ranked.topk(count, dim=1).indices


class _Lead(torch.autograd.Function):
    """Difference to the highest other logit, with a hand-written derivative; of tied classes, the first counts."""

    @staticmethod
    def forward(ctx: Any, outputs: Tensor, classes: Tensor, sign: float) -> Tensor:
        index = classes[:, None]
        rest = outputs.scatter(1, index, -torch.inf).max(1, keepdim=True)
        ctx.save_for_backward(index, rest.indices)
        ctx.sign, ctx.like = sign, outputs.shape
        class_logit = outputs.gather(1, index)
        return (class_logit - rest.values if sign > 0 else rest.values - class_logit)[:, 0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        index, other = ctx.saved_tensors
        signed = (grad if ctx.sign > 0 else -grad)[:, None]
        return grad.new_zeros(ctx.like).scatter_(1, index, signed).scatter_(1, other, -signed), None, None


def lead(outputs: Tensor, classes: Tensor, sign: float = 1.0) -> Tensor:
    """The logit of each example's class minus the highest other logit, [B], times a sign of 1 or -1."""
    found: Tensor = _Lead.apply(outputs, classes, sign)  # type: ignore[no-untyped-call]
    return found


def margin_value(outputs: Tensor, x: Tensor, problem: Problem) -> Tensor:
    """The value of `margin`, [B]."""
    return lead(outputs, problem.label) if problem.target is None else lead(outputs, problem.target, -1.0)


margin = Objective(margin_value)
"""Label logit minus the highest other, or with a target the highest other minus the target; below 0 is a success."""


def logit_difference_value(outputs: Tensor, x: Tensor, problem: Problem) -> Tensor:
    """The value of `logit_difference`, [B].

    Raises:
        ValueError: the problem has no targets.
    """
    if problem.target is None:
        raise ValueError("logit_difference needs a target class for each example; give target.")
    return logit_of(outputs, problem.label) - logit_of(outputs, problem.target)


logit_difference = Objective(logit_difference_value)
"""Label logit minus target logit; it leads towards one class, also in searches where any other class is a success."""


def _target_output(outputs: Tensor, x: Tensor, problem: Problem) -> Tensor:
    if problem.target is None:
        raise ValueError("target_output needs a target class for each example; give target.")
    return -logit_of(outputs, problem.target)


target_output = Objective(_target_output)
"""Minus the output of the target class, which each problem must have.

Of the probabilities of a confident model it has the direction of the gradient of the target's logit minus the
predicted class's, also where the probability is rounded to 0.
"""


def hinge(confidence: float = 0.0) -> Objective:
    """Hinge loss: max(margin + confidence, 0)."""
    return Objective(lambda outputs, x, problem: (margin_value(outputs, x, problem) + confidence).clamp(min=0))
