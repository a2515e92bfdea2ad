"""Oracles whose answers are changed before anybody sees them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inputopt.nets.gradient_rules.relu_redirect import Redirected
from inputopt.search.host_sync import known_none
from inputopt.search.oracles.oracle import Oracle, Vjp, of_rows
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.query_counter import QueryCounter
from inputopt.search.rows import per_example, take

Ask = Callable[[Oracle, Tensor, Problem, int], tuple[Evaluation, Vjp]]
"""(the oracle asked, z, problem, index) -> what is answered in its place."""


@dataclass(frozen=True)
class Changed:
    """An oracle asked in another way.

    Attributes:
        oracle: asked, and what it runs is counted by its own meter.
        ask: how it is asked, and what becomes of its answer.
    """

    oracle: Oracle
    ask: Ask

    @property
    def meter(self) -> QueryCounter:
        """That of the oracle asked."""
        return self.oracle.meter

    def __call__(self, z: Tensor, problem: Problem, index: int) -> tuple[Evaluation, Vjp]:
        return self.ask(self.oracle, z, problem, index)


def finished(oracle: Oracle, finish: Callable[[Tensor], Tensor]) -> Changed:
    """With a function of the derivative in its place, such as `smooth(1.0).function`."""

    def ask(oracle: Oracle, z: Tensor, problem: Problem, index: int) -> tuple[Evaluation, Vjp]:
        seen, vjp = oracle(z, problem, index)
        return seen, lambda active: finish(vjp(active))

    return Changed(oracle, ask)


def awake(oracle: Oracle) -> Changed:
    """Replaces dead ReLU gradients so that a search can start: where a derivative is zero everywhere, the oracle is
    asked again with rectifiers that let derivatives through (after Olah et al., 2017).
    """

    def ask(oracle: Oracle, z: Tensor, problem: Problem, index: int) -> tuple[Evaluation, Vjp]:
        seen, vjp = oracle(z, problem, index)

        def redirected(active: Tensor | None) -> Tensor:
            grad = vjp(active)
            dead = grad.flatten(1).abs().amax(1) == 0  # `any` takes many times as long
            if known_none(dead):
                return grad
            _, again = oracle(z, problem, index)
            with Redirected():
                other = again(active)
            return grad + torch.where(per_example(dead, grad), other, 0)

        return seen, redirected

    return Changed(oracle, ask)


def unjudged(oracle: Oracle, steps: int) -> Changed:
    """Does not run the network on the point after the last of `steps` steps, in a search that keeps the latest point.

    There the loop asks for no derivative, and what the network says decides nothing: there are no outputs, and the loss
    is 0.
    """

    def ask(oracle: Oracle, z: Tensor, problem: Problem, index: int) -> tuple[Evaluation, Vjp]:
        if index < steps:
            return oracle(z, problem, index)
        unknown = z.new_zeros(len(z))
        seen = Evaluation(z, z.new_empty(len(z), 0), unknown, torch.zeros_like(unknown, dtype=torch.bool))
        return seen, lambda active: torch.zeros_like(of_rows(z, active))

    return Changed(oracle, ask)


def confirmed(oracle: Oracle, again: Callable[[Tensor, Problem, int], Tensor]) -> Changed:
    """A success counts only if it is found again: for networks that answer at random.

    Args:
        oracle: asked.
        again: (x, problem, index) -> whether inputs reach the goal in most of several fresh draws, bool [B].
    """

    def ask(oracle: Oracle, z: Tensor, problem: Problem, index: int) -> tuple[Evaluation, Vjp]:
        seen, vjp = oracle(z, problem, index)
        rows = seen.success.nonzero()[:, 0]
        if len(rows):
            held = again(seen.x[rows], take(problem, rows), index)
            seen = replace(seen, success=seen.success.index_put((rows,), held))
        return seen, vjp

    return Changed(oracle, ask)
