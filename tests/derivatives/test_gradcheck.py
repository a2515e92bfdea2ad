"""Gradient checks from Python: on the network that is given, which stays as it is."""

import numpy as np
import pytest
import torch

import inputopt
from inputopt.derivatives.gradient_methods import GRADIENT_METHODS


def test_every_method_agrees_on_random_examples():
    for activation, output, cost in (("tanh", "sigmoid", "mse"), ("relu", "identity", "cross_entropy")):
        found = inputopt.gradcheck(inputopt.MLP([4, 5, 3], activation, output), cost=cost)
        assert [row.method for row in found] == list(GRADIENT_METHODS)
        largest = {row.method: row.largest for row in found}
        assert largest["autograd"] == 0
        assert max(largest["backprop"], largest["dual"]) < 1e-12
        assert 0 < largest["differences"] < largest["one_sided"] < 1e-5


def test_the_network_stays_in_its_own_precision():
    net = inputopt.MLP([2, 3, 1])
    before = [value.clone() for value in net.parameters()]
    inputopt.gradcheck(net, [[0.0, 1.0]], [[1.0]], methods=["dual"])
    assert all(torch.equal(one, other) for one, other in zip(before, net.parameters(), strict=True))
    assert net.weights[0].dtype == torch.float32


def test_the_examples_given_are_used():
    net = inputopt.MLP([2, 3, 1])
    (one,) = inputopt.gradcheck(net, np.array([[0.0, 1.0]]), [[1.0]], methods=["one_sided"])
    (other,) = inputopt.gradcheck(net, [[5.0, 1.0]], [[1.0]], methods=["one_sided"])
    assert one.largest != other.largest
    assert inputopt.gradcheck(net, seed=1)[-1].largest != inputopt.gradcheck(net, seed=2)[-1].largest


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda net: inputopt.gradcheck(net, [[0.0, 1.0]]), "together"),
        (lambda net: inputopt.gradcheck(net, batch=0), "batch"),
        (lambda net: inputopt.gradcheck(net, methods=["duel"]), "'dual'"),
        (lambda net: inputopt.gradcheck(net, cost="rmse"), "cost"),
    ],
)
def test_wrong_calls_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call(inputopt.MLP([2, 3, 1]))


def test_explain_is_reachable():
    text = inputopt.explain(inputopt.MLP([2, 1]), np.array([[0.5, 1.0]]), torch.tensor([[1.0]]))
    assert text.startswith("ROW 1 of the inputs: 0.5, 1; target 1")
