"""Surrogates of the random and stateful defences; gradients are averaged over their draws (Athalye et al., 2018).

Each function takes the defended network and returns surrogates, the most useful first.
"""

from __future__ import annotations

import itertools
import random
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from defences import randomised, stateful
from defences.fitting import digits
from defences.hand_attack import Surrogate
from defences.surrogates import straight_through


def diffusion(net: Any) -> list[Surrogate]:
    """The steps with their derivative: all are linear, so that together they are one matrix."""
    flat = net.mean + torch.eye(len(net.mean))
    for level, lower in zip(net.levels, net.levels[1:], strict=False):
        guess = net.denoise(flat, level)
        flat = guess + lower / level * (flat - guess)
    matrix = flat - net.mean

    def run(x: Tensor) -> Tensor:
        noisy = x.flatten(1) + net.levels[0] * torch.randn(len(x), len(net.mean))
        return net.net((net.mean + (noisy - net.mean) @ matrix).reshape(x.shape).clamp(0, 1))

    return [run]


def each_member(net: randomised.RandomMember) -> list[Surrogate]:
    """The members in turn, so that draws in multiples of their number give the exact mean."""
    members = itertools.cycle(net.members)
    return [lambda x: next(members)(x)]


def each_offset(net: stateful.InputCounter) -> list[Surrogate]:
    """The shifts that the counter chooses from, in turn."""
    offsets = itertools.cycle(net.offsets)
    return [lambda x: net.net(torch.roll(x, next(offsets), (2, 3)))]


def any_running_mean(net: stateful.MovingMean) -> list[Surrogate]:
    """A running mean that has moved some way towards the mean of some digits, drawn each time."""

    def run(x: Tensor) -> Tensor:
        some = digits().x[torch.randint(0, 4000, (16,))].mean(0)
        return net.net(x - torch.lerp(net.reference, some, random.random()) + net.reference)

    return [run]


def deflection(net: randomised.DeflectedNetwork) -> list[Surrogate]:
    """Deflection moves pixels; the gradient goes back to the pixel that a value came from."""

    def run(x: Tensor) -> Tensor:
        image = x.flatten(1).gather(1, net.deflect.sources(len(x))).reshape(x.shape)
        return net.backbone(0.75 * image + 0.25 * functional.avg_pool2d(image, 3, 1, 1))

    return [run]


def barrage(net: randomised.Barrage) -> list[Surrogate]:
    """The same transforms, of which rounding has the identity's backward."""

    def quantise(x: Tensor) -> Tensor:
        levels = random.randint(5, 10)
        return straight_through(torch.round(x * levels) / levels, x)

    def run(x: Tensor) -> Tensor:
        for transform in random.sample([net.shift, quantise, net.contrast, net.noise], 3):
            x = transform(x)
        return net.net(x)

    return [run]
