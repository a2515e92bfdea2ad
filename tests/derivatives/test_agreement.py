"""The ways to a derivative agree on every activation, cost, depth and batch, in double precision."""

import math

import numpy as np
import pytest
import torch

from inputopt import MLP, gradients
from inputopt.derivatives.agreement import Agreement, agreements, disagreement
from inputopt.nets.activations import ACTIVATIONS

ENDS = [("mse", output) for output in ACTIVATIONS] + [("cross_entropy", "sigmoid"), ("cross_entropy", "identity")]
DEPTHS, BATCHES = range(1, 6), range(1, 8)
WITHIN = {"backprop": 1e-10, "dual": 1e-10, "differences": 1e-6}
KINK = 1e-3  # a nudge must not carry any Z across 0, where relu and its like have no derivative


def targets_for(net, cost, examples, random):
    if cost == "cross_entropy" and net.output == "identity":
        return random.integers(net.sizes[-1], size=examples)
    return random.random((examples, net.sizes[-1]))


def nearest_kink(net, inputs):
    signal, nearest = inputs, math.inf
    with torch.no_grad():
        for layer in net.layers:
            nearest = min(nearest, layer.weighted_input(signal).abs().min().item())
            signal = layer(signal)
    return nearest


def random_case(activation, output, cost, depth, examples, seed):
    """A network with biases, inputs that keep clear of every kink, and targets."""
    random = np.random.default_rng(seed)
    while True:
        sizes = [int(size) for size in random.integers(1, 5, size=depth + 1)]
        biases = [random.normal(size=size) * 0.3 for size in sizes[1:]]
        net = MLP(sizes, activation, output, biases=biases, seed=int(random.integers(2**31))).double()
        inputs = torch.tensor(random.normal(size=(examples, sizes[0])))
        if nearest_kink(net, inputs) > KINK:
            return net, inputs, targets_for(net, cost, examples, random)


def assert_agree(one, other, within):
    """Every derivative, relative to the largest of its layer."""
    assert other.cost == pytest.approx(one.cost, rel=1e-12, abs=1e-15)
    layers = zip(one.weights, one.biases, other.weights, other.biases, strict=True)
    groups = [((weight, bias), (weight2, bias2)) for weight, bias, weight2, bias2 in layers]
    for ours, theirs in [*groups, ((one.inputs,), (other.inputs,))]:
        largest = max(value.abs().max().item() for value in ours)
        for value, twin in zip(ours, theirs, strict=True):
            assert value.shape == twin.shape
            assert value.dtype == twin.dtype == torch.float64
            # where a whole layer is dead its derivatives are 0, and the others' must be too but for rounding
            assert (value - twin).abs().max().item() <= within * max(largest, 1e-6)


