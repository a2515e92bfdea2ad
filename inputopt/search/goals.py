"""Goals: success criteria of a search, combined with & | ~."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt.search.objectives.logits import margin
from inputopt.search.objectives.probability_scores import Scores, unchanged_scores
from inputopt.search.problem import Problem


@dataclass(frozen=True)
class Goal:
    """A success criterion: (logits [B, n], problem) -> whether each example meets it, bool [B]."""

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
"""The predicted class is the problem's label."""

wrong = Goal(lambda outputs, problem: outputs.argmax(1) != problem.label)
"""The predicted class is not the problem's label."""


def _reached(outputs: Tensor, problem: Problem) -> Tensor:
    assert problem.target is not None
    return outputs.argmax(1) == problem.target


reached = Goal(_reached)
"""The predicted class is the problem's target."""


def ahead_by(gap: float, scores: Scores = unchanged_scores) -> Goal:
    """The target's score is at least `gap` above all others; without a target, any other score is above the label's.

    Args:
        gap: difference of scores.
        scores: maps the model's outputs to the scores; default: the outputs, for models that return logits.
    """
    return Goal(lambda outputs, problem: margin(scores(outputs), problem.x0, problem) <= -gap)


never = Goal(lambda outputs, problem: torch.zeros_like(problem.label, dtype=torch.bool))
"""Never reached: the search runs all its steps."""


def is_class(number: int) -> Goal:
    """The predicted class is `number`."""
    return Goal(lambda outputs, problem: outputs.argmax(1) == number)


def confident(probability: float, scores: Scores = unchanged_scores) -> Goal:
    """The softmax probability of the problem's label is at least `probability`.

    Args:
        probability: between 0 and 1.
        scores: maps the model's outputs to logits; default: the outputs themselves.
    """

    def test(outputs: Tensor, problem: Problem) -> Tensor:
        return scores(outputs).softmax(1).gather(1, problem.label[:, None])[:, 0] >= probability

    return Goal(test)


def confident_adversarial(probability: float, scores: Scores = unchanged_scores) -> Goal:
    """The predicted class is the target, or without one not the label, with at least this softmax probability.

    Args:
        probability: between 0 and 1.
        scores: maps the model's outputs to logits; default: the outputs themselves.
    """

    def test(outputs: Tensor, problem: Problem) -> Tensor:
        met = wrong(outputs, problem) if problem.target is None else reached(outputs, problem)
        return met & (scores(outputs).softmax(1).amax(1) >= probability)

    return Goal(test)


def unrecognised(probability: float) -> Goal:
    """The softmax probability of the problem's label is below `probability`."""
    return ~confident(probability)
