import math

import numpy as np
import pytest
import torch
from contracts import assert_same, chance_state
from hypothesis import given, settings
from hypothesis import strategies as st

from inputopt.search import keyed_random

MASK = 2**64 - 1
WHOLE = st.integers(-(2**63), 2**63 - 1)
modest = settings(max_examples=60, derandomize=True, deadline=None)
COUNT = 1_000_000
FAR = 5.0  # standard errors; one true value in 1.7 million lies further off


def splitmix(state):
    """The next number of SplitMix64 as its authors write it, in whole numbers of Python."""
    state = (state + 0x9E3779B97F4A7C15) & MASK
    z = state
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return state, z ^ (z >> 31)


def test_the_reference_gives_the_published_numbers():
    # for the seed 1234567, as printed with the C reference and in many languages since
    state, found = 1234567, []
    for _ in range(5):
        state, number = splitmix(state)
        found.append(number)
    assert found == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@modest
@given(st.lists(WHOLE, min_size=1, max_size=9))
def test_the_hash_is_that_of_splitmix(states):
    found = keyed_random._mixed(np.array([state & MASK for state in states], dtype=np.uint64))
    want = [splitmix((state - 0x9E3779B97F4A7C15) & MASK)[1] for state in states]
    assert found.tolist() == want
    assert [keyed_random._mixed_one(state) for state in states] == want


@pytest.mark.parametrize("shape", [(), (3,), (2, 4)])
def test_few_numbers_are_those_of_many(shape, monkeypatch):
    ids = torch.tensor([0, -5, 2**63 - 1, -(2**63)])
    few = [
        kind(shape, seed, ids, 3) for kind in (keyed_random.uniform, keyed_random.centred) for seed in (0, -1, 2**70)
    ]
    monkeypatch.setattr(keyed_random, "FEW", -1)
    many = [
        kind(shape, seed, ids, 3) for kind in (keyed_random.uniform, keyed_random.centred) for seed in (0, -1, 2**70)
    ]
    assert_same(few, many)


@modest
@given(
    ids=st.lists(WHOLE, min_size=1, max_size=6),
    seed=st.integers(-(2**80), 2**80),
    draw=st.integers(0, 2**40),
    data=st.data(),
)
@pytest.mark.parametrize("kind", [keyed_random.uniform, keyed_random.normal])
def test_a_row_depends_on_its_id_and_on_nothing_else(kind, ids, seed, draw, data):
    whole = kind((3, 2), seed, torch.tensor(ids), draw)
    assert whole.shape == (len(ids), 3, 2)
    assert whole.dtype == torch.float64
    assert torch.isfinite(whole).all()
    order = data.draw(st.permutations(range(len(ids))))
    chosen = order[: data.draw(st.integers(1, len(ids)))]
    assert_same(kind((3, 2), seed, torch.tensor([ids[row] for row in chosen]), draw), whole[chosen])


