"""Tiles: they cover an image once, and say what the whole image would, away from their cuts."""

import pytest
import torch
from contracts import assert_same, drawn
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import inputopt
from inputopt.search.goals import never
from inputopt.search.objectives.guide import guided
from inputopt.search.objectives.layer_energy import layer_energy
from inputopt.search.oracles import Autograd, finished
from inputopt.search.oracles.tiled import Tiled, parts
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.projections import Box
from inputopt.search.steps.directions import over_mean, smooth
from inputopt.search.steps.step import GradientStep, Stride

ALL = torch.ones(2, dtype=torch.bool)


def net():
    """Sees 3 pixels far, so that a derivative depends on pixels up to 6 away."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 4, 5, padding=2), nn.Tanh()]
    return inputopt.Frozen(nn.Sequential(*layers).double())


def task(height=50, width=41):
    x = drawn(2, 2, height, width).sigmoid()
    ids = torch.tensor([3, 8])
    return x, Problem(x, torch.zeros(2, dtype=torch.int64), ids)


@given(st.integers(1, 70), st.integers(2, 30), st.floats(0, 1, exclude_max=True))
def test_parts_cover_a_length_once(length, tile, first):
    made = parts(length, tile, first)
    assert [place for part in made for place in range(length)[part.kept]] == list(range(length))
    for part in made:
        assert len(range(length)[part.shown]) == min(tile, length)
        assert part.inner.start >= 0
        assert range(length)[part.shown][part.inner] == range(length)[part.kept]


@pytest.mark.parametrize("guide", [False, True])
@pytest.mark.parametrize("index", [0, 5])
def test_tiles_say_what_the_whole_says_away_from_their_borders(guide, index):
    x, problem = task()
    model = net()
    objective = guided(model.features(x[:1, :, :9, :9], ["3"]), axis=1) if guide else -layer_energy(["3"])
    whole = Autograd(model, objective, never)
    tiled = Tiled(whole, 24, seed=1)
    _, vjp = whole(x, problem, index)
    _, vjp_tiled = tiled(x, problem, index)
    exact, found = vjp(ALL), vjp_tiled(None)
    inside = 0
    for row in range(2):
        for down, right in tiled.tiles_of(50, 41, problem.ids[row : row + 1], index):
            rows, columns = ([*range(side)][part.kept] for side, part in ((50, down), (41, right)))
            rows = [place for place in rows if far(place, down.shown, 50)]
            columns = [place for place in columns if far(place, right.shown, 41)]
            for place in rows:
                assert_same(found[row, :, place, columns], exact[row, :, place, columns], 1e-12)
            inside += len(rows) * len(columns)
    assert inside > 500
    assert not torch.allclose(found, exact), "at the cuts they differ"


def far(place, shown, length, reach=6):
    """Whether all that a derivative depends on is shown, or the image ends there anyway."""
    return (shown.start == 0 or place - shown.start >= reach) and (shown.stop == length or shown.stop - place > reach)


def test_the_cuts_move_with_the_step_and_belong_to_an_example():
    tiled = Tiled(Autograd(net(), -layer_energy(["3"]), never), 24, seed=1)
    cuts = {
        (seed, index): list(tiled.tiles_of(50, 41, torch.tensor([seed]), index)) for seed in (0, 1) for index in (0, 1)
    }
    assert len({str(each) for each in cuts.values()}) == 4
    x, problem = task()
    seen, vjp = tiled(x, problem, 2)
    alone = Problem(x[1:], problem.label[1:], problem.ids[1:])
    seen_alone, vjp_alone = tiled(x[1:], alone, 2)
    assert_same(vjp(ALL)[1:], vjp_alone(ALL[:1]), 1e-14)
    assert_same(seen.loss[1:], seen_alone.loss, 1e-14)
    assert_same(vjp(torch.tensor([1])), vjp_alone(ALL[:1]), 1e-14)


def test_an_image_no_larger_than_a_tile_is_not_cut():
    x, problem = task(20, 24)
    whole = Autograd(net(), -layer_energy(["3"]), never)
    (seen, vjp), (seen_tiled, vjp_tiled) = whole(x, problem, 0), Tiled(whole, 24, 0)(x, problem, 0)
    assert_same((seen.loss, vjp(ALL)), (seen_tiled.loss, vjp_tiled(ALL)), 1e-14)


def test_a_finished_derivative_is_the_old_one_changed():
    x, problem = task(20, 24)
    whole = Autograd(net(), -layer_energy(["3"]), never)
    _, vjp = whole(x, problem, 0)
    _, smoothed = finished(whole, smooth(1.0).function)(x, problem, 0)
    assert_same(smoothed(ALL), smooth(1.0).function(vjp(ALL)))


def test_smoothing_is_a_gaussian():
    dot = torch.zeros(1, 2, 21, 21, dtype=torch.float64)
    dot[0, 1, 10, 10] = 1
    found = smooth(1.5).function(dot)
    places = torch.arange(-10, 11, dtype=torch.float64)
    bell = torch.exp(-(places**2) / (2 * 1.5**2)) * (places.abs() <= 5)
    bell /= bell.sum()
    assert_same(found[0, 1], bell[:, None] * bell, 1e-15)
    assert not bool(found[0, 0].any())
    even = torch.ones(1, 1, 4, 7, dtype=torch.float64)
    assert_same(smooth(2.0).function(even), even, 1e-14)


def test_a_stride_is_a_descent_in_a_box():
    x, problem = task(5, 4)
    grad = drawn(*x.shape, seed=3)
    nothing = torch.zeros(2, 0)
    seen = Evaluation(x, nothing, x.new_zeros(2), ALL, grad)
    box, size = Box(0.3, 0.8), 0.2
    steps = GradientStep(over_mean, size), Stride(size, 0.3, 0.8)
    ones = [step.update(x, seen, step.init(x, problem), problem, box)[0] for step in steps]
    assert_same(*ones, 1e-15)
    where = (torch.arange(4) % 2).double()
    half = Stride(size, 0.0, 1.0, where).update(x, seen, (), problem, Box(0, 1))[0]
    assert_same(half[..., ::2], x[..., ::2])
    assert_same(half[..., 1::2], Stride(size, 0.0, 1.0).update(x, seen, (), problem, Box(0, 1))[0][..., 1::2])
