"""Whether the model classifies rescaled, normalised, mirrored or transposed inputs much better than the given ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from inputopt.evaluation.probes.gradient_agreement import spaced
from inputopt.nets.frozen import Frozen
from inputopt.search.problem import Problem
from inputopt.search.rows import take

EXAMPLES, MORE = 64, 512
"""Number of inputs run for each way to change them, and for the best of these ways."""

BEST = 3
"""Number of ways that are measured on more inputs."""

TIED = 0.02
"""Accuracies that differ by less are taken as equal, and the more usual mistake is named."""

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of the channels that ImageNet networks are usually trained with."""

MNIST = ((0.1307,), (0.3081,))
"""The same for MNIST."""

HALF = ((0.5,), (0.5,))
"""Normalisation from [0, 1] to [-1, 1]."""

LEAST = 16
"""Fewest inputs from which a gain of accuracy is concluded."""

LARGEST_UNIT, UNIT_ONLY = 16.0, ("multiplied by 255",)
"""Inputs with larger elements are no images in [0, 1] or normalised ones, so these changes make no sense."""

Change = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class RescaledInputs:
    """The change of the inputs with which the model is most accurate.

    Attributes:
        change: what is done to the inputs, in words.
        accuracy: with the change.
        plain: accuracy on the same inputs without a change.
        count: number of these inputs.
        chance: probability of such a gain if the change made no difference: a sign test on the inputs that are
            classified correctly either with or without it, times the number of changes tried.
    """

    change: str
    accuracy: float
    plain: float
    count: int
    chance: float


def changes(shape: tuple[int, ...]) -> dict[str, Change]:
    """Ways to change inputs of `shape` (without the batch), by their description: mistakes, the most usual first."""
    found: dict[str, Change] = {}
    channels = shape[0] if len(shape) == 3 else 1
    usual = {"ImageNet": IMAGENET, "MNIST": MNIST} if channels == 3 else {"MNIST": MNIST}
    for name, (mean, std) in {**usual, "[-1, 1]": HALF}.items():
        found[f"normalised ({name})"] = partial(_normalised, mean, std)
        found[f"normalised backwards ({name})"] = partial(_denormalised, mean, std)
    found["multiplied by 255"] = lambda x: 255 * x
    found["divided by 255"] = lambda x: x / 255
    found["inverted (1 - x)"] = lambda x: 1 - x
    if len(shape) == 3:
        found["transposed (height and width exchanged)"] = lambda x: x.transpose(2, 3)
        found["mirrored"] = lambda x: x.flip(3)
        found["turned upside down"] = lambda x: x.flip(2)
        if channels == 3:
            found["in reverse channel order"] = lambda x: x.flip(1)
    return found


def _normalised(mean: tuple[float, ...], std: tuple[float, ...], x: Tensor) -> Tensor:
    return (x - _values(mean, x)) / _values(std, x)


def _denormalised(mean: tuple[float, ...], std: tuple[float, ...], x: Tensor) -> Tensor:
    return x * _values(std, x) + _values(mean, x)


def _values(each: tuple[float, ...], x: Tensor) -> Tensor:
    """One value per channel, to broadcast with [B, C, H, W], or one for all."""
    made = torch.tensor(each, dtype=x.dtype, device=x.device)
    return made.reshape(-1, 1, 1) if len(each) > 1 else made


@torch.no_grad()
def rescaled_inputs(net: Frozen, problem: Problem) -> RescaledInputs | None:
    """The change with the highest accuracy on at most `MORE` inputs, among the best `BEST` on `EXAMPLES` of them.

    None for few inputs, or if the model takes none of the changed ones.
    """
    if len(problem.x0) < LEAST:
        return None
    some = take(problem, spaced(len(problem.x0), EXAMPLES, problem.x0.device))
    wide = float(some.x0.max()) > LARGEST_UNIT
    accuracies: dict[str, float] = {}
    known = changes(tuple(some.x0.shape[1:]))
    for name, change in known.items():
        if wide and name in UNIT_ONLY:
            continue
        with suppress(ValueError):  # the model refuses such inputs, for example transposed ones
            accuracies[name] = float(_correct(net, change(some.x0), some.label).double().mean())
    if not accuracies:
        return None
    every = take(problem, spaced(len(problem.x0), MORE, problem.x0.device))
    before = _correct(net, every.x0, every.label)
    tried = sorted(accuracies, key=accuracies.__getitem__, reverse=True)[:BEST]
    correct = {name: _correct(net, known[name](every.x0), every.label) for name in known if name in tried}
    highest = max(float(each.double().mean()) for each in correct.values())
    best = next(name for name, each in correct.items() if float(each.double().mean()) >= highest - TIED)
    after = correct[best]
    chance = min(1.0, len(accuracies) * sign_test(int((after & ~before).sum()), int((before & ~after).sum())))
    accuracy, plain = (float(each.double().mean()) for each in (after, before))
    return RescaledInputs(best, accuracy, plain, len(every.x0), chance)


def sign_test(more: int, fewer: int) -> float:
    """Probability that at least `more` of `more + fewer` fair coins show heads.

    >>> sign_test(9, 1)
    0.0107421875
    """
    coins = more + fewer
    return sum(math.comb(coins, heads) for heads in range(more, coins + 1)) / 2**coins


def _correct(net: Frozen, x: Tensor, label: Tensor) -> Tensor:
    """Which inputs [B, ...] are classified correctly, bool [B]."""
    parts = zip(torch.split(x.contiguous(), EXAMPLES), torch.split(label, EXAMPLES), strict=True)
    return torch.cat([net(part).argmax(1) == labels for part, labels in parts])
