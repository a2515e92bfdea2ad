from dataclasses import replace

import numpy as np
import oracles
import pytest
import torch
from contracts import DTYPES, assert_same, drawn
from hypothesis import given, settings
from hypothesis import strategies as st

import inputopt
from inputopt.attacks.regions import ball_region, enlarged_region
from inputopt.search.canvases.quantised import Levels
from inputopt.search.norms import L0, LINF, NORMS
from inputopt.search.problem import Problem, Region
from inputopt.search.projections import Box, ball

modest = settings(max_examples=60, derandomize=True, deadline=None)
REFERENCES = [NORMS[name] for name in oracles.NORMS]
every_norm = pytest.mark.parametrize("norm", REFERENCES, ids=oracles.NORMS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
NET = inputopt.Frozen(lambda x: x.flatten(1)[:, :2])


def images(*shape, count=6, seed=0, dtype=torch.float32):
    """Numbers in [0, 1], of which a good part are exactly 0 or 1, as in the digits."""
    return (0.5 + drawn(count, *shape, seed=seed)).clamp(0, 1).to(dtype)


def bounded_problem(x, norm, eps, mask=None, net=NET):
    low, high = (bound.expand(x.shape) for bound in net.box(x))
    everywhere = Region(torch.full((len(x),), torch.inf, dtype=x.dtype), low, high, unit=net.unit)
    plain = Problem(x, torch.zeros(len(x), dtype=torch.int64), torch.arange(len(x)), region=everywhere)
    return replace(plain, region=ball_region(net, plain, norm, eps, mask))


# ------------------------------------------------------------------------------------------------------- box and bounds
@modest
@given(st.floats(-3, 3), st.floats(0, 4), st.integers(0, 99))
def test_a_box_holds_every_number_at_its_nearest(low, width, seed):
    z = 3 * drawn(2, 5, seed=seed)
    found = Box(low, low + width)(z, None)
    assert_same(found, torch.as_tensor(np.clip(z.numpy(), low, low + width)))


@every_dtype
@modest
@given(st.floats(1e-9, 0.9), st.integers(0, 999))
def test_tight_bounds_are_never_over_by_rounding_and_as_wide_as_floats_allow(dtype, eps, seed):
    x = images(200, count=3, seed=seed, dtype=dtype)
    radius = torch.full((3, 1), eps, dtype=dtype)
    low, high = LINF.box(x, radius[:, 0], torch.zeros_like(x), torch.ones_like(x))
    assert low.dtype == high.dtype == dtype
    assert float(low.min()) >= 0
    assert float(high.max()) <= 1
    assert bool((x - low <= radius).all())
    assert bool((high - x <= radius).all())
    rounding = 2 * torch.finfo(dtype).eps
    assert bool(((radius - (x - low) <= rounding) | (low == 0)).all())
    assert bool(((radius - (high - x) <= rounding) | (high == 1)).all())


@every_dtype
def test_a_radius_of_zero_leaves_the_input_itself(dtype):
    x = images(50, dtype=dtype)
    assert_same(LINF.box(x, torch.zeros(6, dtype=dtype), torch.zeros_like(x), torch.ones_like(x)), (x, x))


# ----------------------------------------------------------------------------------------------------------------- ball
@every_norm
@every_dtype
@modest
@given(eps=st.floats(0.001, 30), reach=st.sampled_from([0.01, 1.0, 100.0]), seed=st.integers(0, 999))
def test_what_comes_out_of_a_ball_is_never_over_not_even_by_rounding(norm, dtype, eps, reach, seed):
    x = images(3, 4, seed=seed, dtype=dtype)
    problem = bounded_problem(x, norm, eps)
    found = ball(norm)(x + reach * drawn(6, 3, 4, seed=seed + 1, dtype=dtype), problem)
    assert found.dtype == dtype
    # measured by others in float64, with the difference taken in the inputs' own dtype as a user would
    assert float(oracles.sizes(norm.name, found - x).max()) <= float(problem.region.eps[0])
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1


@every_norm
@every_dtype
def test_a_ball_moves_nothing_that_lies_well_inside(norm, dtype):
    x = images(3, 4, dtype=dtype)
    problem = bounded_problem(x, norm, 5.0)
    change = 0.1 * drawn(6, 3, 4, seed=3, dtype=dtype)
    change = norm.project(change, 0.99 * problem.region.eps, problem.region.low - x, problem.region.high - x)
    assert_same(ball(norm)(x + change, problem), x + change, 2e-7 if dtype == torch.float32 else 1e-15)


@every_norm
def test_a_ball_of_no_size_gives_the_input_back(norm):
    x = images(3, 4)
    assert torch.equal(ball(norm)(x + drawn(6, 3, 4, dtype=x.dtype), bounded_problem(x, norm, 0.0)), x)


@every_norm
def test_each_example_has_a_radius_of_its_own(norm):
    x, eps = images(30, dtype=torch.float64), torch.tensor([0.0, 1.0, 2.0, 0.5, 7.0, 0.25])
    moved = x + drawn(6, 30, seed=4)
    whole = ball(norm)(moved, bounded_problem(x, norm, eps))
    for row in range(6):
        alone = bounded_problem(x[row : row + 1], norm, float(eps[row]))
        assert_same(ball(norm)(moved[row : row + 1], alone), whole[row : row + 1], 1e-12)


@every_norm
@pytest.mark.parametrize("own", [False, True], ids=["one mask", "a mask each"])
def test_a_mask_holds_what_may_not_move_bit_for_bit(norm, own):
    x = images(3, 4)
    mask = drawn(6, 3, 4, seed=5) > 0
    mask = mask if own else mask[0]
    problem = bounded_problem(x, norm, 3.0, mask)
    found = ball(norm)(x + drawn(6, 3, 4, seed=6, dtype=x.dtype), problem)
    held = ~mask.expand_as(x)
    assert torch.equal(found[held], x[held])
    assert bool((found != x).flatten(1).any(1).all())
    wider = replace(problem, region=enlarged_region(problem.region, problem, 3.0, norm, NET))
    outer = ball(norm)(x + drawn(6, 3, 4, seed=6, dtype=x.dtype), wider)
    assert torch.equal(outer[held], x[held])
    assert bool((norm.size(outer - x) <= 3 * problem.region.eps).all())


@every_norm
@pytest.mark.parametrize("shape", [(8,), (4, 6), (5, 7, 7), (2, 1, 3, 2)], ids=str)
def test_a_ball_sees_numbers_and_not_shapes(norm, shape):
    x = images(*shape, dtype=torch.float64)
    moved = x + drawn(6, *shape, seed=7)
    found = ball(norm)(moved, bounded_problem(x, norm, 2.0))
    flat = ball(norm)(moved.flatten(1), bounded_problem(x.flatten(1), norm, 2.0))
    assert_same(found.flatten(1), flat, 1e-12)


# --------------------------------------------------------------------------------------------------------------- levels
def on_levels(x, low=0.0, high=1.0, count=256):
    """Numbers as reading a file gives them."""
    return low + ((x - low) / (high - low) * (count - 1)).round() / (count - 1) * (high - low)


@every_norm
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0)])
@modest
@given(eps=st.sampled_from([1 / 255, 8 / 255, 0.1, 1.0, 3.0]), seed=st.integers(0, 999), reach=st.floats(0.001, 2))
def test_rounded_to_levels_it_is_still_in_ball_and_box(norm, low, high, eps, seed, reach):
    net = inputopt.Frozen(lambda x: x.flatten(1)[:, :2], bounds=(low, high))
    x = on_levels(images(3, 4, seed=seed) * (high - low) + low, low, high)
    problem = bounded_problem(x, norm, eps, net=net)
    z = ball(norm)(x + reach * drawn(6, 3, 4, seed=seed + 1, dtype=x.dtype), problem)
    found = Levels(256, torch.tensor(low), torch.tensor(high), norm)(z, problem)
    assert float(found.min()) >= low
    assert float(found.max()) <= high
    assert_same(found, on_levels(found, low, high))
    assert float((found - z).abs().max()) <= (high - low) / 255 * (1 + 1e-4)
    # counted in whole levels, so that no float's rounding comes into it
    steps = ((found - x) / (high - low) * 255).double().round()
    allowed = eps if norm is L0 else eps / (high - low) * 255
    assert float(oracles.sizes(norm.name, steps).max()) <= allowed * (1 + 1e-6)


