import pytest
import torch
from contracts import assert_same, chance_state
from torch import nn

import inputopt


class Eye(nn.Module):
    """Class 1 where a part of the image is brighter than 0.5."""

    def __init__(self, part):
        super().__init__()
        self.part = part

    def forward(self, x):
        ahead = x[(..., *self.part)].mean((1, 2, 3)) - 0.5
        return torch.stack([-10 * ahead, 10 * ahead], dim=1)


SKY, THING = (slice(0, 4), slice(None)), (slice(8, 9), slice(5, 6))


def pictures(count=40):
    """Skies that are bright in class 1; a bright dot on the ground in class 1, and a dark one in class 0."""
    chance = torch.Generator().manual_seed(0)
    y = torch.arange(count) % 2
    x = 0.45 + 0.1 * torch.rand(count, 1, 12, 12, generator=chance)
    x[:, :, :4] += 0.2 * (2 * y - 1)[:, None, None, None]
    x[:, :, 8, 5] = 0.5 + 0.3 * (2 * y - 1)[:, None]
    return x, y


def test_a_network_that_looks_at_the_sky_is_found_out():
    x, y = pictures()
    found = inputopt.spurious(Eye(SKY), x, y)
    assert found.suspicious() == [0, 1]
    for row in found.findings:
        assert (row.region, row.decisive_region) == ((0, 0), (0, 0))
        assert row.share > 0.99
        assert row.uniform > 0.99  # all one way
        assert row.swap_rate == 1.0
        assert row.inputs == row.flipped == 20
    assert_same(found.energy.sum((1, 2)), torch.ones(2), 1e-5)
    assert_same(found.swaps[:, 1:], torch.zeros(2, 2, 1))
    assert found.table().count("<- suspicious") == 2


def test_a_network_that_looks_at_the_thing_is_not():
    x, y = pictures()
    found = inputopt.spurious(Eye(THING), x, y)
    assert found.suspicious() == []
    for row in found.findings:
        assert row.region == (2, 0)
        assert row.share > 0.99
        assert row.uniform < 0.1  # one pixel of many
    assert "suspicious" not in found.table()


def test_the_same_twice_and_nothing_else_is_touched():
    x, y = pictures()
    before, kept = chance_state(), x.clone()
    first, again = (inputopt.spurious(Eye(SKY), x, y, grid=(2, 3), seed=4) for _ in range(2))
    assert chance_state() == before
    assert_same(first, again)
    assert_same(x, kept)
    assert first.energy.shape == (2, 2, 3)


def test_classes_that_are_not_recognised_are_left_out():
    x, y = pictures()
    found = inputopt.spurious(Eye(SKY), x, torch.where(y == 1, 0, y))  # the bright ones are not recognised
    assert [row.label for row in found.findings] == [0]
    assert_same(found.swaps, torch.zeros(1, 3, 1))  # there is no other class to take colours from


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"x": torch.rand(40, 12)}, "images"),
        ({"grid": (13, 1)}, "finer"),
        ({"grid": (0, 1)}, "grid"),
        ({"steps": 0}, "steps"),
        ({"y": 1 - pictures()[1]}, "none of these"),
    ],
)
def test_spurious_refuses(changed, words):
    x, y = pictures()
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)) if "x" in changed else Eye(SKY)
    with pytest.raises(ValueError, match=words):
        inputopt.spurious(**{"model": model, "x": x, "y": y} | changed)
