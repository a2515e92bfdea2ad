"""Scores that losses are computed from, where the model's outputs themselves would give flat losses."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from inputopt.nets.class_probabilities import logarithms
from inputopt.search.objectives.objective import Objective

Scores = Callable[[Tensor], Tensor]
"""Outputs of the model [B, n] -> the scores that losses are computed from [B, n], in the same order of classes."""


def unchanged_scores(outputs: Tensor) -> Tensor:
    """The outputs themselves, for models that return logits."""
    return outputs


def log_scores(outputs: Tensor) -> Tensor:
    """Logarithms of probabilities [B, n], which are logits up to a constant for each example.

    Differences of probabilities lose their gradient to rounding once the model is confident; through the logarithm the
    gradient of a softmax is that of its logits, as far as the smallest probability does not underflow to 0.
    """
    return logarithms(outputs)


def enlarged_scores(exponent: int) -> Scores:
    """Outputs times 2 to the power of `exponent`: exact, and their gradients do not underflow."""
    return lambda outputs: outputs * 2.0**exponent


def on_scores(objective: Objective, scores: Scores) -> Objective:
    """The objective, computed from `scores` of the model's outputs instead of from the outputs."""
    if scores is unchanged_scores:
        return objective
    return Objective(lambda outputs, x, problem: objective(scores(outputs), x, problem))
