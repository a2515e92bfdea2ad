"""Faults e: numbers in pixels that are absolute, so that a search depends on the unit of its inputs.

The same network of inputs in [0, 1], in [0, 256] and in [-1, 1]: searches give the same images, scaled. 256 is a power
of two, so that in floating-point arithmetic nothing but the exponent differs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from attack_table import FEW, RADIUS, each, short_attacks
from kinds.network import images, small
from torch import Tensor, nn

import inputopt


def model() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return small().double().eval()


NET = model()
X = images(24)[::4]
with torch.no_grad():
    Y = NET(X).argmax(1)
UNIT = 256.0


class Shown(nn.Module):
    """The same network of inputs (z - low) / width, whose layers are found under the same names."""

    def __init__(self, low: float, width: float) -> None:
        super().__init__()
        self.net, self.low, self.width = model(), low, width

    def forward(self, z: Tensor) -> Tensor:
        return self.net((z - self.low) / self.width)


def shown(low: float, width: float) -> inputopt.Frozen:
    return inputopt.Frozen(Shown(low, width), bounds=(low, low + width))


RANGES = {"bytes": (0.0, UNIT), "signed": (-1.0, 2.0), "tiny": (0.0, 2.0**-10)}


@pytest.mark.parametrize(("unit", "only"), [("bytes", None), ("signed", FEW), ("tiny", FEW)])
def test_every_attack_finds_the_same_images_in_every_unit(unit, only):
    low, width = RANGES[unit]
    wide, scaled = shown(low, width), short_attacks(width)

    def check(name: str, attack: Any) -> None:
        one, many = attack(shown(0.0, 1.0), X, Y), scaled[name](wide, low + width * X, Y)
        assert torch.equal(one.success, many.success), (
            f"{int(one.success.sum())} and {int(many.success.sum())} successes"
        )
        torch.testing.assert_close((many.x - low) / width, one.x, rtol=0, atol=1e-7)
        size = one.distance if attack.norm == "l0" else one.distance * width
        torch.testing.assert_close(many.distance, size, rtol=1e-6, atol=1e-9 * width)

    each(check, only=only)


@pytest.mark.parametrize("norm", RADIUS)
def test_presets_give_the_same_report_in_every_unit(norm):
    eps = torch.linspace(0.1, 1, len(X)).double() * RADIUS[norm] * (3 if norm == "l0" else 1)
    one = inputopt.evaluate(shown(0.0, 1.0), X, Y, norm, eps, preset="quick")
    for low, width in RANGES.values():
        radius = eps if norm == "l0" else eps * width
        many = inputopt.evaluate(shown(low, width), low + width * X, Y, norm, radius, preset="quick")
        assert many.robust.tolist() == one.robust.tolist()
        torch.testing.assert_close((many.x - low) / width, one.x, rtol=0, atol=1e-7)
        assert many.warnings == one.warnings


def test_bounds_of_each_channel_are_the_units_of_each_channel():
    """What is searched in units of its own, channel by channel, is what is searched in [0, 1] in the sign of a step."""
    low, width = (
        torch.tensor([0.0, -4.0, 2.0])[:, None, None].double(),
        torch.tensor([2.0, 2.0, 2.0])[:, None, None].double(),
    )
    wide = inputopt.Frozen(lambda z: NET((z - low) / width), bounds=(low, low + width))
    one = inputopt.attacks.PGD("linf", 0.1, steps=5)(shown(0.0, 1.0), X, Y)
    many = inputopt.attacks.PGD("linf", 0.2, steps=5)(wide, low + width * X, Y)
    assert torch.equal(one.success, many.success)
    torch.testing.assert_close((many.x - low) / width, one.x, rtol=0, atol=1e-7)


PICTURES: dict[str, Callable[[inputopt.Frozen, Callable[[Tensor], Tensor]], Any]] = {
    "dream": lambda net, to: inputopt.dream(net, to(X[0]), ["net.1"], octaves=1, steps=3, jitter=2).x,
    "guided": lambda net, to: inputopt.dream(net, to(X[0]), ["net.1"], octaves=1, steps=2, guide=to(X[1])).x,
    "channel": lambda net, to: inputopt.visualize(net, inputopt.Channel("net.1", 1), size=8, steps=3).x,
    "variation": lambda net, to: (
        inputopt.visualize(net, inputopt.Channel("net.1", 1) - 0.5 * inputopt.total_variation(), size=8, steps=3).x
    ),
    **{
        canvas: lambda net, to, canvas=canvas: (
            inputopt.visualize(net, inputopt.Class(1), size=8, steps=3, canvas=canvas).x
        )
        for canvas in ("fourier", "phase", "cppn", "pixels")
    },
    "invert": lambda net, to: inputopt.invert(net, to(X[0]), ["net.1"], steps=3).x,
    "accentuate": lambda net, to: inputopt.accentuate(net, to(X[0]), ["net.1"], steps=3).x,
    "fool": lambda net, to: inputopt.fool(net, 1, (3, 8, 8), count=2, steps=5).x,
    "ascend": lambda net, to: inputopt.ascend(net, to(X[:3]), Y[:3], steps=5).x,
}


@pytest.mark.parametrize("picture", PICTURES)
def test_pictures_are_the_same_images_in_every_unit(picture):
    one = PICTURES[picture](shown(0.0, 1.0), lambda x: x)
    for low, width in RANGES.values():
        many = PICTURES[picture](shown(low, width), lambda x, low=low, width=width: low + width * x)
        torch.testing.assert_close((many.double() - low) / width, one.double(), rtol=0, atol=1e-7)


@pytest.mark.parametrize("method", ["gradient", "gradient_x_input", "integrated", "smoothgrad", "occlusion"])
def test_what_an_answer_rests_on_scales_with_the_unit(method):
    """Derivatives by the input shrink as its unit grows; what is multiplied by the input does not change."""
    one = inputopt.saliency(shown(0.0, 1.0), X[:3], Y[:3], method)
    many = inputopt.saliency(shown(0.0, UNIT), UNIT * X[:3], Y[:3], method)
    power = UNIT if method in ("gradient", "smoothgrad") else 1.0
    torch.testing.assert_close(many * power, one, rtol=1e-9, atol=1e-9)
