"""Faults h: inputs that lie exactly on bounds which float32 cannot hold, so that an attack's own result is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from attack_table import FEW, each, short_attacks
from kinds.network import images, perceptron
from torch import Tensor, nn

import inputopt

A = inputopt.attacks
IMAGE = (3, 4, 4)
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]).double(), torch.tensor([0.229, 0.224, 0.225]).double()
BOUNDS: dict[str, Any] = {
    "digits": ((0 - 0.1307) / 0.3081, (1 - 0.1307) / 0.3081),
    "thirds": (-1 / 3, 0.1 + 0.2),
    "far from zero": (1000.1, 1000.7),
    "large": (-1e7 / 3, 1e7 / 7),
    "each channel": (((0 - MEAN) / STD)[:, None, None], ((1 - MEAN) / STD)[:, None, None]),
}


def built() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return perceptron(48)


class Standardised(nn.Module):
    """A network of [0, 1] that is shown inputs between other bounds."""

    def __init__(self, low: Tensor, high: Tensor) -> None:
        super().__init__()
        self.net = built()
        self.register_buffer("low", low)
        self.register_buffer("high", high)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(((x - self.low) / (self.high - self.low)).to(self.net[1].weight.dtype))


def problem(bounds: Any, dtype: torch.dtype = torch.float32) -> tuple[inputopt.Frozen, Tensor, Tensor]:
    """A network between the bounds, and inputs that lie on them in many places, computed as people do: in `dtype`."""
    low, high = (torch.as_tensor(bound, dtype=torch.float64) for bound in bounds)
    picture = images(4, IMAGE).to(dtype)
    picture[:, :, 0], picture[:, :, 1] = 0, 1
    x = picture * (high - low).to(dtype) + low.to(dtype)
    net = Standardised(low, high)
    with torch.no_grad():
        return inputopt.Frozen(net, bounds=bounds), x, net(x).argmax(1)


every_bounds = pytest.mark.parametrize("bounds", BOUNDS.values(), ids=BOUNDS)


@every_bounds
def test_an_attacks_own_result_is_accepted_by_every_next_call(bounds):
    net, x, y = problem(bounds)
    width = float((torch.as_tensor(bounds[1]) - torch.as_tensor(bounds[0])).max())
    first = A.FGSM(eps=0.5 * width)(net, x, y).x  # many numbers end on the bounds

    def check(name: str, attack: Any) -> None:
        found = attack(net, first, y)
        again = attack(net, found.x, y)
        assert again.x.shape == x.shape
        assert bool(again.x.isfinite().all())

    scaled = short_attacks(width)
    each(lambda name, _: check(name, scaled[name]), only=FEW)
    report = inputopt.evaluate(net, first, y, eps=0.01 * width, preset="quick")
    inputopt.evaluate(net, report.x, y, eps=0.0, preset="quick")
    inputopt.saliency(net, first, y, "gradient")
    inputopt.ascend(net, first, y, steps=1)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, dtype) for name in BOUNDS for dtype in (torch.float32, torch.float64)]
    + [(name, dtype) for name in ("digits", "thirds", "each channel") for dtype in (torch.bfloat16, torch.float16)],
)
def test_inputs_computed_in_any_dtype_lie_within_their_bounds(name, dtype):
    """A number on a bound is within a unit in the last place of its dtype, and is taken as it is."""
    net, x, y = problem(BOUNDS[name], dtype)
    found = A.PGD(eps=0.0, steps=2)(net, x, y)
    assert torch.equal(found.x.to(dtype), x)
    assert bool((found.distance == 0).all())


@every_bounds
def test_what_comes_back_is_between_the_bounds_and_the_inputs(bounds):
    """A box holds the bounds and x: nothing comes back that is further outside than x itself was."""
    net, x, y = problem(bounds)
    low, high = (torch.as_tensor(bound, dtype=torch.float64) for bound in bounds)
    width = float((high - low).max())
    for attack in (A.PGD(eps=0.3 * width, steps=4), A.DDN(steps=6), A.FMN("l0", steps=6), A.APGD("l1", width, steps=6)):
        found = attack(net, x, y).x.double()
        unit = torch.finfo(torch.float32).eps * torch.maximum(low.abs(), high.abs())
        assert bool((found >= torch.minimum(low, x.double()) - unit).all())
        assert bool((found <= torch.maximum(high, x.double()) + unit).all())


def test_results_in_float64_are_accepted_in_float32_and_the_other_way_round():
    net, x, y = problem(BOUNDS["digits"], torch.float64)
    found = A.PGD(eps=0.5, steps=3)(net, x, y).x
    for given in (found, found.float(), found.float().double(), found.bfloat16(), found.half()):
        assert A.PGD(eps=0.1, steps=2)(net, given, y).x.shape == x.shape


def test_inputs_a_whole_step_of_eight_bits_outside_are_refused_still():
    net, x, y = problem(BOUNDS["digits"])
    x[2, 1, 3, 3] += (BOUNDS["digits"][1] - BOUNDS["digits"][0]) * (1 + 1 / 255)
    with pytest.raises(ValueError, match="bounds"):
        A.PGD(eps=0.1)(net, x, y)


def test_pictures_are_accepted_by_attacks_and_photos_on_the_bounds_by_pictures():
    low, high = BOUNDS["digits"]
    net = inputopt.Frozen(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 4)), bounds=(low, high))
    photo = images(1, (3, 8, 8)).float()[0]
    photo[:, 0], photo[:, 1] = 0, 1
    photo = (photo - 0.1307) / 0.3081
    picture = inputopt.dream(net, photo, ["0"], octaves=1, steps=2, step_size=0.5).x
    made = inputopt.visualize(net, inputopt.Channel("0", 0), size=8, steps=2).x
    for image in (picture, made):
        assert A.PGD(eps=0.1, steps=2)(net, image[None], [1]).x.shape == (1, 3, 8, 8)
        assert inputopt.dream(net, image, ["0"], octaves=1, steps=1).x.shape == (3, 8, 8)
