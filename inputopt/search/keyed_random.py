"""Randomness that belongs to an example: a number depends on (seed, example id, draw) and on nothing else.

So a result does not depend on the batch, its order, how the work was cut up or which device ran it, and torch's global
generator is never touched. SplitMix64 (Steele, Lea and Flood, 2014) serves as the hash of a counter, all examples at
once. On a CPU it is computed by numpy, which has unsigned words and on a few words is several times as quick as torch;
on other devices by torch, there where the numbers are used and without waiting, to the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from inputopt.search.host_sync import immediate

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


def word(*numbers: int) -> int:
    """63 bits that depend on all of these whole numbers: a seed for a generator that is not ours."""
    mixed = 0
    for number in numbers:
        mixed = _mixed_one(mixed + (number + 1) * _GOLDEN)
    return mixed % 2**63


_on_host: WeakIdKeyDictionary = WeakIdKeyDictionary()


def _words(ids: Tensor) -> Words:
    """Ids as unsigned words on the host; those of a device are fetched once, since a search keeps them."""
    if ids.device.type == "cpu":
        return ids.numpy().view(np.uint64)
    if ids not in _on_host:
        _on_host[ids] = ids.cpu().numpy().view(np.uint64)
    found: Words = _on_host[ids]
    return found


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


def _signed(number: int) -> int:
    """A whole number modulo 2^64 as a signed word, which is what torch has."""
    return (number + 2**63) % 2**64 - 2**63


def _mixed_on_device(words: Tensor) -> Tensor:
    """As `_mixed`, of int64: products wrap, and shifted-in signs are masked out."""
    for places, factor in _STAGES:
        words = words ^ ((words >> places) & (2 ** (64 - places) - 1))
        if factor != 1:
            words = words * _signed(factor)
    return words


def _whole_on_device(kind: torch.dtype, count: int, seed: int, ids: Tensor, draw: int) -> Tensor:
    """As `_whole`, computed where `ids` are."""
    own = _mixed_on_device((ids + 1) * _signed(_GOLDEN) + _signed(_started(seed)))
    keys = _mixed_on_device(own + _signed((draw + 1) * _GOLDEN))
    words = -(-count * kind.itemsize // 8)
    counter = torch.arange(1, words + 1, device=ids.device) * _signed(_GOLDEN)
    return _mixed_on_device(keys[:, None] + counter).view(kind)[:, :count]


def _drawn(kind: torch.dtype, count: int, seed: int, ids: Tensor, draw: int) -> Tensor:
    """Whole numbers of that kind, [B, count], where `ids` are."""
    if immediate(ids):
        return torch.from_numpy(_whole(_NUMPY[kind], count, seed, ids, draw))
    return _whole_on_device(kind, count, seed, ids, draw)


_NUMPY: dict[torch.dtype, type[np.signedinteger[Any]]] = {torch.int32: np.int32, torch.int8: np.int8}


def uniform(shape: Sequence[int], seed: int, ids: Tensor, draw: int = 0) -> Tensor:
    """Multiples of 2^-32 in [0, 1), [B, *shape], one row for each of `ids` [B] on their device.

    float64; float32 on a device that has no float64 (MPS), where they are rounded.

    >>> ids = torch.tensor([4, 7])
    >>> bool((uniform((3,), 0, ids)[1] == uniform((3,), 0, ids[1:])[0]).all())
    True
    """
    if immediate(ids):
        return torch.from_numpy(numbers(shape, seed, ids, draw))
    whole = _whole_on_device(torch.int32, math.prod(shape), seed, ids, draw)
    wide = torch.float32 if ids.device.type == "mps" else torch.float64
    return whole.to(wide).add_(2.0**31).mul_(2.0**-32).reshape(len(ids), *shape)


def numbers(shape: Sequence[int], seed: int, ids: Tensor, draw: int = 0) -> Numbers:
    """`uniform`'s as an array: for arithmetic on so few that each of torch's calls would take longer than they do."""
    whole = _whole(np.int32, math.prod(shape), seed, ids, draw)
    found = np.add(whole, 2.0**31, dtype=np.float64)
    found *= 2.0**-32
    return found.reshape(len(ids), *shape)


def centred(shape: Sequence[int], seed: int, ids: Tensor, draw: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """256 numbers spread evenly round 0 between -1/2 and 1/2, of `dtype` [B, *shape]: for noise, and much quicker."""
    whole = _drawn(torch.int8, math.prod(shape), seed, ids, draw)
    return whole.to(dtype).add_(0.5).mul_(2.0**-8).reshape(len(ids), *shape)


def child(ids: Tensor, number: Tensor) -> Tensor:
    """Ids of further tries at the examples `ids`, [B] each; try number 0 is the example itself."""
    if immediate(ids):
        own = torch.from_numpy(_mixed(_words(ids) * _GOLD + _words(number)).view(np.int64))
    else:
        own = _mixed_on_device(ids * _signed(_GOLDEN) + number)
    return torch.where(number == 0, ids, own)


def normal(shape: Sequence[int], seed: int, ids: Tensor, draw: int = 0) -> Tensor:
    """Standard normal numbers, [B, *shape] of `uniform`'s dtype, by Box and Muller's transform (1958)."""
    first, second = uniform((2, *shape), seed, ids, draw).unbind(1)
    return (-2 * torch.log1p(-first)).sqrt() * torch.cos(2 * math.pi * second)
