"""Result of a search, and functions that combine several results."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from inputopt.search.objectives.logits import best_other
from inputopt.search.rows import per_example, take


@dataclass(frozen=True)
class Result:
    """The best input found for each example: the best success, or the best failure where `success` is false.

    Attributes:
        x: the inputs found, [B, ...].
        success: whether the goal was reached, bool [B]; for a random network, in more than half of fresh draws.
        distance: distance from x0, [B], in the norm of the search.
        prediction: predicted class of x, int64 [B]; -1 if the network was not run to its last layer.
        logits: logits of x, [B, n].
        loss: the selection score that the search minimised, [B].
        forwards, backwards: number of forward and backward passes for each example, int64 [B].
        nonfinite: whether logits or gradients were non-finite at any step, bool [B]; such points are never kept
            and never count as a success.
        label: the label of each search, int64 [B]: as given, or the network's prediction.
        skipped: examples that were not searched because their target is their label, bool [B].
        success_rate: the fraction of fresh random draws in which the goal is reached, [B]; 0 or 1 for a network that is
            not random.
    """

    x: Tensor
    success: Tensor
    distance: Tensor
    prediction: Tensor
    logits: Tensor
    loss: Tensor
    forwards: Tensor
    backwards: Tensor
    nonfinite: Tensor
    label: Tensor
    skipped: Tensor
    success_rate: Tensor


Better = Callable[[Result, Result], Tensor]
"""(new, old) -> where the new result is better, bool [B]."""

COUNTS = ("forwards", "backwards")
"""Cumulative fields: all searches of a call share one `QueryCounter`, so later counts include earlier ones."""


def concatenated(results: list[Result]) -> Result:
    """Concatenate the examples of several results."""
    columns = {name: torch.cat([getattr(part, name) for part in results]) for name in _field_names()}
    return Result(**columns)


def best_of(old: Result, new: Result, better: Better) -> Result:
    """Merge two searches of the same examples: the better result of each example, with the query counts of merged."""
    take_new = better(new, old)
    columns: dict[str, Any] = {
        name: torch.where(per_example(take_new, getattr(old, name)), getattr(new, name), getattr(old, name))
        for name in _field_names()
    }
    columns["nonfinite"] = old.nonfinite | new.nonfinite
    for name in COUNTS:
        columns[name] = torch.maximum(getattr(old, name), getattr(new, name))
    return Result(**columns)


def best_restart(found: Result, restarts: int, better: Better) -> Result:
    """The best restart of each example, with the query counts of all; each restart is one block of consecutive rows."""
    if restarts == 1:
        return found
    blocks = torch.arange(len(found.loss), device=found.loss.device).reshape(restarts, -1)
    return functools.reduce(lambda old, new: best_of(old, new, better), (take(found, block) for block in blocks))


def scatter(whole: Result, rows: Tensor, part: Result, better: Better) -> Result:
    """Merge a further search `part` of the examples `rows` (indices, int64) into `whole`; see `best_of`."""
    merged = best_of(take(whole, rows), part, better)
    columns = {name: getattr(whole, name).index_copy(0, rows, getattr(merged, name)) for name in _field_names()}
    return Result(**columns)


def lower_loss(new: Result, old: Result) -> Tensor:
    """Success is better than failure; otherwise the lower loss is better."""
    return torch.where(new.success == old.success, new.loss < old.loss, new.success)


def smaller_margin(new: Result, old: Result) -> Tensor:
    """Success is better than failure; then the larger `top_two_difference` for successes, the smaller for failures.

    For searches with different targets, whose losses are not comparable.
    """
    ahead, before = top_two_difference(new), top_two_difference(old)
    better_lead = torch.where(old.success, ahead > before, ahead < before)
    return torch.where(new.success == old.success, better_lead, new.success)


def nearer(new: Result, old: Result) -> Tensor:
    """Success is better than failure; then the smaller distance, or for failures the smaller `top_two_difference`."""
    closer = torch.where(old.success, new.distance < old.distance, top_two_difference(new) < top_two_difference(old))
    return torch.where(new.success == old.success, closer, new.success)


def top_two_difference(found: Result) -> Tensor:
    """Difference between the highest and the second highest logit, [B]."""
    return found.logits.amax(1) - best_other(found.logits, found.logits.argmax(1))


def failures_at_infinity(found: Result) -> Result:
    """Set the distance of failures to infinity, for minimal-norm searches."""
    return replace(found, distance=found.distance.masked_fill(~found.success, torch.inf))


def _field_names() -> list[str]:
    return [field.name for field in fields(Result)]
