import numpy as np
import torch
from contracts import assert_same, drawn, problem_of
from hypothesis import given, settings
from hypothesis import strategies as st

from inputopt.search.problem import Problem
from inputopt.search.rows import take
from inputopt.search.transforms import Warp, chained, crop, jitter, mirror, noise, rolled, rotate, scale, unchanged

modest = settings(max_examples=60, derandomize=True, deadline=None)
SHIFT = st.lists(st.integers(-50, 50), min_size=3, max_size=3).map(torch.tensor)


def numbered(*shape):
    return torch.arange(float(torch.Size(shape).numel())).reshape(shape)


@modest
@given(down=SHIFT, right=SHIFT, channels=st.integers(1, 3), height=st.integers(1, 6), width=st.integers(1, 6))
def test_each_image_is_rolled_by_its_own(down, right, channels, height, width):
    x = numbered(3, channels, height, width)
    found = rolled(x, down, right)
    for image, by_hand, *shift in zip(found, x, down.tolist(), right.tolist(), strict=True):
        assert_same(image, torch.roll(by_hand, shift, (1, 2)))


@modest
@given(down=SHIFT, right=SHIFT)
def test_rolled_and_rolled_back_is_the_identity(down, right):
    x = numbered(3, 2, 5, 7)
    assert_same(rolled(rolled(x, down, right), -down, -right), x)


def test_the_gradient_is_rolled_back():
    down, right = torch.tensor([1, -2]), torch.tensor([0, 3])
    x, pull = drawn(2, 3, 4, 5).requires_grad_(), drawn(2, 3, 4, 5, seed=1)
    (found,) = torch.autograd.grad((rolled(x, down, right) * pull).sum(), x)
    assert_same(found, rolled(pull, -down, -right))


def places(pixels, seed, problem, index):
    """How far each image of the problem is rolled: where its first pixel has gone."""
    x = torch.zeros(len(problem.ids), 1, 9, 9)
    x[:, :, 4, 4] = 1
    return jitter(pixels, seed)(x, problem, index).flatten(1).argmax(1)


def test_jitter_reaches_every_place_alike_and_none_further():
    problem = problem_of((1, 9, 9))
    counts = torch.zeros(9, 9)
    for index in range(1_000):
        counts += torch.bincount(places(2, 0, problem, index), minlength=81).reshape(9, 9)
    assert float(counts.sum()) == 5_000
    inner = counts[2:7, 2:7]
    assert float(inner.sum()) == 5_000
    # 25 places, 200 expected at each: chi square of 24 degrees, beyond 60 one time in 15,000
    assert float(((inner - 200) ** 2 / 200).sum()) < 60


def test_jitter_depends_on_seed_id_and_step_only():
    problem = problem_of((1, 9, 9))
    first = torch.stack([places(3, 0, problem, index) for index in range(20)])
    assert_same(torch.stack([places(3, 0, problem, index) for index in range(20)]), first)
    rows = torch.tensor([4, 1])
    assert_same(torch.stack([places(3, 0, take(problem, rows), index) for index in range(20)]), first[:, rows])
    assert not torch.equal(torch.stack([places(3, 1, problem, index) for index in range(20)]), first)
    assert len(first.unique(dim=0)) == 20
    assert len(first.unique(dim=1)[0]) == 5


def test_unchanged_is_the_very_tensor():
    x = drawn(2, 3)
    assert unchanged(x, problem_of((3,)), 0) is x


# ---------------------------------------------------------------------------------------------------------------- warps
PROBLEM = problem_of((12,))


def fixed(*rows):
    """A warp that is the same for everyone."""
    return Warp(lambda x, problem, index: np.tile(np.array(rows, dtype=np.float64), (len(x), 1, 1)))


