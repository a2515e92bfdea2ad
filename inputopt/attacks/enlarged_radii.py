"""Schedule of enlarged radii (Croce and Hein, 2021): search in larger balls first, then in the ball itself.

A search in the ball alone stops in the first local minimum; one that starts in a larger ball returns to the ball with
a better estimate of where the boundary is. L1 always needs this; networks that are trained in a norm other than the
attack's, and networks whose gradients vanish near the data, need it in L2 and Linf as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import Tensor

from inputopt.attacks.regions import enlarged_region
from inputopt.attacks.run import AttackRun
from inputopt.search.norms import Norm
from inputopt.search.objectives.objective import Objective
from inputopt.search.problem import Problem
from inputopt.search.result import Result
from inputopt.search.steps.step import Step

SHARE = 0.6
"""Share of the steps made in the larger balls."""


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
    """Search from `start` in balls whose radii are these multiples of eps, in order, then in the ball itself.

    Args:
        run: the attack on one batch.
        loss, problem, start, untargeted, stop: as for `AttackRun.search`.
        steps: total number of steps.
        multiples: radii of the larger balls, in multiples of eps.
        make_step: number of steps -> step rule.
    """
    counts = [max(1, round(SHARE / len(multiples) * steps)) for _ in multiples]
    for width, count in zip(multiples, counts, strict=True):
        outer = replace(problem, region=enlarged_region(problem.region, problem, width, run.norm, run.net))
        start = run.search(loss, make_step(count), start, count, outer, untargeted=untargeted, stop=False).x
    count = max(1, steps - sum(counts))
    return run.search(loss, make_step(count), start, count, problem, untargeted=untargeted, stop=stop)


def multiples_of(given: Sequence[float] | None, norm: Norm) -> Sequence[float]:
    """The given multiples, or the norm's default if None."""
    return norm.enlarged_radii if given is None else given
