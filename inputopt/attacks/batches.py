"""Batches fixed by the examples' ids, so that a shard of the work gives bitwise the same results as the whole."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from inputopt.nets.frozen import Frozen
from inputopt.search.problem import Problem
from inputopt.search.result import Result, concatenated
from inputopt.search.rows import take

BATCHES = (32, 2048)
"""Minimum and maximum number of rows per batch."""

BATCH_WORK = 8e8
"""Floating-point operations per forward of a batch: more exceed the CPU caches, fewer are slowed down by Python."""


def batch_size(net: Frozen, x: Tensor) -> int:
    """Maximum number of rows per batch; it depends on the network and the input shape."""
    operations, (least, most) = net.operations(x[:1]), BATCHES
    return 512 if operations == 0 else min(most, max(least, 2 ** int(math.log2(BATCH_WORK / operations))))


def chunk_size(net: Frozen, x: Tensor) -> int:
    """Number n of consecutive ids per chunk: 0 to n - 1 are the first, n to 2n - 1 the second, whichever ids are there.

    Matrix kernels round differently at different batch sizes. A chunk is always run in the same batches, so work that
    is split between chunks gives bitwise the same results as the whole.
    """
    return 4 * batch_size(net, x)


def batches(net: Frozen, problem: Problem, rows_per_example: int = 1) -> list[Tensor]:
    """Positions of the examples of each batch, in the order of their ids; each chunk is split into equal batches.

    Args:
        net: the network.
        problem: the examples.
        rows_per_example: rows of the batch per example; a batch has at most `batch_size` rows.
    """
    ids = problem.ids.cpu()
    chunk_of = ids // chunk_size(net, problem.x0)
    order = ids.argsort(stable=True)
    largest = max(1, batch_size(net, problem.x0) // rows_per_example)
    parts: list[Tensor] = []
    for chunk in dict.fromkeys(chunk_of[order].tolist()):
        members = order[chunk_of[order] == chunk]
        parts += members.tensor_split(-(-len(members) // largest))
    return [part.to(problem.ids.device) for part in parts]


def in_batches(
    net: Frozen, problem: Problem, search: Callable[[Problem, Tensor], Result], rows_per_example: int = 1
) -> Result:
    """Search batch by batch and return the results in the order of the problem.

    Args:
        net, problem, rows_per_example: as for `batches`.
        search: (batch, positions of its examples) -> result of the batch.
    """
    parts = batches(net, problem, rows_per_example)
    if len(parts) == 1 and torch.equal(parts[0], torch.arange(len(problem.ids), device=problem.ids.device)):
        return search(problem, parts[0])
    found = [search(renumbered(take(problem, part)), part) for part in parts]
    return take(concatenated(found), torch.cat(parts).argsort())


def renumbered(problem: Problem) -> Problem:
    """The batch with its examples renumbered from 0."""
    return Problem(problem.x0, problem.label, problem.ids, problem.target, problem.region)


@torch.no_grad()
def logits_in_batches(net: Frozen, problem: Problem) -> Tensor:
    """Logits of x0, [B, n], computed batch by batch."""
    parts = batches(net, problem)
    return torch.cat([net(problem.x0[part]) for part in parts])[torch.cat(parts).argsort()]
