import numpy as np
import pytest
import torch

from inputopt import MLP, gradients
from inputopt.derivatives import differences
from inputopt.derivatives.differences import Differences
from inputopt.nets.costs import find_cost


def rand(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def every_number(found):
    return torch.cat([value.flatten() for value in (*found.weights, *found.biases, found.inputs)])


def mistakes(net, inputs, targets, cost="mse"):
    """How far one-sided and central differences are off, at most."""
    exact = every_number(gradients(net, inputs, targets, cost, "autograd"))
    ways = ("one_sided", "differences")
    return [(every_number(gradients(net, inputs, targets, cost, way)) - exact).abs().max().item() for way in ways]


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "gelu", "softplus", "silu"])
def test_central_differences_are_far_more_exact_than_one_sided(activation):
    net = MLP([3, 4, 2], activation, biases=[rand(4), rand(2)], seed=1).double()
    one_sided, central = mistakes(net, rand(5, 3), rand(5, 2, seed=2))
    # with the best nudges rounding and formula leave about eps^(1/2) and eps^(2/3)
    assert 1e-10 < one_sided < 1e-6
    assert central < 1e-9
    assert central < one_sided / 30


@pytest.mark.parametrize(("central", "order"), [(False, 1), (True, 2)])
def test_the_mistake_shrinks_with_the_order_of_the_formula(central, order):
    """Halving a nudge halves the mistake of one-sided differences, and quarters that of central ones."""
    net = MLP([2, 3, 1], "tanh", biases=[rand(3), rand(1)]).double()
    inputs, targets = rand(4, 2), rand(4, 1, seed=1)
    exact = every_number(gradients(net, inputs, targets, method="autograd"))
    way = Differences(net, find_cost("mse", "tanh"), central)
    found = []
    for nudge in (2e-3, 1e-3):  # large, so that the formula's mistake is all there is
        way._nudge = nudge
        found.append((every_number(way.report(inputs, targets)) - exact).norm().item())
    assert found[0] / found[1] == pytest.approx(2**order, rel=0.02)


def test_a_quadratic_cost_is_differenced_exactly_by_central_differences_and_half_a_nudge_off_by_one_sided():
    """C(w) = (w x - t)^2 / 2 has the second derivative x^2 everywhere, so one-sided is off by h x^2 / 2."""
    net, x = MLP([1, 1], "identity", weights=[[[0.5]]]).double(), 3.0
    nudge = 1e-3
    for central, off in ((False, nudge * x**2 / 2), (True, 0)):
        way = Differences(net, find_cost("mse", "identity"), central)
        way._nudge = nudge
        found = way.report(torch.tensor([[x]], dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64))
        assert found.weights[0].item() == pytest.approx(0.5 * x * x + off, abs=1e-11)


@pytest.mark.parametrize("method", ["differences", "one_sided"])
@pytest.mark.parametrize(
    ("cost", "output"), [("mse", "tanh"), ("cross_entropy", "sigmoid"), ("cross_entropy", "identity")]
)
def test_how_many_nudged_copies_run_at_once_changes_nothing(monkeypatch, method, cost, output):
    net, inputs = MLP([3, 4, 2], "tanh", output, seed=1).double(), rand(5, 3)
    targets = [0, 1, 1, 0, 1] if (cost, output) == ("cross_entropy", "identity") else rand(5, 2).sigmoid()
    together = every_number(gradients(net, inputs, targets, cost, method))
    for numbers in (1, 200):  # one copy at a time, and a few
        monkeypatch.setattr(differences, "NUMBERS_AT_ONCE", numbers)
        # rounding of another order of sums, over the nudge
        torch.testing.assert_close(
            every_number(gradients(net, inputs, targets, cost, method)), together, atol=1e-7, rtol=0
        )


@pytest.mark.parametrize("method", ["differences", "one_sided"])
def test_large_numbers_are_nudged_in_proportion(method):
    """A nudge of 1e-8 would vanish beside 1e9; the cost is (weight x input)^2 / 2."""

    def found(weight, value):
        return gradients(MLP([1, 1], "identity", weights=[[[weight]]]).double(), [[value]], [[0.0]], method=method)

    assert found(1e9, 1e-9).weights[0].item() == pytest.approx(1e-9, rel=1e-6)
    assert found(1e-9, 1e9).inputs.item() == pytest.approx(1e-9, rel=1e-6)


def test_single_precision_has_nudges_of_its_own():
    net = MLP([3, 4, 2], "tanh", seed=1)
    found = gradients(net, rand(5, 3), rand(5, 2), method="differences")
    exact = gradients(net, rand(5, 3), rand(5, 2), method="backprop")
    assert every_number(found).dtype == torch.float32
    np.testing.assert_allclose(every_number(found), every_number(exact), atol=1e-3)
