"""Bounds, mean and deviation: numbers, or one for each channel or feature."""

import math

import numpy as np
import pytest
import torch
from odd_networks import Net, X, seeded
from torch import nn

import inputopt


def boxed(bounds, like=X):
    return inputopt.Frozen(nn.Identity(), bounds=bounds).box(like)


@pytest.mark.parametrize("channels", [[0.0, -1.0, 0.5], np.array([0, -1, 0.5]), torch.tensor([0.0, -1.0, 0.5])])
@pytest.mark.parametrize("high", [2, 2.0, np.float32(2), torch.tensor(2.0), [2, 2, 2]])
def test_bounds_are_one_for_each_channel(channels, high):
    net = inputopt.Frozen(nn.Identity(), bounds=(channels, high))
    low, top = net.box(X)
    assert torch.equal(low.expand_as(X), torch.tensor([0.0, -1.0, 0.5])[None, :, None, None].expand_as(X))
    assert bool((top.expand_as(X) == 2).all())
    assert net.unit == 3.0
    flat, _ = net.box(torch.zeros(4, 3))
    assert flat.tolist() == [0.0, -1.0, 0.5], "features are channels without places"


def test_bounds_are_what_broadcasts_to_one_input():
    whole = torch.rand(3, 8, 8)
    for low in (whole, whole[:, :1, :1], whole[:1]):
        found, _ = boxed((low, 5.0))
        assert torch.equal(found.expand_as(X), low.expand(3, 8, 8).expand_as(X))
    for wrong in (torch.zeros(2), torch.zeros(3, 8), torch.zeros(2, 3, 8, 8), torch.zeros(4, 1, 1)):
        with pytest.raises(ValueError, match=r"bounds of shape .* cannot be broadcast to inputs of shape \[3, 8, 8\]"):
            boxed((wrong, 5.0))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_box_is_in_the_dtype_of_the_inputs(dtype):
    low, high = boxed((0.1, [1.0, 2.0, 3.0]), X.to(dtype))
    assert {low.dtype, high.dtype} == {dtype}
    assert float(low) == float(torch.tensor(0.1, dtype=torch.float64).to(dtype))
    assert inputopt.Frozen(nn.Identity(), bounds=(0.1, [1.0, 2.0])).bounds[0] == 0.1


@pytest.mark.parametrize(
    ("bounds", "unit"),
    [
        ((0, 255), 255.0),
        ((-math.inf, math.inf), 1.0),
        ((0, math.inf), 1.0),
        (([0.0, -math.inf, 0.0], [2.0, 0.0, 7.0]), 7.0),
        ((torch.zeros(3), torch.tensor([1, 2, 4])), 4.0),
    ],
)
def test_a_unit_is_the_largest_finite_width(bounds, unit):
    net = inputopt.Frozen(nn.Identity(), bounds=bounds)
    assert net.unit == unit
    low, high = net.box(X)
    assert bool((low < high).all())


def test_the_bounds_given_are_not_the_callers_memory():
    low = torch.zeros(3)
    net = inputopt.Frozen(nn.Identity(), bounds=(low, 1.0))
    low.fill_(9.0)
    assert net.bounds[0].tolist() == [0, 0, 0]
    assert net.described()["bounds"] == [[0, 0, 0], 1.0]


@pytest.mark.parametrize(
    "bounds",
    [
        (1, 0),
        (0.5, 0.5),
        (math.nan, 1),
        ([0, 1, 0], 1.0),
        ([0, math.nan], 1.0),
        (math.inf, math.inf),
        (0, 1, 2),
        None,
        3,
        ("low", "high"),
        (torch.zeros(2), torch.ones(3)),
        (torch.zeros(2, dtype=torch.bool), 1.0),
        (1j, 2j),
    ],
)
def test_bounds_that_make_no_sense(bounds):
    with pytest.raises(ValueError, match=r"bounds must be \(low, high\)"):
        inputopt.Frozen(nn.Identity(), bounds=bounds)


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor, lambda values: torch.tensor(values)[:, None, None]])
def test_mean_and_deviation_take_the_same_forms(kind):
    net = seeded(Net)
    frozen = inputopt.Frozen(net, mean=kind([0.1, 0.2, 0.3]), std=np.float64(0.5))
    expected = net((X - torch.tensor([0.1, 0.2, 0.3])[:, None, None]) / 0.5)
    torch.testing.assert_close(frozen(X), expected, rtol=1e-5, atol=1e-5)


def test_mean_and_deviation_of_another_default_dtype():
    net = seeded(Net)
    before = inputopt.Frozen(net, mean=[0.1, 0.2, 0.3], std=0.3, bounds=([0.1, 0.2, 0.3], 1.0))
    torch.set_default_dtype(torch.float64)
    try:
        after = inputopt.Frozen(net, mean=[0.1, 0.2, 0.3], std=0.3, bounds=([0.1, 0.2, 0.3], 1.0))
        assert torch.equal(after(X), before(X))
        assert after.described() == before.described()
        assert after.dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)