@modest
@given(seed=st.integers(-(2**80), 2**80), id_=WHOLE)
def test_uniform_lies_in_the_half_open_interval(seed, id_):
    found = keyed_random.uniform((50,), seed, torch.tensor([id_]))
    assert 0 <= float(found.min()) <= float(found.max()) < 1
    assert len(found.unique()) == 50


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_centred_numbers_are_even_and_belong_to_their_row(dtype):
    ids = torch.arange(9)
    found = keyed_random.centred((COUNT // 9,), 5, ids, 3, dtype)
    assert found.dtype == dtype
    assert_same(found.unique(), ((torch.arange(256) - 127.5) / 256).to(dtype))
    assert within(float(found.mean()), 0, (1 / 12) ** 0.5)
    assert within(float(found.square().mean()), 1 / 12, (1 / 180) ** 0.5)
    assert within(float(12 * (found[:, 1:] * found[:, :-1]).mean()), 0, 1)
    assert_same(keyed_random.centred((COUNT // 9,), 5, ids[[7, 2]], 3, dtype), found[[7, 2]])
    assert not torch.equal(keyed_random.centred((3,), 5, ids, 4, dtype), found[:, :3])


def test_seeds_ids_and_draws_all_count_and_are_not_added_up():
    ids = torch.arange(-20, 20)
    every = [keyed_random.uniform((2,), seed, ids, draw) for seed in range(-20, 20) for draw in range(20)]
    count = 40 * 40 * 20 * 2
    assert len(torch.cat(every).flatten().unique()) >= count - 8  # half a pair in 2^32 is alike by chance alone


@pytest.mark.parametrize(("one", "other"), [(2**70, 2**70 + 1), (-1, 1), (2**63, -(2**63) + 1), (0, -1)])
def test_big_and_negative_seeds_differ(one, other):
    ids = torch.arange(3)
    assert not bool((keyed_random.uniform((4,), one, ids) == keyed_random.uniform((4,), other, ids)).any())


@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4)])
def test_shapes(shape):
    for kind in (keyed_random.uniform, keyed_random.normal):
        assert kind(shape, 0, torch.arange(4)).shape == (4, *shape)
    flat = keyed_random.uniform((math.prod(shape),), 0, torch.arange(4))
    assert_same(keyed_random.uniform(shape, 0, torch.arange(4)).flatten(), flat.flatten())


def test_no_global_generator_is_touched_or_heard():
    before = chance_state()
    first = keyed_random.normal((5,), 3, torch.arange(4))
    assert chance_state() == before
    torch.manual_seed(1)
    assert_same(keyed_random.normal((5,), 3, torch.arange(4)), first)


def test_tries_at_an_example_have_ids_of_their_own():
    ids, numbers = torch.arange(500).repeat(20), torch.arange(20).repeat_interleave(500)
    found = keyed_random.child(ids, numbers)
    assert_same(found[:500], ids[:500])  # the first try is the example itself
    assert len(found.unique()) == 500 * 20
    assert_same(keyed_random.child(ids[777:778], numbers[777:778]), found[777:778])


def within(found, expected, deviation):
    return abs(found - expected) < FAR * deviation / COUNT**0.5


def one_long_row():
    return keyed_random.uniform((COUNT,), 0, torch.tensor([0]))[0]


def many_ids():
    return keyed_random.uniform((), 0, torch.arange(COUNT))


def many_draws():
    return torch.cat([keyed_random.uniform((), 0, torch.arange(500), draw) for draw in range(COUNT // 500)])


@pytest.mark.parametrize("source", [one_long_row, many_ids, many_draws])
def test_uniform_has_the_moments_and_the_evenness(source):
    found = source()
    assert within(float(found.mean()), 1 / 2, (1 / 12) ** 0.5)
    assert within(float(((found - 0.5) ** 2).mean()), 1 / 12, (1 / 180) ** 0.5)  # 1/80 - 1/144
    counts = torch.bincount((found * 256).long(), minlength=256)
    chi_square = float(((counts - COUNT / 256) ** 2 / (COUNT / 256)).sum())
    assert abs(chi_square - 255) < FAR * (2 * 255) ** 0.5
    last_bits = (found * 2**32).long() & 1
    assert within(float(last_bits.double().mean()), 1 / 2, 1 / 2)


@pytest.mark.parametrize("apart", [1, 2, 28, 784])
def test_neighbours_are_not_correlated(apart):
    def correlation(one, other):
        return float(12 * ((one - 0.5) * (other - 0.5)).mean())  # a product has the deviation 1/12

    row = keyed_random.uniform((COUNT + apart,), 7, torch.tensor([0]))[0]
    assert within(correlation(row[:-apart], row[apart:]), 0, 1)
    ids = keyed_random.uniform((), 7, torch.arange(COUNT + apart))
    assert within(correlation(ids[:-apart], ids[apart:]), 0, 1)
    row = row[:COUNT]
    assert within(correlation(row, keyed_random.uniform((COUNT,), 7 + apart, torch.tensor([0]))[0]), 0, 1)
    assert within(correlation(row, keyed_random.uniform((COUNT,), 7, torch.tensor([0]), apart)[0]), 0, 1)


def test_normal_has_the_moments_and_the_shape():
    found = keyed_random.normal((COUNT // 100,), 5, torch.arange(100)).flatten()
    assert torch.isfinite(found).all()
    for power, (expected, deviation) in {1: (0, 1), 2: (1, 2**0.5), 3: (0, 15**0.5), 4: (3, 96**0.5)}.items():
        assert within(float((found**power).mean()), expected, deviation)
    # Kolmogorov and Smirnov: beyond 2.2 / sqrt(n) one sample in ten thousand
    steps = (torch.arange(COUNT) + 0.5) / COUNT
    assert float((torch.special.ndtr(found.sort().values) - steps).abs().max()) < 2.2 / COUNT**0.5
    assert float(found.abs().max()) > 4


def test_normal_pairs_are_independent():
    found = keyed_random.normal((COUNT + 1,), 5, torch.tensor([3]))[0]
    assert within(float((found[1:] * found[:-1]).mean()), 0, 1)
    squares = found**2 - 1
    assert within(float((squares[1:] * squares[:-1]).mean()), 0, 2)
