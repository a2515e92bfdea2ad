"""Randomness that belongs to an example: a number depends on (seed, example id, draw) and on nothing else.

So a result does not depend on the batch, its order, how the work was cut up or which device ran it, and torch's global
generator is never touched. SplitMix64 (Steele, Lea and Flood, 2014) serves as the hash of a counter, all examples at
once. It is computed by numpy, which has unsigned words, and on a few words is several times as quick as torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Words: TypeAlias = npt.NDArray[np.uint64]
Numbers: TypeAlias = npt.NDArray[np.float64]

_GOLDEN = 0x9E3779B97F4A7C15
_STAGES = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1))

FEW = 16
"""Examples, or words, up to which whole numbers of Python are quicker than numpy."""


def _mixed(words: Words) -> Words:
    """Written over `words`: on millions of numbers, fresh memory costs more than the arithmetic."""
    for places, factor in _STAGES:
        words ^= words >> np.uint64(places)
        if factor != 1:
            words *= np.uint64(factor)
    return words


def _mixed_one(word: int) -> int:
    """Of a whole number of any size, taken modulo 2^64."""
    for places, factor in _STAGES:
        word %= 2**64
        word = (word ^ (word >> places)) * factor
    return word


def _word(number: int) -> Words:
    """A whole number of any size, modulo 2^64."""
    return np.array([number % 2**64], dtype=np.uint64)


def _words(ids: Tensor) -> Words:
    return ids.cpu().numpy().view(np.uint64)


_GOLD = _word(_GOLDEN)


def _started(seed: int) -> int:
    return _mixed_one((seed + 1) * _GOLDEN)


def _whole(kind: type[np.signedinteger[Any]], count: int, seed: int, ids: Tensor, draw: int) -> npt.NDArray[Any]:
    """Whole numbers of that kind, any as likely as any other, [B, count]; a word of 64 bits gives two or eight."""
    keys = (_keys_one_by_one if len(ids) <= FEW else _keys)(seed, ids, draw)
    words = -(-count * np.dtype(kind).itemsize // 8)
    if len(ids) * words <= FEW:
        each = [[_mixed_one(key + number * _GOLDEN) for number in range(1, words + 1)] for key in keys]
        return np.array(each, dtype=np.uint64).reshape(len(ids), words).view(kind)[:, :count]
    counter = np.arange(1, words + 1, dtype=np.uint64)
    counter *= _GOLD
    return _mixed(np.asarray(keys, dtype=np.uint64)[:, None] + counter).view(kind)[:, :count]


def _keys(seed: int, ids: Tensor, draw: int) -> Words:
    """A word for each example, from which its numbers are counted on, [B]."""
    own = _mixed((_words(ids) + _word(1)) * _GOLD + _word(_started(seed)))
    return _mixed(own + _word((draw + 1) * _GOLDEN))


def _keys_one_by_one(seed: int, ids: Tensor, draw: int) -> list[int]:
    start, step = _started(seed), (draw + 1) * _GOLDEN
    return [_mixed_one(_mixed_one(start + (number + 1) * _GOLDEN) + step) for number in ids.tolist()]


def uniform(shape: Sequence[int], seed: int, ids: Tensor, draw: int = 0) -> Tensor:
    """Multiples of 2^-32 in [0, 1), float64 [B, *shape], one row for each of `ids` [B] on their device.

    >>> ids = torch.tensor([4, 7])
    >>> bool((uniform((3,), 0, ids)[1] == uniform((3,), 0, ids[1:])[0]).all())
    True
    """
    return torch.from_numpy(numbers(shape, seed, ids, draw)).to(ids.device)


def numbers(shape: Sequence[int], seed: int, ids: Tensor, draw: int = 0) -> Numbers:
    """`uniform`'s as an array: for arithmetic on so few that each of torch's calls would take longer than they do."""
    whole = _whole(np.int32, math.prod(shape), seed, ids, draw)
    found = np.add(whole, 2.0**31, dtype=np.float64)
    found *= 2.0**-32
    return found.reshape(len(ids), *shape)


def centred(shape: Sequence[int], seed: int, ids: Tensor, draw: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """256 numbers spread evenly round 0 between -1/2 and 1/2, of `dtype` [B, *shape]: for noise, and much quicker."""
    whole = torch.from_numpy(_whole(np.int8, math.prod(shape), seed, ids, draw)).to(ids.device)
    return whole.to(dtype).add_(0.5).mul_(2.0**-8).reshape(len(ids), *shape)


def child(ids: Tensor, number: Tensor) -> Tensor:
    """Ids of further tries at the examples `ids`, [B] each; try number 0 is the example itself."""
    own = torch.from_numpy(_mixed(_words(ids) * _GOLD + _words(number)).view(np.int64))
    return torch.where(number == 0, ids, own.to(ids.device))


def normal(shape: Sequence[int], seed: int, ids: Tensor, draw: int = 0) -> Tensor:
    """Standard normal numbers, float64 [B, *shape], by Box and Muller's transform (1958)."""
    first, second = uniform((2, *shape), seed, ids, draw).unbind(1)
    return (-2 * torch.log1p(-first)).sqrt() * torch.cos(2 * math.pi * second)
