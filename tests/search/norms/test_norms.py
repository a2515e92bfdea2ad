import numpy as np
import oracles
import pytest
import torch
from contracts import DTYPES, drawn
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from inputopt.search.norms import L0, L1, L2, LINF, NORMS, find_norm
from inputopt.search.rows import chosen, per_example

modest = settings(max_examples=80, derandomize=True, deadline=None)
SHAPES = [(6,), (2, 3), (1, 2, 3), (1, 3, 2, 1)]
REFERENCES = [NORMS[name] for name in oracles.NORMS]
every_norm = pytest.mark.parametrize("norm", REFERENCES, ids=oracles.NORMS)

# steps of a sixteenth: ties, zeros and numbers exactly at their bound come up often, as they do in images
numbers = st.integers(-64, 64).map(lambda number: number / 16)


@st.composite
def tasks(draw):
    """A change of up to six numbers, a radius, and bounds around 0 of which some are 0 or infinite."""
    count = draw(st.integers(1, 6))
    change = draw(arrays.arrays(np.float64, count, elements=numbers))
    low = -draw(arrays.arrays(np.float64, count, elements=st.sampled_from([0.0, 0.25, 1.0, 3.0, np.inf])))
    high = draw(arrays.arrays(np.float64, count, elements=st.sampled_from([0.0, 0.25, 1.0, 3.0, np.inf])))
    return change, draw(st.integers(0, 96)) / 16, low, high


def rows(*values):
    return tuple(torch.as_tensor(value, dtype=torch.float64)[None] for value in values)


# ------------------------------------------------------------------------------------------------------------ measuring
@every_norm
@modest
@given(change=arrays.arrays(np.float64, (3, 4), elements=numbers))
def test_size_is_the_textbooks(norm, change):
    expected = [oracles.size(norm.name, row) for row in change]
    np.testing.assert_allclose(norm.size(torch.tensor(change)).numpy(), expected, rtol=1e-14)


