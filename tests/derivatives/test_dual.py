import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inputopt import MLP, gradients
from inputopt.derivatives.dual import Dual, seeded
from inputopt.nets.activations import erf
from inputopt.nets.arrays import arrays, forward

NUMBERS = st.floats(-3, 3)
PROPERTY = settings(derandomize=True, deadline=None, max_examples=60)


def variables(*values):
    """Dual numbers [1], variable k with partial 1 by itself."""
    eye = np.eye(len(values))
    return [Dual(np.array([float(value)]), eye[:, index : index + 1]) for index, value in enumerate(values)]


@PROPERTY
@given(NUMBERS, NUMBERS)
def test_sums_products_and_quotients_follow_the_rules_of_calculus(a, b):
    x, y = variables(a, b)
    found = x * y - (x + 2) / (3 + y * y) + 1 - 5 * y
    bottom = 3 + b * b
    assert found.value[0] == pytest.approx(a * b - (a + 2) / bottom + 1 - 5 * b)
    by_x, by_y = found.partials[:, 0]
    assert by_x == pytest.approx(b - 1 / bottom, abs=1e-12)
    assert by_y == pytest.approx(a + (a + 2) * 2 * b / bottom**2 - 5, abs=1e-12)


@PROPERTY
@given(NUMBERS)
def test_the_chain_rule_is_never_written_down_and_holds(a):
    (x,) = variables(a)
    found = np.tanh(np.exp(-x * x))
    inner = math.exp(-a * a)
    assert found.partials[0, 0] == pytest.approx((1 - math.tanh(inner) ** 2) * inner * -2 * a, abs=1e-12)


@pytest.mark.parametrize(
    ("function", "slope"),
    [
        (np.negative, lambda x: -1),
        (np.exp, math.exp),
        (np.expm1, math.exp),
        (np.tanh, lambda x: 1 / math.cosh(x) ** 2),
        (np.reciprocal, lambda x: -1 / x**2),
        (lambda x: erf(x), lambda x: 2 / math.sqrt(math.pi) * math.exp(-x * x)),
        (lambda x: np.maximum(x, 0), lambda x: float(x > 0)),
        (lambda x: np.minimum(x, 0), lambda x: float(x < 0)),
        (lambda x: np.logaddexp(x, 0), lambda x: 1 / (1 + math.exp(-x))),
        (lambda x: np.logaddexp(1.5, x), lambda x: 1 / (1 + math.exp(1.5 - x))),
        (lambda x: np.where(x > 0, x * x, 3 * x), lambda x: 2 * x if x > 0 else 3),
        (lambda x: np.where(x > 0, 7.0, 3 * x), lambda x: 0 if x > 0 else 3),
        (lambda x: 2 / x, lambda x: -2 / x**2),
        (lambda x: 1 - x, lambda x: -1),
    ],
)
@pytest.mark.parametrize("a", [-2.0, -0.4, 0.3, 1.7])
def test_each_elementary_function_knows_its_own_slope(function, slope, a):
    (x,) = variables(a)
    found = function(x)
    assert found.value[0] == function(np.array([a]))[0]
    assert found.partials[0, 0] == pytest.approx(slope(a), rel=1e-12)


def test_matrix_products_carry_the_partials_of_both_sides():
    random = np.random.default_rng(0)
    a, b, da, db = (random.normal(size=shape) for shape in ((2, 3), (3, 4), (5, 2, 3), (5, 3, 4)))
    both, left, right = Dual(a, da) @ Dual(b, db), Dual(a, da) @ b, a @ Dual(b, db)
    for found, expected in ((both, da @ b + a @ db), (left, da @ b), (right, a @ db)):
        np.testing.assert_allclose(found.value, a @ b)
        np.testing.assert_allclose(found.partials, expected)
    np.testing.assert_array_equal(Dual(a, da).mT.partials, da.transpose(0, 2, 1))


def test_fewer_dimensions_are_lined_up_from_the_right_as_numpy_does():
    """A bias [3] meets a batch [2, 3]: its partials [P, 3] must not be taken for rows."""
    bias, batch = Dual(np.arange(3.0), np.eye(3)), np.ones((2, 3))
    found = batch + bias
    assert found.value.tolist() == [[1, 2, 3], [1, 2, 3]]
    np.testing.assert_array_equal(found.partials, np.repeat(np.eye(3)[:, None, :], 2, axis=1))


def test_sums_run_over_the_last_axis_and_log_sum_exp_is_shared_out():
    x = Dual(np.log([[1.0, 2.0, 5.0]]), np.eye(3)[:, None, :])
    np.testing.assert_allclose(x.sum(-1).partials, np.ones((3, 1)))
    found = np.logaddexp.reduce(x, axis=-1)
    np.testing.assert_allclose(found.value, [math.log(8)])
    np.testing.assert_allclose(found.partials[:, 0], [1 / 8, 2 / 8, 5 / 8])


@pytest.mark.parametrize("function", [np.sin, np.add.reduce, np.concatenate])
def test_a_function_without_a_rule_is_refused_rather_than_guessed(function):
    (x,) = variables(1.0)
    with pytest.raises(TypeError):
        function([x] if function is np.concatenate else x)


def test_the_precision_is_kept():
    net = MLP([2, 2], "gelu")
    assert {value.dtype for value in gradients(net, [[1.0, 0.5]], [[0.0, 1.0]], method="dual").weights} == {
        torch.float32
    }


def test_every_variable_is_seeded_once_and_the_batch_shares_those_of_the_inputs():
    net = arrays(MLP([2, 3, 1]).double())
    duals, inputs = seeded(net, np.zeros((4, 2)), with_inputs=True)
    values = [duals.weights[0], duals.biases[0], duals.weights[1], duals.biases[1]]
    total = 6 + 3 + 3 + 1 + 2
    seeds = np.concatenate([value.partials.reshape(total, -1) for value in values], axis=1)
    np.testing.assert_array_equal(seeds, np.eye(total)[:, :13])
    for example in range(4):
        np.testing.assert_array_equal(inputs.partials[:, example], np.eye(total)[:, 13:])
    Z, _ = forward(duals, inputs)
    assert Z[-1].partials.shape == (total, 4, 1)
