"""The schedule of enlarged radii (Croce and Hein, 2021): search in larger balls first, and then in the ball itself.

In a ball of its own size a search stops at the first hill; from further out it comes back into the ball with a better
sense of where the boundary is. L1 always needs that; networks trained in another norm than they are attacked in, and
those whose gradients fade near the data, need it in L2 and Linf as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import Tensor

from inputopt.attacks.attack import widened
from inputopt.attacks.run import AttackRun
from inputopt.search.norms import Norm
from inputopt.search.objectives.objective import Objective
from inputopt.search.problem import Problem
from inputopt.search.result import Result
from inputopt.search.steps.step import Step

SHARE = 0.6
"""Of the steps are made in the larger balls."""


def search_inwards(
    run: AttackRun,
    loss: Objective,
    problem: Problem,
    start: Tensor,
    steps: int,
    multiples: Sequence[float],
    make_step: Callable[[int], Step],
    *,
    untargeted: bool,
    stop: bool = True,
) -> Result:
    """Search from `start` in balls of these multiples of eps, one after the other, and then in the ball itself.

    Args:
        run: the batch.
        loss, problem, start, untargeted, stop: as for `AttackRun.search`.
        steps: how many in all.
        multiples: of eps.
        make_step: from a number of steps to the step rule for so many.
    """
    counts = [max(1, round(SHARE / len(multiples) * steps)) for _ in multiples]
    for width, count in zip(multiples, counts, strict=True):
        outer = replace(problem, region=widened(problem.region, problem, width, run.norm, run.net))
        start = run.search(loss, make_step(count), start, count, outer, untargeted=untargeted, stop=False).x
    count = max(1, steps - sum(counts))
    return run.search(loss, make_step(count), start, count, problem, untargeted=untargeted, stop=stop)


def multiples_of(given: Sequence[float] | None, norm: Norm) -> Sequence[float]:
    """The multiples asked for, or the norm's own."""
    return norm.enlarged_radii if given is None else given
