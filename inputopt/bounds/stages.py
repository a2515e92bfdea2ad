"""The stages of a certificate, cheap ones first: intervals, CROWN, optimised slopes, branch and bound."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inputopt.bounds.affine import elements
from inputopt.bounds.ball import Ball
from inputopt.bounds.branch_and_bound import branch_and_bound
from inputopt.bounds.crown import Bounds, bound_rows, linear_bounds
from inputopt.bounds.input_splitting import MOST_INPUTS, split_inputs
from inputopt.bounds.interval import interval_margins, margin_matrix, propagate
from inputopt.bounds.network_graph import Graph
from inputopt.bounds.optimised_slopes import Rows, evaluated, joined, optimised, rows_of
from inputopt.bounds.rounding import Rounding, rounding_of

INTERVAL, CROWN, SLOPES, BRANCHES, NONE = "interval", "crown", "alpha-crown", "branch and bound", "none"

STEPS = 12
"""Optimisation steps for slopes: more raise the bounds by less than a hundredth."""

ROWS = 64
"""Rows whose slopes are optimised at once."""

OWNERS = 32
"""Rows that are branched on at once; each has several parts."""


@dataclass(frozen=True)
class Work:
    """The examples of one batch.

    Attributes:
        graph, fast: the network in float64 and in float32.
        ball: the sets of inputs, [B].
        label: classes, [B].
        noise: how far the network's own logits may be from the graph's, [B].
    """

    graph: Graph
    fast: Graph
    ball: Ball
    label: Tensor
    noise: Tensor

    def take(self, chosen: Tensor) -> Work:
        """Some of the examples."""
        return replace(self, ball=self.ball.take(chosen), label=self.label[chosen], noise=self.noise[chosen])


@dataclass(frozen=True)
class Margins:
    """Lower bounds of the logit differences of some examples.

    Attributes:
        value: [B, n - 1], with the rounding allowance already subtracted.
        method: the stage that proved each example, or "none".
    """

    value: Tensor
    method: tuple[str, ...]

    @property
    def least(self) -> Tensor:
        """The least margin proven, [B]."""
        return self.value.amin(1)

    @property
    def open(self) -> Tensor:
        """The examples that are not proven."""
        return (self.least <= 0).nonzero()[:, 0]

    def raised(self, chosen: Tensor, value: Tensor, method: str) -> Margins:
        """With better bounds of the examples `chosen`; those that are proven by it get the name of the method."""
        new = self.value.index_copy(0, chosen, torch.maximum(self.value[chosen], value))
        proven = (new.amin(1) > 0).tolist()
        names = tuple(method if now and name == NONE else name for now, name in zip(proven, self.method, strict=True))
        return Margins(new, names)


def start(work: Work) -> Margins:
    """Intervals, for all examples at once."""
    rounding = rounding_of(work.graph, work.ball)
    bounds = propagate(work.graph, work.ball.box)
    value = interval_margins(work.graph, bounds, work.label) - allowances(work, rounding)
    everything = torch.arange(len(value), device=value.device)
    return Margins(torch.full_like(value, -torch.inf), (NONE,) * len(value)).raised(everything, value, INTERVAL)


def allowances(work: Work, rounding: Rounding) -> Tensor:
    """What a margin must exceed to be positive in spite of rounding, [B, n - 1]."""
    slack = rounding.slack(len(work.graph.nodes) - 1)
    rows = margin_matrix(work.label, work.graph.classes, slack.dtype).abs()
    return (rows @ slack[..., None])[..., 0] + 2 * work.noise[:, None]


@dataclass(frozen=True)
class Linear:
    """What the linear stages share.

    Attributes:
        work: the open examples.
        bounds: the bounds of their hidden values.
        rows: their logit differences, [B, n - 1, n].
        allowance: rounding allowance of each logit difference, [B, n - 1].
        slack: further allowance for each unit of a multiplier of a constraint on a hidden value, [B].
    """

    work: Work
    bounds: Bounds
    rows: Tensor
    allowance: Tensor
    slack: Tensor

    def take(self, chosen: Tensor) -> Linear:
        """Some of the examples."""
        return Linear(
            self.work.take(chosen),
            self.bounds.take(chosen),
            self.rows[chosen],
            self.allowance[chosen],
            self.slack[chosen],
        )


def linear_stage(work: Work, margins: Margins, chosen: Tensor) -> tuple[Margins, Linear]:
    """CROWN, for the examples `chosen`; also returns what later stages need of those."""
    part = work.take(chosen)
    rounding = rounding_of(part.graph, part.ball)
    bounds = linear_bounds(part.graph, part.ball, rounding)
    rows, allowance = margin_matrix(part.label, part.graph.classes, torch.float64), allowances(part, rounding)
    count = rows.shape[1]
    example = torch.arange(len(chosen), device=rows.device).repeat_interleave(count)
    end = len(part.graph.nodes) - 1
    value = torch.cat(
        [
            bound_rows(part.graph, end, each, 0.0, which, part.ball, bounds.lines)
            for each, which in zip(torch.split(rows.flatten(0, 1), ROWS), torch.split(example, ROWS), strict=True)
        ]
    )
    margins = margins.raised(chosen, value.reshape(-1, count) - allowance, CROWN)
    return margins, Linear(part, bounds, rows, allowance, 2 * rounding.largest())


def _open_rows(linear: Linear, least: Tensor) -> tuple[Tensor, Tensor]:
    """Example and class number of each logit difference whose bound is not positive."""
    example, other = (least <= 0).nonzero().T
    return example, other


@dataclass(frozen=True)
class Sloped:
    """Rows that stayed open after their slopes were optimised.

    Attributes:
        rows: the rows; None if there are none.
        place: (example, class number) -> the position in `rows`.
    """

    rows: Rows | None
    place: dict[tuple[int, int], int]


def slopes_stage(linear: Linear, margins: Margins, chosen: Tensor, left: Tensor) -> tuple[Margins, Sloped, Tensor]:
    """Optimised slopes, for all open logit differences of the examples `chosen` that have budget for them.

    Returns:
        The margins, the rows that are still open, and the budget left, [B].
    """
    example, other = _open_rows(linear, margins.value[chosen])
    value, kept, places = margins.value[chosen].clone(), [], []
    within = (left[chosen] >= STEPS * torch.bincount(example, minlength=len(chosen)))[example]
    example, other = example[within], other[within]
    for each, which in zip(torch.split(example, ROWS), torch.split(other, ROWS), strict=True):
        rows = rows_of(linear.work.graph, linear.rows[each, which], each, linear.work.ball, linear.bounds)
        rows = optimised(linear.work.fast, rows, STEPS)
        found = evaluated(linear.work.graph, rows) - linear.allowance[each, which]
        value[each, which] = torch.maximum(value[each, which], found)
        still = (value[each, which] <= 0).nonzero()[:, 0]
        kept.append(rows.take(still))
        places += list(zip(each[still].tolist(), which[still].tolist(), strict=True))
    left = left.index_add(0, chosen[example], torch.full_like(example, -STEPS))
    sloped = Sloped(joined(kept) if kept else None, {place: index for index, place in enumerate(places)})
    return margins.raised(chosen, value, SLOPES), sloped, left


def branches_stage(linear: Linear, margins: Margins, chosen: Tensor, sloped: Sloped, left: Tensor) -> Margins:
    """Branch and bound, on the hardest logit difference of each example first; on the next once it is proven."""
    value = margins.value[chosen].clone()
    left = left[chosen].clone()
    tried = torch.zeros_like(value, dtype=torch.bool)
    while True:
        failed = (tried & (value <= 0)).any(1)
        waiting = torch.where((value <= 0) & ~tried, value, torch.inf)
        example = (~failed & waiting.isfinite().any(1) & (left > 0)).nonzero()[:, 0]
        if not len(example):
            return margins.raised(chosen, value, BRANCHES)
        other = waiting[example].argmin(1)
        tried[example, other] = True
        found, spent = _branched(linear, sloped, example, other, value[example, other], left[example])
        value[example, other] = torch.maximum(value[example, other], found)
        left[example] -= spent


def _branched(
    linear: Linear, sloped: Sloped, example: Tensor, other: Tensor, value: Tensor, left: Tensor
) -> tuple[Tensor, Tensor]:
    """Branch and bound on one logit difference of each example: bounds without allowances, and linear bounds used."""
    graph, work = linear.work.graph, linear.work
    allowance = linear.allowance[example, other]
    if elements(graph.nodes[0].shape) <= MOST_INPUTS:
        rows = linear.rows[example, other]
        found, spent = split_inputs(graph, work.ball.take(example), rows, value + allowance, allowance, left)
        return found - allowance, spent
    places = [sloped.place.get(key, -1) for key in zip(example.tolist(), other.tolist(), strict=True)]
    found, spent = value + allowance, left.clone()  # without slopes the budget is already spent
    known = torch.tensor([index for index, place in enumerate(places) if place >= 0], dtype=torch.long)
    if sloped.rows is None or not len(known):
        return value, spent
    for some in torch.split(known, OWNERS):
        open_rows = sloped.rows.take(torch.tensor([places[index] for index in some.tolist()], dtype=torch.long))
        found[some], spent[some] = branch_and_bound(
            graph, work.fast, open_rows, found[some], allowance[some], linear.slack[example[some]], left[some]
        )
    return found - allowance, spent
