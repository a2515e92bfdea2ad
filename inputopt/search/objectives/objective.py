"""Objectives: per-example losses that a search minimises; they can be added, scaled and negated (to maximise)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

from torch import Tensor

from inputopt.search.problem import Problem

LOGITS = ""
"""Key of the network's logits among layer outputs."""


@dataclass(frozen=True)
class Objective:
    """A loss for each example as a function of (outputs, x, problem), [B].

    `outputs` are the logits [B, n], or for an objective with `layers` a dict of those layers' activations [B, ...]. If
    it needs logits too, as sums may, they are in the dict under "".

    Attributes:
        value: the function.
        layers: names of the layers whose activations it needs.
        logits: whether it needs logits; if not, the network is run only up to the last of the layers.
        count: number of pictures it is for: example i of a batch is for picture `problem.label[i]`.
        together: whether an example's loss depends on the other examples of the batch.
        plain: a description in plain values from which `objective_from_plain` builds it again; None if there is none.
        bind: returns the same objective for one network, given its `NetworkGeometry` (channel axes of its layers and
            width of its input bounds); None if it needs neither.
    """

    value: Callable[[Any, Tensor, Problem], Tensor]
    layers: tuple[str, ...] = ()
    logits: bool = True
    count: int = 1
    together: bool = False
    plain: Any = None
    bind: Callable[[Any], Objective] | None = None

    def bound(self, to: Any) -> Objective:
        """The same objective for the network described by `to`, a `NetworkGeometry`."""
        return self if self.bind is None else self.bind(to)

    def __call__(self, outputs: Any, x: Tensor, problem: Problem) -> Tensor:
        if self.logits and not self.layers and isinstance(outputs, dict):
            outputs = outputs[LOGITS]
        return self.value(outputs, x, problem)

    def __add__(self, other: Objective) -> Objective:
        if self.count != other.count and 1 not in (self.count, other.count):
            raise ValueError(
                f"Objectives for {self.count} and {other.count} pictures cannot be added; use the same number for both."
            )
        return Objective(
            lambda outputs, x, problem: self(outputs, x, problem) + other(outputs, x, problem),
            tuple(dict.fromkeys(self.layers + other.layers)),
            self.logits or other.logits,
            max(self.count, other.count),
            self.together or other.together,
            None if self.plain is None or other.plain is None else ["+", self.plain, other.plain],
            None if self.bind is None and other.bind is None else lambda to: self.bound(to) + other.bound(to),
        )

    def __mul__(self, factor: float) -> Objective:
        if not isinstance(factor, Real):
            raise TypeError(f"An objective can be multiplied by a number, not by {type(factor).__name__}.")
        factor = factor if isinstance(factor, (int, float)) else float(factor)
        plain = None if self.plain is None else ["*", self.plain, factor]
        return replace(
            self,
            value=lambda outputs, x, problem: self(outputs, x, problem) * factor,
            plain=plain,
            bind=None if self.bind is None else lambda to: self.bound(to) * factor,
        )

    __rmul__ = __mul__

    def __neg__(self) -> Objective:
        return self * -1.0

    def __sub__(self, other: Objective) -> Objective:
        return self + -other
