"""An oracle that evaluates the rows of a batch one by one, in several threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from inputopt.nets.frozen import Frozen
from inputopt.nets.inference.threads import SMALL, shared_threads
from inputopt.search.oracles.oracle import Oracle, Vjp
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.query_counter import QueryCounter
from inputopt.search.rows import take

Found = TypeVar("Found")


@dataclass
class RowThreads:
    """Evaluates each row alone, as many at the same time as there are workers.

    On a CPU a thread per row is faster than several threads in each of the network's operations, unless a row is very
    much work: no operation waits for the others. Each row is computed as if it were searched alone, on any number of
    cores.

    Attributes:
        oracle: evaluates one row at a time, from several threads; its meter counts what it runs.
        pool: runs the rows.
    """

    oracle: Oracle
    pool: ThreadPoolExecutor
    _problem: Problem | None = field(default=None, init=False)
    _rows: list[Problem] = field(default_factory=list, init=False)

    @property
    def meter(self) -> QueryCounter:
        """Meter of the wrapped oracle."""
        return self.oracle.meter

    def __call__(self, z: Tensor, problem: Problem, index: int) -> tuple[Evaluation, Vjp]:
        if self._problem is not problem:  # kept, since the meter is quickest for problems that it knows
            each = torch.split(torch.arange(len(z), device=z.device), 1)
            self._problem, self._rows = problem, [take(problem, row) for row in each]
        calls = zip(torch.split(z, 1), self._rows, strict=True)
        found = self._all([partial(self.oracle, row, one, index) for row, one in calls])

        def vjp(active: Tensor | None) -> Tensor:
            rows = range(len(z)) if active is None else torch.arange(len(z))[active.cpu()].tolist()
            return torch.cat(self._all([partial(found[row][1], None) for row in rows]))

        return _joined([seen for seen, _ in found]), vjp

    def _all(self, calls: Sequence[Callable[[], Found]]) -> list[Found]:
        """Run all calls, each with the caller's context variables, and return their results in order."""
        futures = [self.pool.submit(copy_context().run, self._run, call) for call in calls]
        return [future.result() for future in futures]

    def _run(self, call: Callable[[], Found]) -> Found:
        with shared_threads(1):
            return call()


def _joined(rows: Sequence[Evaluation]) -> Evaluation:
    """The evaluations of single rows as that of a batch."""
    x, outputs, loss, success = (
        torch.cat([getattr(row, name) for row in rows]) for name in ("x", "outputs", "loss", "success")
    )
    valid = None
    if any(row.valid is not None for row in rows):
        valid = torch.cat([torch.ones_like(row.success) if row.valid is None else row.valid for row in rows])
    return Evaluation(x, outputs, loss, success, valid=valid)


LARGE = 2e9
"""Floating-point operations of a row from which on several threads in each operation are faster."""


@contextmanager
def by_rows(oracle: Oracle, net: Frozen, x: Tensor) -> Iterator[Oracle]:
    """Context with an oracle for rows like those of x [B, ...]: each in a thread, or `oracle` itself.

    In threads on a CPU, if a forward of a row is from `SMALL` to `LARGE` operations, and the network is deterministic;
    single rows too, so that the result depends neither on the batch nor on the number of cores.
    """
    if x.device.type != "cpu" or net.is_random or not SMALL <= _operations(net, x[:1]) < LARGE:
        yield oracle
        return
    with ThreadPoolExecutor(min(torch.get_num_threads(), len(x))) as pool:
        yield RowThreads(oracle, pool)


@torch.no_grad()
def _operations(net: Frozen, x: Tensor) -> float:
    """Floating-point operations of a forward of the network; 0 if it does not run to its end on x [1, ...]."""
    if not net.operations(x):
        try:
            net(x)
        except (ValueError, TypeError):
            return 0.0
    return net.operations(x)
