"""Helpers for batch-first tensors: broadcast values per example, merge two batches, select rows of nested states."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from inputopt.search.host_sync import immediate, known_all

Tree = TypeVar("Tree")


def per_example(values: Tensor, like: Tensor) -> Tensor:
    """Reshape `values` [B] to [B, 1, ...] to broadcast with `like` [B, ...]; values [B, ...] are returned unchanged."""
    return values if values.ndim == like.ndim else values.reshape(-1, *(1,) * (like.ndim - 1))


def numbers_of(like: Tensor) -> tuple[int, ...]:
    """Indices of all dimensions of `like` [B, ...] but the first, for `dim=` of reductions.

    Reducing over them avoids flattening, which copies tensors in channels-last memory format.
    """
    return tuple(range(1, like.ndim))


def chosen(mask: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """`new` where the mask [B] is true, `old` elsewhere, [B, ...]; both must be finite.

    `lerp` with weights 0 and 1 is exact, and on a CPU several times as fast as `where` with a broadcast mask. It
    propagates NaN from elements not chosen, so it is used only for inputs and gradients, which the loop keeps finite.
    """
    weight = per_example(mask, old)
    return torch.lerp(old, new, weight.to(old.dtype)) if immediate(old) else torch.where(weight, new, old)


def take(tree: Tree, rows: Tensor) -> Tree:
    """Select rows (indices or a mask) of every tensor in nested frozen dataclasses and tuples; other values are kept.

    If a mask keeps all rows, the tree itself is returned without a copy, since a search never modifies its tensors.
    """
    if rows.dtype == torch.bool:
        if known_all(rows):
            return tree
        rows = rows.nonzero()[:, 0]
    return _rows(tree, rows)


def _rows(tree: Tree, rows: Tensor) -> Tree:
    if isinstance(tree, Tensor):
        return tree.index_select(0, rows)  # type: ignore[return-value]
    if isinstance(tree, tuple):
        return type(tree)(_rows(value, rows) for value in tree)
    if is_dataclass(tree) and not isinstance(tree, type):
        changes: dict[str, Any] = {field.name: _rows(getattr(tree, field.name), rows) for field in fields(tree)}
        return replace(tree, **changes)
    return tree
