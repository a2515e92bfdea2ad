"""What a search leaves behind, and the algebra by which several results become one."""

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
    """The best input of each example. Where `success` is false it is the best failure, and says so.

    Attributes:
        x: the inputs found, [B, ...].
        success: whether the goal was reached, bool [B]; for a random network, in more than half of fresh draws.
        distance: how far from the start, [B], in the search's norm.
        prediction: the class the network now sees, int64 [B]; -1 where it was not run to its end.
        logits: its logits for them, [B, n].
        loss: what the search brought down, [B].
        forwards, backwards: how often the network was run for each example, int64 [B].
        nonfinite: whether logits or gradients that are not finite were met on the way, bool [B]; such points are never
            kept, and such logits never a success.
        label: the class each search was about, int64 [B]: as given, or the network's own prediction.
        skipped: examples that were not searched because their target is their label, bool [B].
        success_rate: the share of fresh draws in which the goal is reached, [B]; 0 or 1 for a network that is not
            random.
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
"""(new, old) -> where the new result is the better one, bool [B]."""

COUNTS = ("forwards", "backwards")
"""What an example has cost so far: a meter that all searches of a call share goes on counting from one to the next."""


def concatenated(results: list[Result]) -> Result:
    """The examples of several results, one after the other."""
    columns = {name: torch.cat([getattr(part, name) for part in results]) for name in _names()}
    return Result(**columns)


def best_of(old: Result, new: Result, better: Better) -> Result:
    """Two searches of the same examples as one: of each example the better one, and what both have cost."""
    take_new = better(new, old)
    columns: dict[str, Any] = {
        name: torch.where(per_example(take_new, getattr(old, name)), getattr(new, name), getattr(old, name))
        for name in _names()
    }
    columns["nonfinite"] = old.nonfinite | new.nonfinite
    for name in COUNTS:
        columns[name] = torch.maximum(getattr(old, name), getattr(new, name))
    return Result(**columns)


def best_restart(found: Result, restarts: int, better: Better) -> Result:
    """Of each example's restarts, which follow one another in blocks, the best one, and what all have cost."""
    if restarts == 1:
        return found
    blocks = torch.arange(len(found.loss), device=found.loss.device).reshape(restarts, -1)
    return functools.reduce(lambda old, new: best_of(old, new, better), (take(found, block) for block in blocks))


def scatter(whole: Result, rows: Tensor, part: Result, better: Better) -> Result:
    """`whole`, with a further search of its examples `rows` (positions, int64): see `best_of`."""
    both = best_of(take(whole, rows), part, better)
    columns = {name: getattr(whole, name).index_copy(0, rows, getattr(both, name)) for name in _names()}
    return Result(**columns)


def lower_loss(new: Result, old: Result) -> Tensor:
    """Success before failure, and then the lower loss."""
    return torch.where(new.success == old.success, new.loss < old.loss, new.success)


def smaller_margin(new: Result, old: Result) -> Tensor:
    """Success before failure; of two failures the smaller lead of the class that wins, of two successes the larger.

    For searches towards different classes, whose losses do not compare.
    """
    gained = torch.where(old.success, winning_lead(new) > winning_lead(old), winning_lead(new) < winning_lead(old))
    return torch.where(new.success == old.success, gained, new.success)


def nearer(new: Result, old: Result) -> Tensor:
    """The nearer success before any failure, and then the failure with the smaller lead."""
    closer = torch.where(old.success, new.distance < old.distance, winning_lead(new) < winning_lead(old))
    return torch.where(new.success == old.success, closer, new.success)


def winning_lead(found: Result) -> Tensor:
    """How far the class that wins is ahead of the next, [B]."""
    return found.logits.amax(1) - best_other(found.logits, found.logits.argmax(1))


def failures_at_infinity(found: Result) -> Result:
    """A minimal-norm search measures what it found; where it found nothing, the distance is infinite."""
    return replace(found, distance=found.distance.masked_fill(~found.success, torch.inf))


def _names() -> list[str]:
    return [field.name for field in fields(Result)]
