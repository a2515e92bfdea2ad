"""Several tries at the same example: in one batch, or one after the other; the best counts, and all their cost."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from inputopt.search import chance
from inputopt.search.objectives import best_other
from inputopt.search.problem import Problem, Result, take


def repeated(problem: Problem, tries: int) -> Problem:
    """Every example so many times, as a group that is done together; each try has chance of its own."""
    if tries == 1:
        return problem
    rows = torch.arange(len(problem.ids), device=problem.ids.device).repeat(tries)
    number = torch.arange(tries, device=problem.ids.device).repeat_interleave(len(problem.ids))
    again = take(problem, rows)
    return replace(again, ids=chance.child(again.ids, number), group=rows)


def best_try(found: Result, tries: int) -> Result:
    """The best of each example's tries: success first, then the lowest loss; all their forwards and backwards."""
    if tries == 1:
        return found
    score = found.loss.masked_fill(found.success, -torch.inf)
    examples = len(found.loss) // tries
    chosen = score.reshape(tries, examples).argmin(0) * examples + torch.arange(examples, device=score.device)
    best = take(found, chosen)
    forwards, backwards = (count.reshape(tries, examples).sum(0) for count in (found.forwards, found.backwards))
    return replace(best, forwards=forwards, backwards=backwards)


def merged(old: Result, rows: Tensor, new: Result) -> Result:
    """`old` with what `new` found for the examples `rows` (bool [B]) where that is better; all their counts."""
    place = rows.nonzero()[:, 0]
    better = new.success | (best_margin(new) < best_margin(take(old, rows)))
    chosen = place[better]
    values = {
        name: getattr(old, name).index_copy(0, chosen, getattr(new, name)[better])
        for name in ("x", "success", "distance", "prediction", "logits", "loss")
    }
    return Result(
        **values,
        forwards=old.forwards.index_add(0, place, new.forwards),
        backwards=old.backwards.index_add(0, place, new.backwards),
    )


def best_margin(found: Result) -> Tensor:
    """How far the class that wins is ahead, [B]: losses towards different classes do not compare, this does."""
    logits = found.logits
    return logits.amax(1) - best_other(logits, logits.argmax(1))
