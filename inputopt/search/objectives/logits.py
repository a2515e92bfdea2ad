"""Objectives of the logits: cross-entropy, margins and differences."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from inputopt.search.objectives.objective import Objective
from inputopt.search.problem import Problem


class _LogOdds(torch.autograd.Function):
    """Written by hand, since autograd takes twice as many operations for its derivative."""

    @staticmethod
    def forward(ctx: Any, outputs: Tensor, classes: Tensor, sign: float) -> Tensor:
        index = classes[:, None]
        others = outputs.scatter(1, index, -torch.inf)
        ctx.save_for_backward(others, index)
        ctx.sign = sign
        own, rest = outputs.gather(1, index), others.logsumexp(1, keepdim=True)
        return (own - rest if sign > 0 else rest - own)[:, 0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        others, index = ctx.saved_tensors
        return others.softmax(1).scatter_(1, index, -1.0).mul_((grad if ctx.sign < 0 else -grad)[:, None]), None, None


def log_odds(outputs: Tensor, classes: Tensor, sign: float = 1.0) -> Tensor:
    """The log-odds of each example's class against all others together, [B], times a sign of 1 or -1.

    Cross-entropy is log(1 + exp(-log-odds)): it falls with them, and their derivatives are parallel. But cross-entropy,
    and with it part of its derivative, is rounded to 0 as soon as a class leads by 17 in float32; the log-odds never
    are.
    """
    found: Tensor = _LogOdds.apply(outputs, classes, sign)  # type: ignore[no-untyped-call]
    return found


cross_entropy = Objective(lambda outputs, x, problem: log_odds(outputs, problem.label, -1.0))
"""The cross-entropy of the problem's label as log-odds: descended to reach it, ascended (negated) to leave it."""


def _leaving_or_reaching(outputs: Tensor, x: Tensor, problem: Problem) -> Tensor:
    if problem.target is None:
        return log_odds(outputs, problem.label)
    return log_odds(outputs, problem.target, -1.0)


attack_cross_entropy = Objective(_leaving_or_reaching)
"""Minus the cross-entropy of the label, or with a target the cross-entropy of the target; as log-odds."""


def logit_of(outputs: Tensor, classes: Tensor) -> Tensor:
    """Each example's logit of its own class, [B]."""
    return outputs.gather(1, classes[:, None])[:, 0]


def best_other(outputs: Tensor, classes: Tensor) -> Tensor:
    """Each example's highest logit but for its own class, [B]."""
    return outputs.scatter(1, classes[:, None], -torch.inf).amax(1)


def others_first(logits: Tensor, label: Tensor, count: int) -> Tensor:
    """The `count` classes but the label with the highest logits, highest first, [B, count]."""
    ruled_out = torch.finfo(logits.dtype).min  # a class at minus infinity is last, but before the label
    ranked = logits.nan_to_num(ruled_out, neginf=ruled_out).scatter(1, label[:, None], -torch.inf)
    return ranked.topk(count, dim=1).indices


class _Lead(torch.autograd.Function):
    """Written by hand, as the log-odds are. Of classes that are equally high, the first counts."""

    @staticmethod
    def forward(ctx: Any, outputs: Tensor, classes: Tensor, sign: float) -> Tensor:
        index = classes[:, None]
        rest = outputs.scatter(1, index, -torch.inf).max(1, keepdim=True)
        ctx.save_for_backward(index, rest.indices)
        ctx.sign, ctx.like = sign, outputs.shape
        own = outputs.gather(1, index)
        return (own - rest.values if sign > 0 else rest.values - own)[:, 0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        own, other = ctx.saved_tensors
        each = (grad if ctx.sign > 0 else -grad)[:, None]
        return grad.new_zeros(ctx.like).scatter_(1, own, each).scatter_(1, other, -each), None, None


def lead(outputs: Tensor, classes: Tensor, sign: float = 1.0) -> Tensor:
    """How far the logit of each example's class is above all others, [B], times a sign of 1 or -1."""
    found: Tensor = _Lead.apply(outputs, classes, sign)  # type: ignore[no-untyped-call]
    return found


def _margin(outputs: Tensor, x: Tensor, problem: Problem) -> Tensor:
    return lead(outputs, problem.label) if problem.target is None else lead(outputs, problem.target, -1.0)


margin = Objective(_margin)
"""How far the label is ahead of the best other class, or the best other class ahead of the target; below 0 is done."""


def _pairwise(outputs: Tensor, x: Tensor, problem: Problem) -> Tensor:
    if problem.target is None:
        raise ValueError("The difference to a target needs a problem with targets.")
    return logit_of(outputs, problem.label) - logit_of(outputs, problem.target)


logit_difference = Objective(_pairwise)
"""How far the label is ahead of the target: left as soon as any class wins, led towards one."""


def hinge(confidence: float = 0.0) -> Objective:
    """The margin as far as it is above -confidence, and 0 below."""
    return Objective(lambda outputs, x, problem: (_margin(outputs, x, problem) + confidence).clamp(min=0))
