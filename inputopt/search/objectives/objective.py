"""Objectives: what a search brings down, a number an example. Added, scaled and negated: ascent is a minus sign."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from inputopt.search.problem import Problem

LOGITS = ""
"""The name of a network's own output among its layers."""


@dataclass(frozen=True)
class Objective:
    """A number for each example from (outputs, x, problem), [B].

    `outputs` are the logits [B, n], or for an objective with `layers` a dict of those layers' activations [B, ...]; a
    sum that wants logits too finds them there under `LOGITS`.

    Attributes:
        value: the number.
        layers: whose activations it wants.
        logits: whether it wants logits: without, nothing behind the last of the layers is run.
        count: how many pictures it stands for: example i of a batch is about picture `problem.label[i]`.
        together: whether an example's number depends on the others in the batch.
        plain: what would build it again, in plain values; None where that cannot be said so.
        bind: makes of `Bearings` the same objective for one network, whose layers' channels and whose inputs' width it
            then knows; None for one that needs neither.
    """

    value: Callable[[Any, Tensor, Problem], Tensor]
    layers: tuple[str, ...] = ()
    logits: bool = True
    count: int = 1
    together: bool = False
    plain: Any = None
    bind: Callable[[Any], Objective] | None = None

    def bound(self, to: Any) -> Objective:
        """The same objective for the network that the bearings `to` were taken of (`search.layout.bearings`)."""
        return self if self.bind is None else self.bind(to)

    def __call__(self, outputs: Any, x: Tensor, problem: Problem) -> Tensor:
        if self.logits and not self.layers and isinstance(outputs, dict):
            outputs = outputs[LOGITS]
        return self.value(outputs, x, problem)

    def __add__(self, other: Objective) -> Objective:
        if self.count != other.count and 1 not in (self.count, other.count):
            raise ValueError(f"Objectives for {self.count} and {other.count} pictures cannot be added; give as many.")
        return Objective(
            lambda outputs, x, problem: self(outputs, x, problem) + other(outputs, x, problem),
            tuple(dict.fromkeys(self.layers + other.layers)),
            self.logits or other.logits,
            max(self.count, other.count),
            self.together or other.together,
            None if self.plain is None or other.plain is None else ["+", self.plain, other.plain],
            None if self.bind is None and other.bind is None else lambda to: self.bound(to) + other.bound(to),
        )

    def __mul__(self, factor: float) -> Objective:
        if not isinstance(factor, Real):
            raise TypeError(f"An objective can be multiplied by a number, not by {type(factor).__name__}.")
        factor = factor if isinstance(factor, (int, float)) else float(factor)
        plain = None if self.plain is None else ["*", self.plain, factor]
        return replace(
            self,
            value=lambda outputs, x, problem: self(outputs, x, problem) * factor,
            plain=plain,
            bind=None if self.bind is None else lambda to: self.bound(to) * factor,
        )

    __rmul__ = __mul__

    def __neg__(self) -> Objective:
        return self * -1.0

    def __sub__(self, other: Objective) -> Objective:
        return self + -other


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


def _relative_margin(outputs: Tensor, x: Tensor, problem: Problem) -> Tensor:
    ranked = outputs.topk(min(3, outputs.shape[1]), dim=1).values
    difference, spread = _margin(outputs, x, problem), ranked[:, 0] - ranked[:, -1]
    return torch.where(constant(difference, spread), difference, difference / spread.clamp_min(1e-12))


relative_margin = Objective(_relative_margin)
"""The margin over how far the 1st logit is ahead of the 3rd (the 2nd of two): blind to the scale of the logits."""


def hinge(confidence: float = 0.0) -> Objective:
    """The margin as far as it is above -confidence, and 0 below."""
    return Objective(lambda outputs, x, problem: (_margin(outputs, x, problem) + confidence).clamp(min=0))


def _dlr(outputs: Tensor, x: Tensor, problem: Problem) -> Tensor:
    """Untargeted: margin / (1st - 3rd). Targeted: label over target / (1st - mean of 3rd and 4th)."""
    ranked = outputs.topk(min(4, outputs.shape[1]), dim=1).values
    if problem.target is None:
        difference = _margin(outputs, x, problem)
        spread = ranked[:, 0] - ranked[:, min(2, ranked.shape[1] - 1)]
        usable = outputs.shape[1] >= 3
    else:
        difference = _pairwise(outputs, x, problem)
        spread = ranked[:, 0] - ranked[:, 2:].mean(1) if outputs.shape[1] >= 4 else ranked[:, 0]
        usable = outputs.shape[1] >= 4
    if not usable:
        return difference
    return torch.where(constant(difference, spread), difference, difference / spread.clamp_min(1e-12))


def constant(difference: Tensor, spread: Tensor) -> Tensor:
    """Where the numerator is the denominator but for a sign: the ratio is constant, and its gradient zero, [B]."""
    return (spread <= 1e-12) | (difference.abs() >= spread * (1 - 1e-6))


dlr = Objective(_dlr)
"""Difference of logits ratio (Croce and Hein, 2020), blind to the scale of the logits.

With fewer than 3 classes (4 with a target), for ties, and where its gradient vanishes, it is the plain difference.
"""


def layer_energy(layers: Sequence[str]) -> Objective:
    """The mean square activation of each named layer, summed: what a dream makes more of."""

    if not layers:
        raise ValueError("layers must name at least one layer.")

    def value(outputs: dict[str, Tensor], x: Tensor, problem: Problem) -> Tensor:
        energies = [outputs[layer].flatten(1).square().mean(1) for layer in layers]
        return sum(energies[1:], energies[0])

    return Objective(value, tuple(layers), logits=False)
