import torch
from contracts import assert_same, drawn, problem_of
from hypothesis import given, settings
from hypothesis import strategies as st

from inputopt.search.problem import take
from inputopt.search.transforms import jitter, rolled, unchanged

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
