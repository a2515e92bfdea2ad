"""What all minimal-norm attacks share: what they are given and give back, and several searches made one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from inputopt import checks
from inputopt.attacks.base import checked, in_batches
from inputopt.attacks.setting import Setting, Settings
from inputopt.attacks.tries import best_margin
from inputopt.nets.frozen import Frozen, frozen
from inputopt.search.loop import Watch
from inputopt.search.norms import per_example
from inputopt.search.objectives import margin
from inputopt.search.problem import Problem, Result, take
from inputopt.search.steps.segment import SegmentStep


@dataclass(frozen=True)
class Nearest(Settings):
    """A minimal-norm attack: its settings. Called, it looks for the nearest input that the model errs on.

    Attributes:
        norm: "l0", "l1", "l2" or "linf".
        levels, mask, samples: as for `Settings`.
    """

    norm: str = "l2"

    def __call__(
        self,
        model: Frozen | nn.Module | Callable[[Tensor], Tensor],
        x: Tensor,
        y: Any,
        target: Any = None,
        seed: int = 0,
        ids: Any = None,
        start: Tensor | None = None,
        watch: Watch | None = None,
    ) -> Result:
        """Move each input as little as possible so that the model errs, or sees the target.

        Args:
            model, x, y, target, seed, ids, watch: as for `Attack`.
            start: where to begin, [B, ...] in the bounds, such as inputs that are wrong already; `x` if not given.

        Returns:
            `distance` is in the attack's norm, infinite where `success` is false; there `x` is the best failure.

        Raises:
            ValueError, TypeError: anything that does not fit, before any work.
        """
        net, seed = frozen(model), checks.seed(seed)
        problem = checked(self, net, x, y, target, ids, torch.inf)
        problem = replace(problem, start=_checked_start(start, problem))
        found = in_batches(net, problem, lambda part: self._search(Setting(self, net, part, seed, watch)), self.tries)
        return replace(found, distance=found.distance.masked_fill(~found.success, torch.inf))


def _checked_start(start: Tensor | None, problem: Problem) -> Tensor | None:
    if start is None:
        return None
    made = checks.tensor("start", start, problem.x0.dtype, problem.x0.device)
    if made.shape != problem.x0.shape:
        raise ValueError(f"start must have the shape of x, {list(problem.x0.shape)}, not {list(made.shape)}.")
    assert problem.low is not None
    assert problem.high is not None
    return torch.minimum(torch.maximum(made, problem.low), problem.high)


def begun(problem: Problem) -> Tensor:
    """Where the search begins."""
    return problem.x0 if problem.start is None else problem.start


def only_in(setting: Setting, name: str, norms: tuple[str, ...], instead: str) -> None:
    """Refuse the norms that an attack is not defined in.

    Raises:
        ValueError: the setting's norm is none of `norms`.
    """
    if setting.norm.name not in norms:
        known = " and ".join(norms)
        raise ValueError(f"{name} is defined in {known}, not in {setting.norm.name}; use {instead} there.")


def nearer(old: Result, new: Result) -> Result:
    """For each example the nearer success, or the better failure; the cost of both."""
    closer = torch.where(old.success, new.distance < old.distance, best_margin(new) < best_margin(old))
    better = torch.where(new.success == old.success, closer, new.success)
    picked = {
        name: torch.where(per_example(better, getattr(old, name)), getattr(new, name), getattr(old, name))
        for name in ("x", "success", "distance", "prediction", "logits", "loss")
    }
    return Result(**picked, forwards=old.forwards + new.forwards, backwards=old.backwards + new.backwards)


def nearest_try(found: Result, tries: int) -> Result:
    """The nearest success of each example's tries, which follow one another in blocks; all their cost."""
    examples = len(found.loss) // tries
    parts = [take(found, torch.arange(examples, device=found.x.device) + number * examples) for number in range(tries)]
    return functools.reduce(nearer, parts)


def looked_at(setting: Setting) -> Result:
    """What the network says where the search begins, and of x0 itself: the distance of failures is infinite."""
    problem = setting.problem
    found = setting.run_nearest(margin, SegmentStep(setting.norm), problem.x0, 0)
    if problem.start is not None:
        found = nearer(found, setting.run_nearest(margin, SegmentStep(setting.norm), problem.start, 0))
    return replace(found, distance=found.distance.masked_fill(~found.success, torch.inf))


def onto_boundary(setting: Setting, found: Result, halvings: int, low: float = 0.0) -> Result:
    """`found` with each success moved towards x0 as near as it stays one; nearer than `low` of the way is not tried."""
    step = SegmentStep(setting.norm, low)
    return nearer(found, setting.run_nearest(margin, step, found.x, checks.whole("halvings", halvings)))
