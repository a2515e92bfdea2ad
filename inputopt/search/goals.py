"""Goals: when is an example done? Combined with & | ~."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt.search.objectives.logits import margin
from inputopt.search.problem import Problem


@dataclass(frozen=True)
class Goal:
    """A question about (logits [B, n], problem), answered per example, bool [B]."""

    test: Callable[[Tensor, Problem], Tensor]

    def __call__(self, outputs: Tensor, problem: Problem) -> Tensor:
        return self.test(outputs, problem)

    def __and__(self, other: Goal) -> Goal:
        return Goal(lambda outputs, problem: self(outputs, problem) & other(outputs, problem))

    def __or__(self, other: Goal) -> Goal:
        return Goal(lambda outputs, problem: self(outputs, problem) | other(outputs, problem))

    def __invert__(self) -> Goal:
        return Goal(lambda outputs, problem: ~self(outputs, problem))


recognised = Goal(lambda outputs, problem: outputs.argmax(1) == problem.label)
"""The network sees the problem's label."""

wrong = Goal(lambda outputs, problem: outputs.argmax(1) != problem.label)
"""The network sees anything else."""


def _reached(outputs: Tensor, problem: Problem) -> Tensor:
    assert problem.target is not None
    return outputs.argmax(1) == problem.target


reached = Goal(_reached)
"""The network sees the problem's target."""


def ahead_by(gap: float) -> Goal:
    """The class to reach, or any but the label, is this far ahead of the others, in logits."""
    return Goal(lambda outputs, problem: margin(outputs, problem.x0, problem) <= -gap)


never = Goal(lambda outputs, problem: torch.zeros_like(problem.label, dtype=torch.bool))
"""There is no such thing as done: the search goes on to its last step."""


def is_class(number: int) -> Goal:
    """The network sees class `number`."""
    return Goal(lambda outputs, problem: outputs.argmax(1) == number)


def confident(probability: float) -> Goal:
    """The network gives the problem's label at least this probability."""

    def test(outputs: Tensor, problem: Problem) -> Tensor:
        return outputs.softmax(1).gather(1, problem.label[:, None])[:, 0] >= probability

    return Goal(test)


def unrecognised(probability: float) -> Goal:
    """The network gives the problem's label less than this probability."""
    return ~confident(probability)
