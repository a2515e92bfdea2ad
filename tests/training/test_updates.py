import copy

import numpy as np
import pytest
import torch

from inputopt import MLP, train
from inputopt.training.updates import find_update

OPTIMISERS = {
    "momentum": lambda parameters, rate: torch.optim.SGD(parameters, rate, momentum=0.9),
    "adam": lambda parameters, rate: torch.optim.Adam(parameters, rate),
}
NAMES = ["descent", *OPTIMISERS]


def rand(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def network():
    net = MLP([3, 4, 2], "tanh", "sigmoid", biases=[rand(4), rand(2)], seed=1).double()
    return net, rand(6, 3), rand(6, 2, seed=2).sigmoid()


def by_torch(net, inputs, targets, make, steps):
    """The same training by torch.optim alone, as a user of torch writes it."""
    optimiser = make([value for value in net.parameters() if value.requires_grad], 0.05)
    for _ in range(steps):
        optimiser.zero_grad()
        (0.5 * (net(inputs) - targets).square().sum(1).mean()).backward()
        optimiser.step()
    return net


def assert_same(one, other, within):
    for ours, theirs in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=within)


@pytest.mark.parametrize("hold", [False, True])
@pytest.mark.parametrize("method", ["autograd", "backprop", "dual"])
@pytest.mark.parametrize("name", OPTIMISERS)
def test_momentum_and_adam_are_those_of_torch(name, method, hold):
    net, inputs, targets = network()
    net.biases[0].requires_grad_(not hold)
    twin = by_torch(copy.deepcopy(net), inputs, targets, OPTIMISERS[name], 40)
    train(net, inputs, targets, learning_rate=0.05, steps=40, optimiser=name, method=method)
    assert_same(net, twin, 1e-12)
    assert torch.equal(net.biases[0], network()[0].biases[0]) == hold


@pytest.mark.parametrize("method", ["autograd", "backprop"])
def test_any_optimiser_of_torch_may_be_given(method):
    def make(parameters, rate):
        return torch.optim.RMSprop(parameters, rate, weight_decay=0.1)

    net, inputs, targets = network()
    twin = by_torch(copy.deepcopy(net), inputs, targets, make, 15)
    train(net, inputs, targets, learning_rate=0.05, steps=15, optimiser=make, method=method)
    assert_same(net, twin, 1e-12)


@pytest.mark.parametrize("kind", ["arrays", "tensors"])
def test_descent_subtracts_rate_times_derivative_in_place(kind):
    made = torch.tensor if kind == "tensors" else (lambda values: np.array(values, np.float32))
    parameters = [made([1.0, 2.0]), made([[3.0]])]
    update = find_update("descent", parameters, 0.5)
    update([made([2.0, -4.0]), made([[1.0]])])
    assert [parameter.tolist() for parameter in parameters] == [[0, 4], [[2.5]]]


def test_descent_in_single_precision_rounds_as_the_document_does():
    """The rate must not lift float32 arrays to doubles on the way."""
    weight, derivative = np.array([0.3], np.float32), np.array([0.1], np.float32)
    expected = np.float32(weight[0] - np.float32(0.7) * derivative[0])
    find_update("descent", [weight], 0.7)([derivative])
    assert weight.dtype == np.float32
    assert weight[0] == expected


@pytest.mark.parametrize("kind", ["arrays", "tensors"])
@pytest.mark.parametrize("moved_before", [0, 3])
@pytest.mark.parametrize("name", NAMES)
def test_a_restored_update_goes_on_as_if_nothing_had_happened(name, moved_before, kind):
    """Momentum and Adam have a state of their own that has to go back too, even to when there was none."""
    start = rand(4, seed=1)
    parameters = [start.clone() if kind == "tensors" else start.numpy().copy()]
    update = find_update(name, parameters, 0.1)
    derivatives = [[rand(4, seed=seed) if kind == "tensors" else rand(4, seed=seed).numpy()] for seed in range(9)]
    for derivative in derivatives[:moved_before]:
        update(derivative)
    snapshot = update.snapshot()
    ends = []
    for detour in (derivatives[3:6], []):
        for derivative in detour:
            update(derivative)
        update.restore(snapshot)
        for derivative in derivatives[6:]:
            update(derivative)
        ends.append(torch.as_tensor(parameters[0]).clone())
        update.restore(snapshot)
    assert torch.equal(*ends)
    assert not torch.equal(ends[0], torch.as_tensor(parameters[0]))


def test_a_snapshot_is_a_copy():
    parameters = [torch.ones(2)]
    update = find_update("descent", parameters, 1.0)
    snapshot = update.snapshot()
    update([torch.ones(2)])
    update.restore(snapshot)
    assert parameters[0].tolist() == [1, 1]


@pytest.mark.parametrize("bad", ["sgd", "Adamm", None, 3])
def test_unknown_optimisers_are_refused(bad):
    with pytest.raises(ValueError, match="Unknown optimiser"):
        find_update(bad, [torch.ones(1)], 0.5)
