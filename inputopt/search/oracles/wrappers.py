"""Wrappers that modify an oracle's evaluation or gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inputopt.nets.gradient_rules.relu_redirect import ReLURedirect
from inputopt.search.host_sync import known_none
from inputopt.search.oracles.oracle import Oracle, Vjp, of_rows
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.query_counter import QueryCounter
from inputopt.search.rows import per_example, take

Ask = Callable[[Oracle, Tensor, Problem, int], tuple[Evaluation, Vjp]]
"""(wrapped oracle, z, problem, index) -> the evaluation and gradient function to return instead."""


@dataclass(frozen=True)
class WrappedOracle:
    """An oracle with modified evaluations or gradients.

    Attributes:
        oracle: the wrapped oracle; its meter counts what it runs.
        ask: calls the wrapped oracle and modifies its results.
    """

    oracle: Oracle
    ask: Ask

    @property
    def meter(self) -> QueryCounter:
        """Meter of the wrapped oracle."""
        return self.oracle.meter

    def __call__(self, z: Tensor, problem: Problem, index: int) -> tuple[Evaluation, Vjp]:
        return self.ask(self.oracle, z, problem, index)


def finished(oracle: Oracle, finish: Callable[[Tensor], Tensor]) -> WrappedOracle:
    """Apply a function to the gradient, such as `smooth(1.0).function`."""

    def ask(oracle: Oracle, z: Tensor, problem: Problem, index: int) -> tuple[Evaluation, Vjp]:
        seen, vjp = oracle(z, problem, index)
        return seen, lambda active: finish(vjp(active))

    return WrappedOracle(oracle, ask)


def with_relu_redirect(oracle: Oracle) -> WrappedOracle:
    """Replace the gradient of rows where it is zero everywhere, such as behind dead ReLUs, so that a search can start.

    The oracle is evaluated again with ReLUs that let gradients through (after Olah et al., 2017).
    """

    def ask(oracle: Oracle, z: Tensor, problem: Problem, index: int) -> tuple[Evaluation, Vjp]:
        seen, vjp = oracle(z, problem, index)

        def redirected(active: Tensor | None) -> Tensor:
            grad = vjp(active)
            dead = grad.flatten(1).abs().amax(1) == 0  # `any` is many times slower
            if known_none(dead):
                return grad
            _, again = oracle(z, problem, index)
            with ReLURedirect():
                other = again(active)
            return grad + torch.where(per_example(dead, grad), other, 0)

        return seen, redirected

    return WrappedOracle(oracle, ask)


def skipping_evaluation(oracle: Oracle, steps: int) -> WrappedOracle:
    """Skip the evaluation of the point after the last of `steps` steps, in a search that keeps the latest point.

    At that point the loop needs no gradient and the evaluation affects nothing: outputs are empty, and the loss is 0.
    """

    def ask(oracle: Oracle, z: Tensor, problem: Problem, index: int) -> tuple[Evaluation, Vjp]:
        if index < steps:
            return oracle(z, problem, index)
        unknown = z.new_zeros(len(z))
        seen = Evaluation(z, z.new_empty(len(z), 0), unknown, torch.zeros_like(unknown, dtype=torch.bool))
        return seen, lambda active: torch.zeros_like(of_rows(z, active))

    return WrappedOracle(oracle, ask)


def confirmed(oracle: Oracle, again: Callable[[Tensor, Problem, int], Tensor]) -> WrappedOracle:
    """Count a success only if it is confirmed by repeated evaluation, for networks with random outputs.

    Args:
        oracle: the wrapped oracle.
        again: (x, problem, index) -> whether inputs reach the goal in most of several new random draws, bool [B].
    """

    def ask(oracle: Oracle, z: Tensor, problem: Problem, index: int) -> tuple[Evaluation, Vjp]:
        seen, vjp = oracle(z, problem, index)
        rows = seen.success.nonzero()[:, 0]
        if len(rows):
            is_confirmed = again(seen.x[rows], take(problem, rows), index)
            seen = replace(seen, success=seen.success.index_put((rows,), is_confirmed))
        return seen, vjp

    return WrappedOracle(oracle, ask)
