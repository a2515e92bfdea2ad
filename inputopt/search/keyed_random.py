"""Counter-based random numbers for each example that depend only on (seed, example id, draw).

Results therefore do not depend on the batch, its order, how it is split or the device, and torch's global generator is
never used. SplitMix64 (Steele, Lea and Flood, 2014) hashes a counter, for all examples at once. On a CPU it runs in
numpy, which has unsigned 64-bit words and on a few words is several times as fast as torch; on other devices it runs in
torch, on the device that uses the numbers and without synchronising. Both give the same bits.
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
"""Number of examples, or words, up to which Python integers are faster than numpy."""


def _mixed(words: Words) -> Words:
    """SplitMix64 mixing, in place: on millions of words, allocating memory costs more than the arithmetic."""
    for places, factor in _STAGES:
        words ^= words >> np.uint64(places)
        if factor != 1:
            words *= np.uint64(factor)
    return words


def _mixed_one(word: int) -> int:
    """SplitMix64 mixing of one integer of any size, taken modulo 2^64."""
    for places, factor in _STAGES:
        word %= 2**64
        word = (word ^ (word >> places)) * factor
    return word


def _word(number: int) -> Words:
    """An integer of any size modulo 2^64, as an array [1]."""
    return np.array([number % 2**64], dtype=np.uint64)


def word(*numbers: int) -> int:
    """Hash integers to 63 bits: a seed for another random number generator."""
    mixed = 0
    for number in numbers:
        mixed = _mixed_one(mixed + (number + 1) * _GOLDEN)
    return mixed % 2**63


_on_host: WeakIdKeyDictionary = WeakIdKeyDictionary()


def _words(ids: Tensor) -> Words:
    """Ids as unsigned words on the host; ids on a device are copied once and cached, as a search reuses them."""
    if ids.device.type == "cpu":
        return ids.numpy().view(np.uint64)
    if ids not in _on_host:
        _on_host[ids] = ids.cpu().numpy().view(np.uint64)
    values: Words = _on_host[ids]
    return values


_GOLDEN_WORD = _word(_GOLDEN)


def _seed_state(seed: int) -> int:
    return _mixed_one((seed + 1) * _GOLDEN)


def _integers(kind: type[np.signedinteger[Any]], count: int, seed: int, ids: Tensor, draw: int) -> npt.NDArray[Any]:
    """Uniform random integers of dtype `kind`, [B, count]; a 64-bit word gives two int32 or eight int8."""
    keys = (_keys_one_by_one if len(ids) <= FEW else _keys)(seed, ids, draw)
    words = -(-count * np.dtype(kind).itemsize // 8)
    if len(ids) * words <= FEW:
        each = [[_mixed_one(key + number * _GOLDEN) for number in range(1, words + 1)] for key in keys]
        return np.array(each, dtype=np.uint64).reshape(len(ids), words).view(kind)[:, :count]
    counter = np.arange(1, words + 1, dtype=np.uint64)
    counter *= _GOLDEN_WORD
    return _mixed(np.asarray(keys, dtype=np.uint64)[:, None] + counter).view(kind)[:, :count]


def _keys(seed: int, ids: Tensor, draw: int) -> Words:
    """Start of each example's counter for one draw, [B]."""
    state = _mixed((_words(ids) + _word(1)) * _GOLDEN_WORD + _word(_seed_state(seed)))
    return _mixed(state + _word((draw + 1) * _GOLDEN))


def _keys_one_by_one(seed: int, ids: Tensor, draw: int) -> list[int]:
    start, step = _seed_state(seed), (draw + 1) * _GOLDEN
    return [_mixed_one(_mixed_one(start + (number + 1) * _GOLDEN) + step) for number in ids.tolist()]


def _signed(number: int) -> int:
    """An integer modulo 2^64 as a signed 64-bit word, since torch lacks unsigned arithmetic."""
    return (number + 2**63) % 2**64 - 2**63