@pytest.mark.parametrize(("cost", "output"), ENDS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_all_ways_agree(activation, output, cost):
    """Depths 1 to 5, and the batches 1 to 7 in turn: over all activations each depth meets each batch."""
    offset = list(ACTIVATIONS).index(activation)
    for depth in DEPTHS:
        examples = BATCHES[(offset + depth) % len(BATCHES)]
        net, inputs, targets = random_case(activation, output, cost, depth, examples, [offset, depth])
        reference = gradients(net, inputs, targets, cost, "autograd")
        for method, within in WITHIN.items():
            assert_agree(reference, gradients(net, inputs, targets, cost, method), within)


@pytest.mark.parametrize(("cost", "output"), [("mse", "sigmoid"), ("cross_entropy", "identity")])
@pytest.mark.parametrize("examples", BATCHES)
@pytest.mark.parametrize("depth", DEPTHS)
def test_all_ways_agree_on_every_depth_with_every_batch(depth, examples, cost, output):
    net, inputs, targets = random_case("tanh", output, cost, depth, examples, depth)
    reference = gradients(net, inputs, targets, cost, "autograd")
    for method, within in WITHIN.items():
        assert_agree(reference, gradients(net, inputs, targets, cost, method), within)


@pytest.mark.parametrize(("cost", "output"), [("mse", "sigmoid"), *ENDS[-2:]])
@pytest.mark.parametrize("method", ["autograd", "backprop", "dual", "differences"])
def test_each_example_has_its_own_input_derivative_and_the_others_are_averages(method, cost, output):
    net, inputs, targets = random_case("tanh", output, cost, 3, 5, 9)
    together = gradients(net, inputs, targets, cost, method)
    alone = [gradients(net, inputs[i : i + 1], targets[i : i + 1], cost, method) for i in range(5)]
    close = {"rtol": 1e-6, "atol": 1e-9} if method == "differences" else {"rtol": 1e-10, "atol": 1e-14}
    torch.testing.assert_close(together.inputs, torch.cat([each.inputs for each in alone]), **close)
    for name in ("weights", "biases", "neuron_errors"):
        for layer, averaged in enumerate(getattr(together, name)):
            mean = torch.stack([getattr(each, name)[layer] for each in alone]).mean(0)
            torch.testing.assert_close(averaged, mean, **close)
    assert together.cost == pytest.approx(sum(each.cost for each in alone) / 5)


@pytest.mark.parametrize("method", ["autograd", "backprop", "dual", "differences", "one_sided"])
def test_input_derivatives_have_the_shape_of_the_inputs(method):
    net = MLP([12, 3, 2]).double()
    images = torch.rand(5, 1, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = gradients(net, images, torch.zeros(5, 2), method=method)
    flat = gradients(net, images.reshape(5, 12), torch.zeros(5, 2), method=method)
    assert torch.equal(found.inputs, flat.inputs.reshape(5, 1, 3, 4))


def test_agreements_tell_the_disagreement_of_each_layer_and_what_each_way_took():
    net, inputs, targets = random_case("sigmoid", "sigmoid", "mse", 2, 4, 3)
    rows = {row.method: row for row in agreements(net, inputs, targets)}
    assert list(rows) == ["autograd", "backprop", "dual", "differences", "one_sided"]
    variables = sum(value.numel() for value in net.parameters()) + net.sizes[0]
    evaluations = {"autograd": 2, "backprop": 2, "dual": 1}
    evaluations |= {"differences": 1 + 2 * variables, "one_sided": 1 + variables}
    assert {name: row.evaluations for name, row in rows.items()} == evaluations
    assert rows["autograd"].largest == 0
    assert max(rows["backprop"].largest, rows["dual"].largest) < 1e-10
    assert 0 < rows["differences"].largest < 1e-6 < 1e3 * rows["one_sided"].largest < 1
    assert all(len(row.layers) == 2 and row.seconds > 0 for row in rows.values())
    assert all(row.largest == max(*row.layers, row.inputs) for row in rows.values())


def test_agreements_can_be_asked_for_some_ways_only():
    net, inputs, targets = random_case("tanh", "tanh", "mse", 1, 2, 4)
    assert [row.method for row in agreements(net, inputs, targets, methods=["dual"])] == ["dual"]


def test_disagreement_is_relative_to_the_largest_number_of_the_first():
    one, other = [torch.tensor([1.0, -4.0]), torch.tensor([2.0])], [torch.tensor([1.0, -4.0]), torch.tensor([1.0])]
    assert disagreement(one, other) == 0.25
    assert disagreement(other, one) == 0.25
    assert disagreement([torch.zeros(2)], [torch.tensor([0.0, 3.0])]) == 3, "absolute where the first is all 0"
    assert disagreement(one, one) == 0


@pytest.mark.parametrize("place", [0, 1])
def test_a_nan_never_passes_for_agreement(place):
    one, other = [torch.ones(2), torch.ones(1)], [torch.ones(2), torch.ones(1)]
    other[place][-1] = math.nan
    assert not disagreement(one, other) <= 1e9
    layers = [0.0, 0.0]
    layers[place] = math.nan
    assert not Agreement("dual", tuple(layers), 0.0, 1.0, 1).largest <= 1e9
    assert not Agreement("dual", (0.0, 0.0), math.nan, 1.0, 1).largest <= 1e9
