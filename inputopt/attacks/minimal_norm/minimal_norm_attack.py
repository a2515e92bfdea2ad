"""Base class of minimal-norm attacks, and functions that several of them share."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from inputopt import checks
from inputopt.attacks.attack import Model, check_arguments, recorded, run_in_batches, warn_of_zero_gradients
from inputopt.attacks.config import AttackConfig
from inputopt.attacks.regions import ball_region
from inputopt.attacks.run import AttackRun
from inputopt.nets.default_modes import default_modes
from inputopt.nets.frozen import frozen
from inputopt.search.inputs import InputoptWarning, Inputs, float_tensor
from inputopt.search.loop import Watch
from inputopt.search.norms import NormName, find_norm
from inputopt.search.objectives.logits import margin
from inputopt.search.problem import Problem
from inputopt.search.query_counter import QueryCounter
from inputopt.search.result import Result, best_of, failures_at_infinity, nearer
from inputopt.search.steps.bisection import BisectionStep

UNUSED = "{} of {} starting points are not {}, so the search begins elsewhere for them."


@dataclass(frozen=True)
class MinimalNormAttack(AttackConfig):
    """Settings of a minimal-norm attack; calling it searches for the nearest misclassified input.

    Attributes:
        norm: "l0", "l1", "l2" or "linf".
        levels, mask, eot_samples, transform: as for `AttackConfig`.
    """

    norm: NormName = "l2"

    @default_modes()
    def __call__(
        self,
        model: Model,
        x: Inputs,
        y: Any = None,
        target: Any = None,
        seed: int = 0,
        ids: Any = None,
        start: Inputs | None = None,
        watch: Watch | None = None,
    ) -> Result:
        """Perturb each input as little as possible so that it is misclassified, or classified as the target.

        Args:
            model, x, y, target, seed, ids, watch: as for `Attack`.
            start: starting points [B, ...] within the bounds, e.g. inputs already misclassified; default: `x`.

        Returns:
            The result; `distance` is in the attack's norm. Where `success` is false, `distance` is infinite and `x` is
            the best failure.

        Raises:
            ValueError, TypeError: an invalid argument, before any computation.
        """
        net, seed = frozen(model), checks.seed(seed)
        problem, traits = check_arguments(self, net, x, y, target, ids)
        problem = replace(problem, region=ball_region(net, problem, find_norm(self.norm), torch.inf, self.mask))
        starting_points = None if start is None else _inside(float_tensor("start", start, net), problem)
        meters = list[QueryCounter]()
        found = run_in_batches(self, net, problem, traits, seed, watch, start=starting_points, meters=meters)
        warn_of_zero_gradients(found, meters)
        return recorded(
            failures_at_infinity(found), self, net, seed, target=target is not None, start=start is not None
        )


def _inside(start: Tensor, problem: Problem) -> Tensor:
    """Clamp starting points to the box of each example.

    Raises:
        ValueError: `start` does not have the shape of the inputs.
    """
    if start.shape != problem.x0.shape:
        raise ValueError(f"start must have the shape of x, {list(problem.x0.shape)}, not {list(start.shape)}.")
    return start.to(problem.x0).clamp(problem.region.low, problem.region.high)


def at_the_start(run: AttackRun) -> Result:
    """Evaluate x0, and the starting points if given, and keep the nearer success."""
    step = BisectionStep(run.norm)
    found = run.search_nearest(margin, step, run.problem.x0, 0)
    if run.start is not None:
        started = run.search_nearest(margin, step, run.start, 0)
        if failed := int((~started.success).sum()):
            what = "misclassified" if run.problem.target is None else "classified as the target"
            warnings.warn(UNUSED.format(failed, len(started.x), what), InputoptWarning, stacklevel=2)
        found = best_of(found, started, nearer)
    return failures_at_infinity(found)


def onto_boundary(run: AttackRun, found: Result, halvings: int, low: float = 0.0) -> Result:
    """Move each success towards x0 by bisection while it stays one; less than `low` of its distance is not tried."""
    step = BisectionStep(run.norm, low)
    return best_of(found, run.search_nearest(margin, step, found.x, halvings), nearer)
