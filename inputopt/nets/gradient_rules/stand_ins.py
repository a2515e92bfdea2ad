"""Differentiable stand-ins for integer and boolean tensors, which carry no gradient of their own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class StandIns:
    """For integer and boolean tensors of one forward, a floating-point tensor that changes with the input as they do.

    Only its gradient is used: where such a tensor becomes floating-point again, its value is kept and the gradient is
    that of the stand-in (`joined`).
    """

    def __init__(self) -> None:
        self._found: dict[int, tuple[Tensor, Tensor]] = {}  # by id; the tensor itself is kept alive, so ids are unique
        self._scores: dict[int, tuple[Tensor, Tensor]] = {}

    def add(self, hard: Any, soft: Any) -> None:
        """Record `soft` as the stand-in of `hard` if both are tensors of one shape."""
        if isinstance(hard, Tensor) and isinstance(soft, Tensor) and hard.shape == soft.shape and soft.requires_grad:
            self._found[id(hard)] = (hard, soft)

    def of(self, hard: Any) -> Tensor | None:
        """The stand-in of a tensor; None if there is none."""
        found = self._found.get(id(hard))
        return None if found is None else found[1]

    def add_scores(self, index: Tensor, scores: Tensor) -> None:
        """Record that `index` are positions of the largest of `scores` [..., n] along the last dimension.

        `scores[..., 0]` broadcasts with `index`.
        """
        self._scores[id(index)] = (index, scores)

    def scores_of(self, index: Any) -> Tensor | None:
        """The scores that an index is the argmax of; None if it is not known to be one."""
        found = self._scores.get(id(index))
        return None if found is None else found[1]

    def floating(self, value: Any) -> Any:
        """An argument with tensors that have a stand-in replaced by floating-point ones with its gradient."""
        if isinstance(value, (list, tuple)):
            return type(value)(map(self.floating, value)) if type(value) in (list, tuple) else value
        soft = self.of(value)
        return value if soft is None else joined(value.to(soft.dtype), soft)

    def among(self, values: Any) -> bool:
        """Whether any of the tensors in an argument list has a stand-in."""
        return any(
            self.among(value) if isinstance(value, (list, tuple)) else id(value) in self._found for value in values
        )


def joined(value: Tensor, soft: Tensor) -> Tensor:
    """The value of the first and the gradient of the second, of one shape."""
    return value.detach() + (soft - soft.detach()).to(value.dtype)


def same_sum(value: Tensor, soft: Tensor) -> Tensor:
    """The value of the first, with the gradients of both added."""
    return value + (soft - soft.detach()).to(value.dtype)


def step(difference: Tensor, width: float) -> Tensor:
    """A stand-in of `difference > 0`: a sigmoid, `width` times as wide as the differences are large on average."""
    return torch.sigmoid(difference / (width * mean_size(difference)))


def bump(difference: Tensor, width: float) -> Tensor:
    """A stand-in of `difference == 0`: a normal density, as wide as `step`."""
    return torch.exp(-((difference / (width * mean_size(difference))) ** 2))


def mean_size(values: Tensor) -> Tensor:
    """The mean absolute value, above 0; without a gradient."""
    return values.detach().abs().mean().clamp_min(torch.finfo(values.dtype).tiny ** 0.5)


def looked_up(table: Tensor, index: Tensor, soft: Tensor) -> Tensor:
    """The change of `table[index]` with the index: a difference quotient over a 16th of the table, times `soft`.

    Neighbouring entries may be equal, as in a table that rounds.
    """
    last, width = len(table) - 1, max(1, len(table) // 16)
    upper, lower = (index + width).clamp(max=last), (index - width).clamp(min=0)
    slope = (table[upper] - table[lower]) / (upper - lower).clamp_min(1).reshape(*index.shape, *(1,) * (table.ndim - 1))
    return (soft.reshape(*index.shape, *(1,) * (table.ndim - 1)) * slope.detach()).to(table.dtype)


def largest_of(scores: Tensor, classes: int, width: float) -> Tensor:
    """A stand-in of the one-hot code of the argmax: the softmax of the scores over `width` times their deviation."""
    spread = scores.detach().std(-1, keepdim=True).clamp_min(torch.finfo(scores.dtype).tiny ** 0.5)
    soft = (scores / (width * spread)).softmax(-1)
    return soft if soft.shape[-1] == classes else torch.nn.functional.pad(soft, (0, classes - soft.shape[-1]))


def nearest_scores(values: Tensor, chosen: Tensor, largest: bool, width: float) -> Tensor:
    """Scores [..., 1, n] of the elements that the k largest or smallest of values [..., n] are chosen among.

    They are divided by `width` times the difference between the first and the last of the `chosen` values [..., k].
    """
    spread = (chosen[..., :1] - chosen[..., -1:]).detach().abs() + 1e-3 * mean_size(values)
    return ((values if largest else -values) / (width * spread)).unsqueeze(-2)


def by_class(scores: Tensor, classes: Tensor) -> Tensor:
    """Scores of classes [..., C], from those of the elements [..., n] with these classes [n]."""
    count = int(classes.max()) + 1
    lowest = scores.detach().amin(-1) - 1
    members = [scores[..., classes == number] for number in range(count)]
    return torch.stack([part.logsumexp(-1) if part.shape[-1] else lowest for part in members], -1)


def differentiable(value: Any) -> bool:
    """Whether a value is a floating-point tensor with a gradient."""
    return isinstance(value, Tensor) and value.requires_grad and value.is_floating_point()
