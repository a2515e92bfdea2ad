"""Minimal-norm attacks: how they are called, and what several of them share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from inputopt import checks
from inputopt.attacks.attack import Model, bounded, called, checked
from inputopt.attacks.config import AttackConfig
from inputopt.attacks.run import AttackRun
from inputopt.nets.ambient import ambient
from inputopt.nets.frozen import frozen
from inputopt.search.inputs import float_tensor
from inputopt.search.loop import Watch
from inputopt.search.norms import find_norm
from inputopt.search.objectives.logits import margin
from inputopt.search.problem import Problem
from inputopt.search.result import Result, best_of, failures_at_infinity, nearer
from inputopt.search.steps.bisection import BisectionStep


@dataclass(frozen=True)
class MinimalNormAttack(AttackConfig):
    """A minimal-norm attack: its settings. Called, it looks for the nearest input that the model errs on.

    Attributes:
        norm: "l0", "l1", "l2" or "linf".
        levels, mask, eot_samples, transform: as for `AttackConfig`.
    """

    norm: str = "l2"

    @ambient()
    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Any = None,
        target: Any = None,
        seed: int = 0,
        ids: Any = None,
        start: Tensor | None = None,
        watch: Watch | None = None,
    ) -> Result:
        """Change each input as little as possible so that the model errs, or sees the target.

        Args:
            model, x, y, target, seed, ids, watch: as for `Attack`.
            start: where to begin, [B, ...] in the bounds, such as inputs that are wrong already; `x` if not given.

        Returns:
            `distance` is in the attack's norm, infinite where `success` is false; there `x` is the best failure.

        Raises:
            ValueError, TypeError: anything that does not fit, before any work.
        """
        net, seed = frozen(model), checks.seed(seed)
        problem, known = checked(self, net, x, y, target, ids)
        problem = replace(problem, region=bounded(net, problem, find_norm(self.norm), torch.inf, self.mask))
        begin = None if start is None else _inside(float_tensor("start", start, net), problem)
        return failures_at_infinity(called(self, net, problem, known, seed, watch, start=begin))


def _inside(start: Tensor, problem: Problem) -> Tensor:
    """A start inside the box of each example.

    Raises:
        ValueError: it has another shape than the inputs.
    """
    if start.shape != problem.x0.shape:
        raise ValueError(f"start must have the shape of x, {list(problem.x0.shape)}, not {list(start.shape)}.")
    return start.to(problem.x0).clamp(problem.region.low, problem.region.high)


def at_the_start(run: AttackRun) -> Result:
    """What the network says of x0, and of the start if there is one: the nearer success."""
    look = BisectionStep(run.norm)
    found = run.search_nearest(margin, look, run.problem.x0, 0)
    if run.start is not None:
        found = best_of(found, run.search_nearest(margin, look, run.start, 0), nearer)
    return failures_at_infinity(found)


def onto_boundary(run: AttackRun, found: Result, halvings: int, low: float = 0.0) -> Result:
    """Move each success towards x0 by bisection, as near as it stays one; less than `low` of the way is not tried."""
    step = BisectionStep(run.norm, low)
    return best_of(found, run.search_nearest(margin, step, found.x, halvings), nearer)