@every_norm
@modest
@given(grad=arrays.arrays(np.float64, (3, 4), elements=numbers))
def test_steepest_is_the_change_of_size_1_that_gains_the_dual(norm, grad):
    grad = torch.tensor(grad)
    step, some = norm.steepest(grad), grad.any(1)
    gained = (step * grad).sum(1)
    torch.testing.assert_close(gained, norm.dual(grad) if norm is not L0 else L1.dual(grad), rtol=1e-12, atol=0)
    torch.testing.assert_close(norm.size(step), some.double(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("norm", [L1, L2, LINF], ids=["l1", "l2", "linf"])
@modest
@given(grad=arrays.arrays(np.float64, (1, 4), elements=numbers), seed=st.integers(0, 1000))
def test_no_change_of_size_1_gains_more_than_the_dual(norm, grad, seed):
    grad = torch.tensor(grad)
    other = drawn(50, 4, seed=seed)
    other = other / norm.size(other)[:, None]
    assert float((other * grad).sum(1).max()) <= float(norm.dual(grad)) * (1 + 1e-12)


@every_norm
def test_every_function_keeps_shape_and_dtype_and_sees_the_numbers_only(norm):
    change, eps, ids = 2 * drawn(5, 6), torch.full((5,), 1.5), torch.arange(5)
    wide = torch.full_like(change, 0.9)
    for dtype in DTYPES:
        for shape in SHAPES:
            given_ = change.to(dtype).reshape(5, *shape)
            box = (eps.to(dtype), -wide.to(dtype).reshape(given_.shape), wide.to(dtype).reshape(given_.shape))
            for name, found, flat in (
                ("steepest", norm.steepest(given_), norm.steepest(given_.flatten(1))),
                ("project", norm.project(given_, *box), _flat_projection(norm.project, given_, *box)),
                ("project_fast", norm.project_fast(given_, *box), _flat_projection(norm.project_fast, given_, *box)),
                (
                    "sample",
                    norm.sample(given_, box[0], 1.0, 0, ids, 0),
                    norm.sample(given_.flatten(1), box[0], 1.0, 0, ids, 0),
                ),
            ):
                assert (found.shape, found.dtype) == (given_.shape, dtype), name
                torch.testing.assert_close(found.flatten(1), flat, rtol=1e-6, atol=0, msg=name)
            for measure in (norm.size, norm.dual):
                assert (measure(given_).shape, measure(given_).dtype) == ((5,), dtype)


def _flat_projection(project, change, eps, low, high):
    return project(change.flatten(1), eps, low.flatten(1), high.flatten(1))


# ----------------------------------------------------------------------------------------------------------- projecting
@every_norm
@modest
@given(task=tasks())
@example(task=(np.array([3.0, 3.0, 3.0]), 2.0, np.full(3, -9.0), np.array([1.0, 9.0, 0.0])))
@example(task=(np.array([0.0, 0.0]), 0.0, np.zeros(2), np.zeros(2)))
def test_projections_are_the_nearest_points_of_ball_and_box(norm, task):
    change, eps, low, high = task
    found = norm.project(*rows(change, eps, low, high))[0].numpy()
    assert oracles.size(norm.name, found) <= eps * (1 + 1e-12)
    assert ((found >= low) & (found <= high)).all()
    expected = oracles.nearest(norm.name, change, eps, low, high)
    # in L0 several points may be equally near: what counts is how near
    if norm is L0:
        assert ((found - change) ** 2).sum() == pytest.approx(((expected - change) ** 2).sum(), abs=1e-12)
    else:
        np.testing.assert_allclose(found, expected, atol=1e-9)


@every_norm
@modest
@given(task=tasks())
def test_project_fastd_is_feasible_and_leaves_alone_what_already_was(norm, task):
    change, eps, low, high = rows(*task)
    found = norm.project_fast(change, eps, low, high)
    assert float(norm.size(found)) <= float(eps) * (1 + 1e-12)
    assert bool(((found >= low) & (found <= high)).all())
    inside = bool(((change >= low) & (change <= high)).all()) and float(norm.size(change)) <= float(eps)
    if inside:
        assert torch.equal(found, change)
    assert torch.equal(norm.project(found, eps, low, high), found) or not torch.equal(found, change)
    assert bool((found.abs() <= change.abs()).all())  # no number ever grows, nor turns round
    assert bool((found * change >= 0).all())


@every_norm
@modest
@given(tasks=st.lists(tasks(), min_size=2, max_size=4))
def test_projections_treat_each_example_alone(norm, tasks):
    count = min(len(change) for change, *_ in tasks)
    batch = [
        torch.as_tensor(np.stack(part))
        for part in zip(*((c[:count], e, l[:count], h[:count]) for c, e, l, h in tasks), strict=True)
    ]
    for project in (norm.project, norm.project_fast):
        whole = project(*batch)
        for row in range(len(tasks)):
            alone = project(*(part[row : row + 1] for part in batch))
            torch.testing.assert_close(whole[row : row + 1], alone, rtol=1e-13, atol=1e-13)


@every_norm
@pytest.mark.parametrize("dtype", DTYPES)
def test_projections_of_many_numbers(norm, dtype):
    count = 784 if norm is not L0 else 10  # in L0 the slow way tries every choice
    change, low, high = 2 * drawn(3, count), -drawn(3, count, seed=1).abs(), drawn(3, count, seed=2).abs()
    eps = torch.tensor([3.0, 0.5, 7.0])
    found = norm.project(*(value.to(dtype) for value in (change, eps, low, high)))
    for row in range(3):
        expected = oracles.nearest(norm.name, *(value[row].double().numpy() for value in (change, eps, low, high)))
        np.testing.assert_allclose(found[row].numpy(), expected, atol=1e-5 if dtype == torch.float32 else 1e-9)


@every_norm
def test_projecting_writes_to_nothing(norm):
    given_ = (
        2 * drawn(3, 4),
        torch.ones(3, dtype=torch.float64),
        -torch.ones(3, 4).double(),
        torch.ones(3, 4).double(),
    )
    kept = [value.clone() for value in given_]
    for project in (norm.project, norm.project_fast):
        project(*given_)
        assert all(torch.equal(one, other) for one, other in zip(given_, kept, strict=True))


# -------------------------------------------------------------------------------------------------------------- drawing
MANY = 4000


def sample(norm, eps, shape=(3,), draw=0, dtype=torch.float64):
    like = torch.zeros(MANY, *shape, dtype=dtype)
    return norm.sample(like, torch.full((MANY,), eps, dtype=dtype), 1.0, 5, torch.arange(MANY), draw)


def assert_uniform(values):
    """As even as so many numbers between 0 and 1 are but once in about 10,000 times (Kolmogorov and Smirnov)."""
    steps = np.arange(1, len(values) + 1) / len(values)
    assert np.abs(np.sort(values) - steps).max() < 2.2 / len(values) ** 0.5


@pytest.mark.parametrize("norm", [L1, L2, LINF], ids=["l1", "l2", "linf"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_random_points_fill_the_ball_evenly(norm, dtype):
    points = sample(norm, 0.3, dtype=dtype)
    radius = norm.size(points).double() / 0.3
    assert float(radius.max()) <= 1 + 1e-6
    assert_uniform((radius**3).numpy())  # the volume of a ball grows with the third power of its radius
    for axis in range(3):  # no side is preferred, and no axis
        positive = float((points[:, axis] > 0).double().mean())
        assert abs(positive - 0.5) < 4 * 0.5 / MANY**0.5
        # half of the points of a ball in three dimensions have a first number below the same value
        median = {"l1": 1 - 0.5 ** (1 / 3), "l2": 2 * np.sin(np.pi / 18), "linf": 0.5}[norm.name]
        inner = float((points[:, axis].abs() < 0.3 * median).double().mean())
        assert abs(inner - 0.5) < 4 * 0.5 / MANY**0.5
    assert abs(float((points[:, 0] * points[:, 1] > 0).double().mean()) - 0.5) < 4 * 0.5 / MANY**0.5


def test_random_points_in_l0_change_each_number_alike():
    points = sample(L0, 2.9, (5,))
    assert set(L0.size(points).tolist()) == {2.0}
    share = (points != 0).double().mean(0)
    assert float((share - 0.4).abs().max()) < 4 * (0.24 / MANY) ** 0.5
    assert_uniform((points[points != 0].numpy() + 1) / 2)


@every_norm
def test_random_points_belong_to_the_example_and_the_draw(norm):
    whole = sample(norm, 2.0)
    like, ids = torch.zeros(2, 3).double(), torch.tensor([7, 3])
    assert torch.equal(norm.sample(like, torch.full((2,), 2.0).double(), 1.0, 5, ids, 0), whole[ids])
    assert not torch.equal(norm.sample(like, torch.full((2,), 2.0).double(), 1.0, 5, ids, 2), whole[ids])
    assert not torch.equal(norm.sample(like, torch.full((2,), 2.0).double(), 1.0, 6, ids, 0), whole[ids])


@every_norm
def test_a_ball_of_no_size_is_its_middle(norm):
    assert not bool(sample(norm, 0.0).any())
    change, wide = drawn(3, 4), torch.full((3, 4), torch.inf, dtype=torch.float64)
    for project in (norm.project, norm.project_fast):
        assert not bool(project(change, torch.zeros(3).double(), -wide, wide).any())


# --------------------------------------------------------------------------------------------------------- small things
@modest
@given(st.lists(st.booleans(), min_size=3, max_size=3), st.sampled_from(DTYPES))
def test_chosen_takes_whole_rows_exactly(mask, dtype):
    new, old = drawn(3, 2, 2, dtype=dtype), 1e6 * drawn(3, 2, 2, seed=1, dtype=dtype)
    for row, found in enumerate(chosen(torch.tensor(mask), new, old)):
        assert torch.equal(found, (new if mask[row] else old)[row])


def test_values_for_each_example_fit_any_rank():
    for shape in SHAPES:
        assert per_example(torch.ones(4), torch.zeros(4, *shape)).shape == (4, *(1,) * len(shape))


def test_norms_are_found_by_name():
    assert [find_norm(name) for name in oracles.NORMS] == [L0, L1, L2, LINF]
    with pytest.raises(ValueError, match="did you mean 'linf'"):
        find_norm("lin")


@pytest.mark.parametrize("norm", NORMS.values(), ids=NORMS)
@modest
@given(task=tasks())
def test_the_operations_of_a_norm_agree_with_its_own_size(norm, task):
    """Whatever norm is registered: what follows from the definitions alone, without a reference answer."""
    change, radius, low, high = rows(*task)
    eps = radius.reshape(1)
    for found in (norm.project(change, eps, low, high), norm.project_fast(change, eps, low, high)):
        assert float(norm.size(found)) <= float(eps) * (1 + 1e-9) + 1e-12
        assert bool(((found >= low) & (found <= high)).all())
    assert_close(
        norm.project(norm.project(change, eps, low, high), eps, low, high), norm.project(change, eps, low, high)
    )
    steepest = norm.steepest(change)
    assert float(norm.size(steepest)) <= 1 + 1e-9
    if norm.convex:
        assert_close(torch.linalg.vecdot(steepest.flatten(1), change.flatten(1)), norm.dual(change))
    drawn_change = norm.sample(change, eps, 1.0, 0, torch.zeros(1, dtype=torch.int64), 0)
    assert float(norm.size(drawn_change)) <= float(eps) * (1 + 1e-6) + 1e-9


def assert_close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-7)