def _mixed_on_device(words: Tensor) -> Tensor:
    """As `_mixed`, for int64 tensors: products wrap, and shifted-in sign bits are masked out."""
    for places, factor in _STAGES:
        words = words ^ ((words >> places) & (2 ** (64 - places) - 1))
        if factor != 1:
            words = words * _signed(factor)
    return words


def _integers_on_device(kind: torch.dtype, count: int, seed: int, ids: Tensor, draw: int) -> Tensor:
    """As `_integers`, computed on the device of `ids`."""
    state = _mixed_on_device((ids + 1) * _signed(_GOLDEN) + _signed(_seed_state(seed)))
    keys = _mixed_on_device(state + _signed((draw + 1) * _GOLDEN))
    words = -(-count * kind.itemsize // 8)
    counter = torch.arange(1, words + 1, device=ids.device) * _signed(_GOLDEN)
    return _mixed_on_device(keys[:, None] + counter).view(kind)[:, :count]


def _random_integers(kind: torch.dtype, count: int, seed: int, ids: Tensor, draw: int) -> Tensor:
    """Uniform random integers of dtype `kind`, [B, count], on the device of `ids`."""
    if immediate(ids):
        return torch.from_numpy(_integers(_NUMPY[kind], count, seed, ids, draw))
    return _integers_on_device(kind, count, seed, ids, draw)


_NUMPY: dict[torch.dtype, type[np.signedinteger[Any]]] = {torch.int32: np.int32, torch.int8: np.int8}


def uniform(shape: Sequence[int], seed: int, ids: Tensor, draw: int = 0) -> Tensor:
    """Uniform random multiples of 2^-32 in [0, 1), [B, *shape], one row for each of `ids` [B], on their device.

    The dtype is float64; on a device without float64 (MPS) the values are rounded to float32.

    >>> ids = torch.tensor([4, 7])
    >>> bool((uniform((3,), 0, ids)[1] == uniform((3,), 0, ids[1:])[0]).all())
    True
    """
    if immediate(ids):
        return torch.from_numpy(numbers(shape, seed, ids, draw))
    integers = _integers_on_device(torch.int32, math.prod(shape), seed, ids, draw)
    wide = torch.float32 if ids.device.type == "mps" else torch.float64
    return integers.to(wide).add_(2.0**31).mul_(2.0**-32).reshape(len(ids), *shape)


def numbers(shape: Sequence[int], seed: int, ids: Tensor, draw: int = 0) -> Numbers:
    """As `uniform`, as a numpy array: for so few numbers that the overhead of torch calls would dominate."""
    integers = _integers(np.int32, math.prod(shape), seed, ids, draw)
    values = np.add(integers, 2.0**31, dtype=np.float64)
    values *= 2.0**-32
    return values.reshape(len(ids), *shape)


def centred(shape: Sequence[int], seed: int, ids: Tensor, draw: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Uniform noise on 256 levels symmetric about 0 in (-1/2, 1/2), [B, *shape]; much faster than `uniform`."""
    integers = _random_integers(torch.int8, math.prod(shape), seed, ids, draw)
    return integers.to(dtype).add_(0.5).mul_(2.0**-8).reshape(len(ids), *shape)


def child(ids: Tensor, number: Tensor) -> Tensor:
    """Ids for run `number` of the examples `ids`, such as restarts, [B] each; run 0 keeps the example's id."""
    if immediate(ids):
        hashed = torch.from_numpy(_mixed(_words(ids) * _GOLDEN_WORD + _words(number)).view(np.int64))
    else:
        hashed = _mixed_on_device(ids * _signed(_GOLDEN) + number)
    return torch.where(number == 0, ids, hashed)


def normal(shape: Sequence[int], seed: int, ids: Tensor, draw: int = 0) -> Tensor:
    """Standard normal random numbers, [B, *shape], in the dtype of `uniform`, by the Box-Muller transform (1958)."""
    first, second = uniform((2, *shape), seed, ids, draw).unbind(1)
    return (-2 * torch.log1p(-first)).sqrt() * torch.cos(2 * math.pi * second)
