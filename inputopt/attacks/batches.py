"""Work cut into batches of ids, so that a shard of the work gives the same bits as the whole."""

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
"""The least and the most rows that are run together."""

BATCH_WORK = 8e8
"""Floating-point operations of a forward of one batch: larger ones leave the caches, smaller ones wait for Python."""


def batch_size(net: Frozen, x: Tensor) -> int:
    """How many rows are run together at most: it follows from the network and the shape of an input."""
    each, (least, most) = net.operations(x[:1]), BATCHES
    return 512 if each == 0 else min(most, max(least, 2 ** int(math.log2(BATCH_WORK / each))))


def chunk_size(net: Frozen, x: Tensor) -> int:
    """How many ids make a chunk: 0 .. n - 1, n .. 2 n - 1 and so on, whatever else is in the call.

    Matrix kernels give other last bits at other batch sizes. A chunk is always run as the same batches, so work that is
    cut between chunks gives the same bits as the whole.
    """
    return 4 * batch_size(net, x)


def batches(net: Frozen, problem: Problem, rows: int = 1) -> list[Tensor]:
    """Which examples to run together, in the order of their ids: each chunk in equal parts, none larger than allowed.

    Args:
        net: the network.
        problem: the examples.
        rows: how many rows of a batch each example takes up.
    """
    ids = problem.ids.cpu()
    number = ids // chunk_size(net, problem.x0)
    order = ids.argsort(stable=True)
    most = max(1, batch_size(net, problem.x0) // rows)
    parts: list[Tensor] = []
    for chunk in dict.fromkeys(number[order].tolist()):
        own = order[number[order] == chunk]
        parts += own.tensor_split(-(-len(own) // most))
    return [part.to(problem.ids.device) for part in parts]


def in_batches(net: Frozen, problem: Problem, search: Callable[[Problem, Tensor], Result], rows: int = 1) -> Result:
    """Search batch by batch, and put the results back in the order of the problem.

    Args:
        net, problem, rows: as for `batches`.
        search: (a batch, the positions of its examples) -> its result.
    """
    parts = batches(net, problem, rows)
    if len(parts) == 1 and torch.equal(parts[0], torch.arange(len(problem.ids), device=problem.ids.device)):
        return search(problem, parts[0])
    found = [search(alone(take(problem, part)), part) for part in parts]
    return take(concatenated(found), torch.cat(parts).argsort())


def alone(problem: Problem) -> Problem:
    """A batch whose examples are counted from 0."""
    return Problem(problem.x0, problem.label, problem.ids, problem.target, problem.region)


@torch.no_grad()
def logits_in_batches(net: Frozen, problem: Problem) -> Tensor:
    """What the network says of x0, [B, n], each batch run by itself."""
    parts = batches(net, problem)
    return torch.cat([net(problem.x0[part]) for part in parts])[torch.cat(parts).argsort()]
