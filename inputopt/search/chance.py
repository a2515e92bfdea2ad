"""Randomness that belongs to an example: a number depends on (seed, example id, draw) and on nothing else.

So a result does not depend on the batch, its order, how the work was cut up or which device ran it, and torch's global
generator is never touched. SplitMix64 (Steele, Lea and Flood, 2014) serves as the hash of a counter, all examples at
once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15, and below the two multipliers, as signed 64-bit numbers
_FIRST, _SECOND = -4658895280553007687, -7723592293110705685


def _signed(number: int) -> int:
    """A whole number of any size as 64 bits of two's complement, as tensors wrap them."""
    return (number + 2**63) % 2**64 - 2**63


def _mixed(bits: Tensor) -> Tensor:
    mixed = bits.clone()  # then in place: on millions of numbers, fresh memory costs more than the arithmetic
    for places, factor in ((30, _FIRST), (27, _SECOND), (31, 1)):
        shifted = mixed >> places
        shifted &= (1 << (64 - places)) - 1  # a logical shift to the right; torch's own keeps the sign
        mixed ^= shifted
        mixed *= factor
    return mixed


def uniform(shape: Sequence[int], seed: int, ids: Tensor, draw: int = 0) -> Tensor:
    """Multiples of 2^-32 in [0, 1), float64 [B, *shape], one row for each of `ids` [B] on their device.

    >>> ids = torch.tensor([4, 7])
    >>> bool((uniform((3,), 0, ids)[1] == uniform((3,), 0, ids[1:])[0]).all())
    True
    """
    count = math.prod(shape)
    start = _mixed(torch.full_like(ids, _signed((seed + 1) * _GOLDEN)))
    keys = _mixed(_mixed(start + (ids + 1) * _GOLDEN) + _signed((draw + 1) * _GOLDEN))
    counter = torch.arange(1, (count + 1) // 2 + 1, device=ids.device)
    halves = _mixed(keys[:, None] + counter * _GOLDEN).view(torch.int32)[:, :count]  # each word gives two numbers
    return halves.double().add_(2.0**31).mul_(2.0**-32).reshape(len(ids), *shape)


def child(ids: Tensor, number: Tensor) -> Tensor:
    """Ids of further tries at the examples `ids`, [B] each; try number 0 is the example itself."""
    return torch.where(number == 0, ids, _mixed(ids * _GOLDEN + number))


def normal(shape: Sequence[int], seed: int, ids: Tensor, draw: int = 0) -> Tensor:
    """Standard normal numbers, float64 [B, *shape], by Box and Muller's transform (1958)."""
    first, second = uniform((2, *shape), seed, ids, draw).unbind(1)
    return (-2 * torch.log1p(-first)).sqrt() * torch.cos(2 * math.pi * second)
