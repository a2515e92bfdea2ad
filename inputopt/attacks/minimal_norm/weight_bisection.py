"""The weight of a loss against the size of the change, found by bisection: for Carlini and Wagner's attack and EAD."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt.attacks.run import AttackRun
from inputopt.search.loop import at_the_end, at_x0
from inputopt.search.objectives.logits import hinge
from inputopt.search.problem import Evaluation
from inputopt.search.result import Result
from inputopt.search.steps.step import Step


@dataclass(frozen=True)
class Bisection:
    """A weight for each example and what is known to be too small and enough for it, [B]; and whether it was enough."""

    weight: Tensor
    low: Tensor
    high: Tensor
    enough: Tensor

    @staticmethod
    def begun(first: float, like: Tensor) -> Bisection:
        """Nothing is known yet."""
        weight = torch.full(like.shape[:1], first, dtype=like.dtype, device=like.device)
        return Bisection(weight, 0 * weight, weight + torch.inf, torch.zeros_like(weight, dtype=torch.bool))

    def next(self) -> Bisection:
        """The weight of the next round: between the two, or ten times as much where none was enough yet."""
        high = torch.where(self.enough, torch.minimum(self.high, self.weight), self.high)
        low = torch.where(self.enough, self.low, torch.maximum(self.low, self.weight))
        weight = torch.where(torch.isfinite(high), (low + high) / 2, self.weight * 10).clamp(max=1e10)
        return Bisection(weight, low, high, torch.zeros_like(self.enough))


@dataclass(frozen=True)
class WeightedLossState:
    """The bisection of the weight, two running averages or points, and the number of the step."""

    bisection: Bisection
    mean: Tensor
    square: Tensor
    index: int

    def seen(self, seen: Evaluation, steps: int) -> tuple[Bisection, int]:
        """The bisection after this evaluation, and the number of this step in its round; at `steps` one begins."""
        old, number = self.bisection, self.index % (steps + 1)
        now = Bisection(old.weight, old.low, old.high, old.enough | seen.success)
        return (now.next() if number == steps else now), number


def steps_a_round(steps: int, rounds: int) -> int:
    """How many steps a round takes, but for the one that leads back to x0."""
    return max(1, steps // rounds - 1)


def search_weighed(run: AttackRun, step: Step, steps: int, confidence: float) -> Result:
    """Run all rounds; only what is wrong by `confidence` counts as a success."""
    stop = at_the_end if confidence else at_x0
    return run.search_nearest(hinge(confidence), step, run.begin, steps, confidence=confidence, stop=stop)
