"""Binary search of the constant c that weights the loss against the norm, for Carlini and Wagner's attack and EAD."""

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
    """Binary search of the constant c for each example.

    Attributes:
        weight: current constant, [B].
        low, high: largest constant that was too small, and smallest that was large enough, [B].
        enough: whether the current constant has led to a success, bool [B].
    """

    weight: Tensor
    low: Tensor
    high: Tensor
    enough: Tensor

    @staticmethod
    def initial(first: float, like: Tensor) -> Bisection:
        """Initial state: the constant is `first`, between 0 and infinity."""
        weight = torch.full(like.shape[:1], first, dtype=like.dtype, device=like.device)
        return Bisection(weight, 0 * weight, weight + torch.inf, torch.zeros_like(weight, dtype=torch.bool))

    def next(self) -> Bisection:
        """State of the next round: c is the midpoint, or ten times the last where none was large enough yet."""
        high = torch.where(self.enough, torch.minimum(self.high, self.weight), self.high)
        low = torch.where(self.enough, self.low, torch.maximum(self.low, self.weight))
        weight = torch.where(torch.isfinite(high), (low + high) / 2, self.weight * 10).clamp(max=1e10)
        return Bisection(weight, low, high, torch.zeros_like(self.enough))


@dataclass(frozen=True)
class WeightedLossState:
    """State: the binary search of the constant, two running averages or points, and the index of the step."""

    bisection: Bisection
    mean: Tensor
    square: Tensor
    index: int

    def seen(self, seen: Evaluation, steps: int) -> tuple[Bisection, int]:
        """The binary search after this evaluation, and the index of the step in its round (`steps` at its end)."""
        old, number = self.bisection, self.index % (steps + 1)
        new = Bisection(old.weight, old.low, old.high, old.enough | seen.success)
        return (new.next() if number == steps else new), number


def steps_per_round(steps: int, rounds: int) -> int:
    """Number of optimisation steps per round, not counting the one that resets z to x0 for the next round."""
    return max(1, steps // rounds - 1)


def search_weighted_loss(run: AttackRun, step: Step, steps: int, confidence: float) -> Result:
    """Run all rounds; a success needs a wrong class with a lead of at least `confidence`, in logits."""
    stop = at_the_end if confidence else at_x0
    return run.search_nearest(hinge(confidence), step, run.starting_points, steps, confidence=confidence, stop=stop)
