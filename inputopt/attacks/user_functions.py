"""User-supplied `loss`, `goal` and `transform` functions, with their return values and exceptions checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from inputopt.errors import out_of_memory
from inputopt.nets.model_errors import first_line
from inputopt.search.goals import Goal
from inputopt.search.objectives.objective import Objective
from inputopt.search.problem import Problem
from inputopt.search.transforms import Transform

LossLike = Objective | Callable[[Any, Tensor, Problem], Tensor]
GoalLike = Goal | Callable[[Any, Problem], Tensor]


def objective_of(loss: LossLike | None) -> Objective | None:
    """Wrap a user-supplied loss as an objective.

    Raises:
        TypeError: not a function, or a class instead of an instance.
    """
    if loss is None or isinstance(loss, Objective):
        return loss
    _check_function("loss", loss, "(outputs, x, problem) -> [B]")

    def value(outputs: Any, x: Tensor, problem: Problem) -> Tensor:
        with _calling("loss", "(outputs, x, problem) and must return a number for each example"):
            returned = loss(outputs, x, problem)
        return _rows("loss", returned, len(x), "a number for each example, a floating-point tensor [B]", floating=True)

    return Objective(value)


def goal_of(goal: GoalLike | None) -> Goal | None:
    """Wrap a user-supplied function as a goal.

    Raises:
        TypeError: not a function.
    """
    if goal is None or isinstance(goal, Goal):
        return goal
    _check_function("goal", goal, "(outputs, problem) -> bool [B]")

    def test(outputs: Any, problem: Problem) -> Tensor:
        with _calling("goal", "(outputs, problem) and must return for each example whether the goal is reached"):
            returned = goal(outputs, problem)
        return _rows(
            "goal", returned, len(problem.label), "for each example whether the goal is reached, a bool tensor [B]"
        )

    return Goal(test)


@dataclass(frozen=True)
class CheckedTransform:
    """A user's transform whose return value is checked at every call."""

    function: Transform

    def __call__(self, x: Tensor, problem: Problem, draw: int) -> Tensor:
        with _calling("transform", "(x, problem, draw) and must return the inputs to run the network on instead of x"):
            returned: Any = self.function(x, problem, draw)
        if not isinstance(returned, Tensor) or returned.ndim < 1 or len(returned) != len(x):
            shape = list(returned.shape) if isinstance(returned, Tensor) else type(returned).__name__
            raise ValueError(f"transform must return as many inputs as it receives, {len(x)}, not {shape}.")
        return returned


def transform_function(what: str, value: Any) -> Transform:
    """Check a user-supplied transform (x, problem, draw) -> x, given as the setting `what`."""
    if isinstance(value, CheckedTransform):
        return value
    _check_function(what, value, "(x, problem, draw) -> x")
    return CheckedTransform(value)


def _check_function(what: str, value: Any, signature: str) -> None:
    if not callable(value):
        raise TypeError(f"{what} must be a function {signature}, not {type(value).__name__}.")
    if isinstance(value, type):
        raise TypeError(f"{what} must be a function {signature}, not the class {value.__name__}.")


@contextmanager
def _calling(what: str, does: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if out_of_memory(error):
            raise
        raise ValueError(f"{what} failed ({first_line(error)}); it is called with {does}.") from error


def _rows(what: str, returned: Any, count: int, wanted: str, floating: bool = False) -> Tensor:
    kind = isinstance(returned, Tensor) and (returned.is_floating_point() if floating else returned.dtype == torch.bool)
    if not kind or returned.shape != (count,):
        shape = f"{returned.dtype} {list(returned.shape)}" if isinstance(returned, Tensor) else type(returned).__name__
        raise ValueError(f"{what} must return {wanted}, not {shape}.")
    return returned
