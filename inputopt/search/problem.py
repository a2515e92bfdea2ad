"""What a search is given, what it sees at each step, and what it leaves behind: frozen dataclasses, batch first."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

Tree = TypeVar("Tree")


@dataclass(frozen=True)
class Problem:
    """The examples of a search; those that are done are dropped from it.

    Attributes:
        x0: where each example starts from and is measured against, [B, ...].
        label: the class each search is about, int64 [B]: the one to leave, or for pictures the one to reach.
        ids: what each example's randomness is keyed by, int64 [B].
        target: the class to reach instead of `label`, int64 [B]; None for a search that only leaves.
        eps: how far from x0 an example may go, [B]; None for no limit.
        low, high: the box that each example stays in, [B, ...]; None where the set alone decides.
        group: rows of one number are tries at the same example, and done together, int64 [B]; None for no tries.
        movable: which numbers may move at all, bool [B, ...]; None for all.
        start: where a search begins that is given a start, [B, ...]; None for x0.
    """

    x0: Tensor
    label: Tensor
    ids: Tensor
    target: Tensor | None = None
    eps: Tensor | None = None
    low: Tensor | None = None
    high: Tensor | None = None
    group: Tensor | None = None
    movable: Tensor | None = None
    start: Tensor | None = None


@dataclass(frozen=True)
class Evaluation:
    """What the network said of one set of inputs; everything detached.

    Attributes:
        x: the inputs, [B, ...].
        outputs: the logits, [B, n]; [B, 0] where the network was not run to its end.
        loss: what the search brings down, [B].
        success: whether the goal is reached, bool [B].
        grad: d loss / dz, the shape of z; None if it was not asked for.
    """

    x: Tensor
    outputs: Tensor
    loss: Tensor
    success: Tensor
    grad: Tensor | None = None


@dataclass(frozen=True)
class Result:
    """The best input of each example. Where `success` is false it is the best failure, and says so.

    Attributes:
        x: the inputs found, [B, ...].
        success: whether the goal was reached, bool [B].
        distance: how far from the start, [B], in the search's norm.
        prediction: the class the network now sees, int64 [B].
        logits: its logits for them, [B, n].
        loss: what the search brought down, [B].
        forwards, backwards: how often the network was run for each example, int64 [B].
    """

    x: Tensor
    success: Tensor
    distance: Tensor
    prediction: Tensor
    logits: Tensor
    loss: Tensor
    forwards: Tensor
    backwards: Tensor


def take(tree: Tree, rows: Tensor) -> Tree:
    """Those rows (numbers or a mask) of every tensor in nested frozen dataclasses and tuples; the rest stays."""
    if rows.dtype == torch.bool:
        if bool(rows.all()):
            return tree  # nothing here is ever written to, so that all of it needs no copy
        rows = rows.nonzero()[:, 0]
    if isinstance(tree, Tensor):
        return tree.index_select(0, rows)  # type: ignore[return-value]
    if isinstance(tree, tuple):
        return type(tree)(take(value, rows) for value in tree)
    if is_dataclass(tree) and not isinstance(tree, type):
        changes: dict[str, Any] = {field.name: take(getattr(tree, field.name), rows) for field in fields(tree)}
        return replace(tree, **changes)
    return tree


def where_movable(grad: Tensor, problem: Problem) -> Tensor:
    """A gradient [B, ...] without what may not move: it would use up the length of a step for nothing."""
    return grad if problem.movable is None else grad * problem.movable


def concatenated(results: list[Result]) -> Result:
    """Several results as one."""
    return Result(
        **{field.name: torch.cat([getattr(part, field.name) for part in results]) for field in fields(Result)}
    )
