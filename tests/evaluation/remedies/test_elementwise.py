"""Searching behind preprocessing of each element: the table, the inputs it decodes to, and when there is none."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import inputopt
from inputopt.evaluation.remedies.elementwise import POSITIONS, elementwise
from inputopt.search.problem import Problem, Region

SHAPE = (4, 3, 5, 5)
EPS = 0.1


class Behind(nn.Module):
    """A linear classifier behind a function of the input."""

    def __init__(self, before):
        super().__init__()
        self.before, self.last = before, nn.Linear(75, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.before(x).flatten(1))


def sine(x: Tensor) -> Tensor:
    return x + 0.02 * torch.sin(2000 * x)


def steps(x: Tensor) -> Tensor:
    return torch.round(7 * x) / 7


def by_channel(x: Tensor) -> Tensor:
    return (x**2 - torch.tensor([0.2, 0.4, 0.6]).reshape(3, 1, 1).to(x)) / 0.5


def found(before, x: Tensor):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return elementwise(inputopt.Frozen(Behind(before).to(x.dtype)), x)


def problem(x: Tensor) -> Problem:
    region = Region(torch.full((len(x),), EPS), (x - EPS).clamp(0, 1), (x + EPS).clamp(0, 1))
    return Problem(x, torch.zeros(len(x), dtype=torch.long), torch.arange(len(x)), region=region)


@pytest.fixture
def x() -> Tensor:
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("before", [sine, steps, by_channel, lambda x: 1 - x**3])
def test_decoded_inputs_are_in_the_ball_and_have_nearly_the_nearest_values(before, x):
    canvas, part = found(before, x), problem(x)
    share = torch.rand(SHAPE, generator=torch.Generator().manual_seed(2))
    low, high = part.region.low, part.region.high
    decoded = canvas(low + share * (high - low), part)
    assert bool(((decoded >= low) & (decoded <= high)).all())
    dense = torch.linspace(0, 1, 4001, dtype=torch.float64).reshape(-1, 1, 1, 1, 1)
    values = before((low + dense * (high - low)).float()).double()
    lowest, highest = values.amin(0), values.amax(0)
    wanted = lowest + share * (highest - lowest)
    best = (values - wanted).abs().amin(0)  # by exhaustive search
    excess = (before(decoded).double() - wanted).abs() - best
    assert float(excess.max()) < 0.06 * float((highest - lowest).max())
    assert float(excess.mean()) < 0.01 * float((highest - lowest).max())


def test_the_ends_of_the_interval_are_the_extremes_of_the_values(x):
    canvas, part = found(sine, x), problem(x)
    low, high = part.region.low, part.region.high
    dense = sine(low + torch.linspace(0, 1, 4001).reshape(-1, 1, 1, 1, 1) * (high - low))
    assert float((sine(canvas(low, part)) - dense.amin(0)).abs().max()) < 2e-3
    assert float((sine(canvas(high, part)) - dense.amax(0)).abs().max()) < 2e-3


def test_its_gradient_is_straight_through(x):
    z = x.clone().requires_grad_()
    (grad,) = torch.autograd.grad((found(sine, x)(z, problem(x)) * torch.arange(5.0)).sum(), z)
    assert torch.equal(grad, torch.arange(5.0).expand(SHAPE))


@pytest.mark.parametrize(
    "before",
    [
        lambda x: 2 * x - 1,  # affine: nothing to gain
        lambda x: torch.nn.functional.avg_pool2d(sine(x), 3, 1, 1),  # neighbours
        lambda x: sine(x) + torch.linspace(0, 1, 5).to(x),  # differs by position
        lambda x: torch.nn.functional.interpolate(sine(x), size=(6, 6))[..., :5, :5],
    ],
)
def test_there_is_none_for_other_preprocessing(before, x):
    assert found(before, x) is None


def test_there_is_none_for_infinite_bounds(x):
    assert elementwise(inputopt.Frozen(Behind(sine), bounds=(-torch.inf, torch.inf)), x) is None


def test_a_fixed_element_stays_where_no_position_lies_between_its_bounds(x):
    part = problem(x)
    tight = Region(part.region.eps, x - 0.1 / POSITIONS, x + 0.1 / POSITIONS)
    decoded = found(sine, x)(x, Problem(x, part.label, part.ids, region=tight))
    assert float((decoded - x).abs().max()) <= 0.1 / POSITIONS + 1e-7
