import pytest
import torch
from contracts import assert_same, drawn
from hypothesis import given, settings
from hypothesis import strategies as st

from inputopt.search.steps import directions
from inputopt.search.steps.directions import Momentum, chain

modest = settings(max_examples=60, derandomize=True, deadline=None)


def turned(direction, *grads):
    state = direction.init(grads[0])
    for grad in grads:
        found, state = direction.update(grad, state)
    return found


def test_sign():
    grad = torch.tensor([[-2.0, 0.0, 1e-30], [5.0, -1e30, -0.0]])
    assert_same(turned(directions.sign, grad), torch.tensor([[-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]]))


@modest
@given(exponent=st.integers(-30, 30), dtype=st.sampled_from([torch.float32, torch.float64]), seed=st.integers(0, 99))
def test_unit_has_length_one_however_small_or_large_the_gradient(exponent, dtype, seed):
    # the loss of a network that is very sure has gradients of this kind; a squared 1e-25 is 0 in float32
    grad = drawn(4, 3, 5, seed=seed, dtype=torch.float64)
    found = turned(directions.unit, (grad * 10.0**exponent).to(dtype))
    assert found.dtype == dtype
    assert_same(found.double(), grad / grad.flatten(1).norm(dim=1).reshape(4, 1, 1), 1e-5)


@modest
@given(exponent=st.integers(-30, 30), seed=st.integers(0, 99))
def test_over_mean_has_a_mean_size_of_one(exponent, seed):
    grad = drawn(4, 3, 5, seed=seed) * 10.0**exponent
    found = turned(directions.over_mean, grad.float())
    assert_same(found.abs().flatten(1).mean(1), torch.ones(4), 1e-5)
    assert bool((found.sign() == grad.sign()).all())


def test_over_largest_has_a_largest_size_of_one():
    grad = torch.tensor([[3.0, -4.0], [0.0, 0.5]])
    assert_same(turned(directions.over_largest, grad), torch.tensor([[0.75, -1.0], [0.0, 1.0]]))


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 1.0])
def test_momentum_is_the_fading_sum(decay):
    grads = [drawn(3, 4, seed=seed) for seed in range(6)]
    expected = sum(decay ** (5 - index) * grad for index, grad in enumerate(grads))
    assert_same(turned(Momentum(decay), *grads), expected, 1e-12)


def test_a_chain_is_one_after_the_other():
    grads = [drawn(3, 4, seed=seed) for seed in range(4)]
    assert_same(turned(chain(Momentum(0.5), directions.sign), *grads), turned(Momentum(0.5), *grads).sign())
    signs = [grad.sign() for grad in grads]
    assert_same(turned(chain(directions.sign, Momentum(0.5)), *grads), turned(Momentum(0.5), *signs))
    assert_same(turned(chain(), *grads), grads[-1])


def test_chained_momenta_keep_states_of_their_own():
    one, two = drawn(2, 3, seed=1), drawn(2, 3, seed=2)
    # of two fading sums in a row, the first gradient fades by 0.5 or by 0.25 on its way
    assert_same(turned(chain(Momentum(0.5), Momentum(0.25)), one, two), two + 0.75 * one, 1e-12)
