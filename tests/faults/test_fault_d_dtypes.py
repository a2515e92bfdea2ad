"""Faults d5 and d9: networks and inputs of different dtypes, and networks of 8 bits.

Searches run in float64 if the network or the inputs are float64, else in float32, and never in half precision.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import oracles
import pytest
import torch
from attack_table import FEW, each, short_attacks
from error_sentences import refused
from kinds.network import perceptron
from networks import find
from reference import case_of
from torch import Tensor, nn

import inputopt

X = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(4))
WEIGHTS = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


def of_dtype(dtype: torch.dtype) -> nn.Module:
    """A perceptron whose weights are those of `dtype`, so that all of them agree where `dtype` is half."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return perceptron().bfloat16().to(dtype)


@functools.cache
def in_float64(name: str) -> inputopt.Result:
    """What an attack finds on these inputs in float64."""
    x, model = X.bfloat16().double(), of_dtype(torch.float64)
    return short_attacks()[name](model, x, model(x).argmax(1))


@pytest.mark.parametrize("given", WEIGHTS)
@pytest.mark.parametrize("weights", WEIGHTS)
def test_every_attack_searches_in_float32_or_float64_whatever_it_is_given(weights, given):
    """The same weights and inputs in another dtype: the same verdicts, and distances within a thousandth."""
    x, plain = X.bfloat16(), of_dtype(torch.float64)
    y = plain(x.double()).argmax(1)
    search = torch.float64 if torch.float64 in (weights, given) else torch.float32

    def check(name: str, attack: Any) -> None:
        found, want = attack(of_dtype(weights), x.to(given), y), in_float64(name)
        assert found.x.dtype == found.logits.dtype == search, "dtypes"
        norm = attack.norm
        size = oracles.sizes(norm, found.x.double() - x.double())
        torch.testing.assert_close(found.distance.double(), size, rtol=1e-4, atol=1e-5)
        assert torch.equal(plain(found.x.double()).argmax(1) != y, found.success), "success"
        assert torch.equal(found.success, want.success), "as successful as in float64"
        both = found.success & want.success
        torch.testing.assert_close(found.distance[both].double(), want.distance[both], rtol=1e-2, atol=1e-3)
        assert float(found.x.min()) >= 0, "below the bounds"
        assert float(found.x.max()) <= 1, "above the bounds"

    each(check, only=FEW if weights is given or torch.float64 in (weights, given) else FEW[:3])


@pytest.mark.parametrize("weights", WEIGHTS[1:])
def test_half_networks_are_evaluated_as_strictly_as_others(weights):
    x, plain = X.bfloat16(), of_dtype(torch.float64)
    y = plain(x.double()).argmax(1)
    report = inputopt.evaluate(of_dtype(weights), x, y, eps=0.02, preset="quick")
    want = inputopt.evaluate(plain, x.double(), y, eps=0.02, preset="quick")
    assert report.robust.tolist() == want.robust.tolist()
    assert float((report.x.double() - x.double()).abs().max()) <= 0.02 * (1 + 1e-6)
    assert torch.equal(plain(report.x.double()).argmax(1) == y, report.robust)


PICTURES: dict[str, Callable[[nn.Module, Tensor], Any]] = {
    "dream": lambda net, photo: inputopt.dream(net, photo, ["1"], octaves=2, octave_scale=1.2, steps=2).x,
    "visualize": lambda net, photo: inputopt.visualize(net, inputopt.Channel("1", 2), size=8, steps=2).x,
    "invert": lambda net, photo: inputopt.invert(net, photo, ["1"], steps=2).x,
    "ascend": lambda net, photo: inputopt.ascend(net, photo[None], [1], steps=3).x,
    "saliency": lambda net, photo: inputopt.saliency(net, photo[None], [1], "integrated", samples=4),
}


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("picture", PICTURES)
def test_pictures_of_half_networks_are_those_of_their_float32_version(picture, weights):
    def net(dtype: torch.dtype) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4))
            return body.bfloat16().to(dtype)

    photo = X[0].bfloat16()
    want = PICTURES[picture](net(torch.float64), photo.double())
    for given in (photo, photo.half(), photo.float(), photo.double()):
        found = PICTURES[picture](net(weights), given)
        assert found.dtype in (torch.float32, torch.float64)
        torch.testing.assert_close(found.double(), want.double(), rtol=0, atol=2e-3)


# ---------------------------------------------------------------------------------------------------- d9: no derivative
def test_a_quantised_network_is_attacked_without_gradients_and_refused_by_what_needs_them():
    this = case_of(find("quantised"))
    model = this.network.made()
    for job in (
        lambda: inputopt.attacks.PGD()(model, this.x, this.y),
        lambda: inputopt.attacks.MinimalNorm("l2", queries=30)(model, this.x, this.y),
        lambda: inputopt.fool(model, 1, (3, 8, 8), count=1, steps=2),
    ):
        refused(job, r"gradient with respect to its input.*Square")
    found = inputopt.attacks.Square("linf", 0.3, steps=30)(model, this.x, this.y)
    with torch.no_grad():
        alone = torch.cat([model(row[None]) for row in found.x])  # its scales depend on the other rows of a batch
        assert torch.equal(alone.argmax(1) != this.y, found.success)