def test_levels_round_to_the_nearest_where_that_is_allowed():
    x = on_levels(images(20))
    problem = bounded_problem(x, LINF, 0.5)
    z = ball(LINF)(x + 0.2 * drawn(6, 20, seed=1, dtype=x.dtype), problem)
    assert_same(Levels(256, torch.tensor(0.0), torch.tensor(1.0), LINF)(z, problem), on_levels(z))


def test_levels_give_the_floats_that_a_file_gives():
    every = torch.arange(256, dtype=torch.uint8)
    x = (every.float() / 255)[None]
    problem = bounded_problem(x, LINF, 0.1)
    assert torch.equal(Levels(256, torch.tensor(0.0), torch.tensor(1.0), LINF)(x + 1e-3, problem), x)


def test_the_gradient_passes_through_the_rounding():
    x = on_levels(images(5))
    problem, z = bounded_problem(x, LINF, 0.5), images(5, seed=9).requires_grad_()
    weights = drawn(6, 5, seed=2, dtype=x.dtype)
    (grad,) = torch.autograd.grad(
        (Levels(256, torch.tensor(0.0), torch.tensor(1.0), LINF)(z, problem) * weights).sum(), z
    )
    assert_same(grad, weights)


# ------------------------------------------------------------------------------------------------------------ the radii
@every_norm
def test_one_radius_is_as_many_equal_ones(norm):
    x = images(3, 4)
    one, many = bounded_problem(x, norm, 0.5), bounded_problem(x, norm, torch.full((6,), 0.5))
    assert_same(one, many)
    assert one.region.eps.shape == (6,)
    assert one.region.eps.dtype == x.dtype


@every_norm
def test_a_ball_limits_the_distance_also_where_the_bounds_are_wider(norm):
    x = images(3, 4)
    wide = Problem(
        x, torch.zeros(6, dtype=torch.int64), torch.arange(6), region=Region(torch.full((6,), 0.3), x - 9, x + 9)
    )
    found = ball(norm)(x + drawn(6, 3, 4, seed=2, dtype=x.dtype), wide)
    assert float(oracles.sizes(norm.name, found - x).max()) <= 0.3 * (1 + 1e-6)


def test_in_linf_the_box_holds_the_ball():
    x = images(3, 4)
    eps = torch.linspace(0, 0.5, 6)
    problem = bounded_problem(x, LINF, eps)
    assert_same((problem.region.low, problem.region.high), LINF.box(x, eps, torch.zeros_like(x), torch.ones_like(x)))
    for norm in NORMS.values():
        if norm is not LINF:
            other = bounded_problem(x, norm, eps)
            assert_same((other.region.low, other.region.high), (torch.zeros_like(x), torch.ones_like(x)))
