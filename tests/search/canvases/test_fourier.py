import math

import pytest
import torch
from contracts import assert_same, drawn
from hypothesis import given, settings
from hypothesis import strategies as st

from inputopt.search.canvases.colours import Squash
from inputopt.search.canvases.cppn import CPPN
from inputopt.search.canvases.fourier import FALL, Fourier, frequencies
from inputopt.search.canvases.maco import MACO
from inputopt.search.canvases.natural import Natural
from inputopt.search.problem import Problem

modest = settings(max_examples=40, derandomize=True, deadline=None)
IDS = torch.arange(3)
PROBLEM = Problem(torch.zeros(3, 1), IDS, IDS)


@modest
@given(channels=st.sampled_from([1, 2, 3]), height=st.integers(1, 9), width=st.integers(1, 9))
def test_any_image_survives_encoding_as_waves(channels, height, width):
    x = torch.rand(3, channels, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = 0.01 + 0.98 * x
    canvas = Fourier((channels, height, width), Squash(0, 1))
    assert_same(canvas(canvas.encode(x), PROBLEM), x, 1e-9)


@modest
@given(channels=st.sampled_from([1, 3]), height=st.integers(1, 9), width=st.integers(1, 9))
def test_what_other_wave_canvases_can_hold_survives_encoding(channels, height, width):
    shape, squash = (channels, height, width), Squash(0, 1)
    for canvas in (Natural(Fourier(shape, squash), contrast=0.3), MACO(shape, squash, contrast=0.3)):
        x = canvas(canvas.start(0, IDS).double(), PROBLEM)
        assert_same(canvas(canvas.encode(x), PROBLEM), x, 1e-7)


@pytest.mark.parametrize("size", [(5, 4), (4, 5), (6, 6), (1, 4), (4, 1), (2, 2), (1, 1), (3, 7)])
def test_the_derivative_of_the_natural_canvas_is_that_of_differences(size):
    canvas = Natural(Fourier((3, *size), Squash(-1, 2)))
    z = canvas.start(0, IDS).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: canvas(z, PROBLEM), z)


def test_waves_that_are_all_zero_have_a_derivative_too():
    canvas = Natural(Fourier((3, 6, 5), Squash(0, 1)))
    z = torch.zeros_like(canvas.start(0, IDS)).requires_grad_()
    (found,) = torch.autograd.grad(canvas(z, PROBLEM).sum(), z)
    assert bool(torch.isfinite(found).all())


def test_squashing_is_undone_and_black_and_white_are_held_a_thousandth_away():
    squash = Squash(-1.0, 3.0)
    y = drawn(2, 3, 4, 5)
    assert_same(squash.undo(squash(y)), y, 1e-8)
    edges = torch.tensor([-1.0, 3.0]).reshape(1, 1, 1, 2)
    assert_same(squash(squash.undo(edges)), torch.tensor([-0.996, 2.996]).reshape(1, 1, 1, 2), 1e-5)
    assert_same(Squash(0, 1, decorrelated=False)(y), y.sigmoid())
    assert_same(squash(y[:, :2]), -1 + 4 * y[:, :2].sigmoid())  # only three channels are colours


def power_by_ring(x):
    """The power at each whole frequency of square images [B, 1, S, S]."""
    power = torch.fft.fft2(x[:, 0], norm="ortho").abs().square()
    place = torch.fft.fftfreq(x.shape[-1]) * x.shape[-1]
    ring = (place[:, None].square() + place.square()).sqrt().round().long().flatten()
    return torch.zeros(len(x), int(ring.max()) + 1, dtype=x.dtype).index_add(1, ring, power.flatten(1))


@pytest.mark.parametrize("size", [32, 33])
def test_every_image_of_the_natural_canvas_has_a_photos_power_at_each_frequency(size):
    shape = (1, size, size)
    canvas = Natural(Fourier(shape, Squash(0, 1)), contrast=0.7)
    for z in (canvas.start(0, IDS).double(), 30 * drawn(3, 1, size, size // 2 + 1, 2).cumsum(2)):
        z[..., 0, 0, :] = 0  # the mean is free
        y = canvas.free.squash.undo(canvas(z, PROBLEM))
        found = power_by_ring(y)[:, 1 : size // 2]
        assert_same(found / found[:1], torch.ones_like(found), 0.02)  # whatever z is; undone only to a thousandth
        slope = (found[0, 1].log() - found[0, -1].log()) / (math.log(2) - math.log(size // 2 - 1))
        assert abs(float(slope) - (1 - 2 * FALL)) < 0.15  # a ring of frequency k has about k waves
        assert abs(float((y - y.mean((2, 3), keepdim=True)).square().mean().sqrt()) - 0.7) < 0.01


def test_only_phases_are_free_on_the_canvas_of_phases():
    canvas = MACO((1, 16, 15), Squash(0, 1), contrast=0.7)
    first, second = (
        torch.fft.rfft2(canvas.squash.undo(canvas(canvas.start(seed, IDS).double(), PROBLEM))) for seed in (0, 1)
    )
    assert_same(first.abs(), second.abs(), 1e-8)
    assert float((first - second).abs().max()) > 1


def test_frequencies_count_how_often_a_wave_repeats():
    found = frequencies(6, 6)
    assert found[0].tolist() == pytest.approx([0, 1, 2, 3])
    assert found[:, 0].tolist() == pytest.approx([0, 1, 2, 3, 2, 1])
    assert float(frequencies(4, 16)[1, 0]) == pytest.approx(2)  # once over 4 pixels: twice over the mean side of 8


def test_a_formula_draws_the_same_image_at_any_size():
    small, large = (CPPN((3, size, size), Squash(0, 1)) for size in (5, 15))
    z = small.start(4, IDS).double()
    assert_same(small(z, PROBLEM)[:, :, 2, 2], large(z, PROBLEM)[:, :, 7, 7], 1e-9)  # the middle pixel
    assert_same(small.start(4, IDS), large.start(4, IDS))