def test_a_warp_looks_up_where_its_matrix_says():
    x = drawn(5, 2, 6, 6)
    assert_same(fixed((1, 0, 0), (0, 1, 0), (0, 0, 1))(x, PROBLEM, 0), x, 1e-12)
    assert_same(fixed((0, 1, 0), (1, 0, 0), (0, 0, 1))(x, PROBLEM, 0), x.transpose(2, 3), 1e-12)
    assert_same(fixed((-1, 0, 0), (0, 1, 0), (0, 0, 1))(x, PROBLEM, 0), x.flip(3), 1e-12)
    assert_same(fixed((1, 0, 0), (0, 1, 2 / 6), (0, 0, 1))(x, PROBLEM, 0)[:, :, :-1], x[:, :, 1:], 1e-12)  # a pixel up


def test_drawn_warps_stay_in_their_ranges():
    x, problem = drawn(400, 1, 6, 9), Problem(drawn(400, 1), torch.zeros(400), torch.arange(400))
    factor = 1 / scale(0.5, 2.0, 3).matrix(x, problem, 0)[:, 0, 0]
    assert 0.5 <= float(factor.min()) < 0.52
    assert 1.95 < float(factor.max()) <= 2
    assert abs((factor < 1).mean() - 0.5) < 0.08  # as likely to shrink as to grow
    turn = rotate(20, 3).matrix(x, problem, 0)
    angle = np.rad2deg(np.arctan2(turn[:, 1, 0] * 6 / 9, turn[:, 0, 0]))
    assert -20 <= float(angle.min()) < -19
    assert 19 < float(angle.max()) <= 20
    window = crop(0.4, 3).matrix(x, problem, 0)
    share, middle = window[:, 0, 0], window[:, :2, 2]
    assert 0.4 <= float(share.min()) < 0.42
    assert float(share.max()) <= 1
    assert (abs(middle) <= 1 - share[:, None] + 1e-12).all()  # inside the image


def test_a_mirror_shows_each_image_as_it_is_or_exchanged_as_often():
    x, problem = drawn(400, 2, 5, 6), Problem(drawn(400, 1), torch.zeros(400), torch.arange(400))
    shown = mirror(3)(x, problem, 0)
    same, exchanged = ((shown - like).flatten(1).abs().amax(1) < 1e-12 for like in (x, x.flip(3)))
    assert bool((same ^ exchanged).all())
    assert 160 < int(same.sum()) < 240


def test_a_turn_keeps_the_shape_of_an_oblong_image():
    # a disc stays a disc: the two units of an oblong image differ
    down, across = torch.meshgrid(torch.arange(40.0) - 19.5, torch.arange(80.0) - 39.5, indexing="ij")
    disc = (-(down.square() + across.square()) / 50).exp().double().expand(5, 1, -1, -1)
    turned = rotate(90, 1)(disc, PROBLEM, 0)
    middle = slice(25, 55)  # further out the mirrored edges show it again
    assert float((turned - disc)[..., middle].abs().max()) < 0.02


def test_neighbouring_warps_are_looked_up_once():
    x, first, second = drawn(5, 2, 9, 7), rotate(10, 0), scale(0.8, 1.2, 0)
    joined = chained(first, second)(x, PROBLEM, 4)
    at = first.matrix(x, PROBLEM, 4) @ second.matrix(x, PROBLEM, 4)
    assert_same(joined, Warp(lambda *_: at)(x, PROBLEM, 4), 1e-12)
    smooth = torch.linspace(0, 1, 63, dtype=torch.float64).reshape(1, 1, 9, 7).expand(5, 1, -1, -1)
    both = second(first(smooth, PROBLEM, 4), PROBLEM, 4)
    assert float((chained(first, second)(smooth, PROBLEM, 4) - both)[:, :, 3:-3, 3:-3].abs().max()) < 0.02


def test_noise_is_as_strong_as_it_says_and_independent_of_other_draws():
    x = torch.zeros(5, 1, 50, 50)
    found = noise(0.3, 7)(x, PROBLEM, 0)
    assert abs(float(found.std()) - 0.3) < 0.01
    assert abs(float(found.mean())) < 0.01
    assert_same(chained(noise(0.3, 7), noise(0.3, 7))(x, PROBLEM, 0), 2 * found)
    assert_same(chained()(x, PROBLEM, 0), x)
