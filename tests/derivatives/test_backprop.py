import math

import numpy as np
import pytest
import torch
from torch import nn

from inputopt import MLP, gradients
from inputopt.derivatives.backprop import chain, input_derivatives
from inputopt.derivatives.gradient_methods import GRADIENT_METHODS
from inputopt.nets.activations import ACTIVATIONS
from inputopt.nets.arrays import arrays
from inputopt.nets.costs import find_cost

METHODS = list(GRADIENT_METHODS)


def rand(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def network(output="sigmoid", cost="mse"):
    biases = [rand(size, seed=size) for size in (4, 3, 2)]
    net = MLP([3, 4, 3, 2], "tanh", output, biases=biases).double()
    return net, rand(5, 3), torch.rand(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)), cost


def test_one_sigmoid_neuron_by_hand():
    w, b, x, t = 0.3, 0.5, 1.5, 0.2
    O = 1 / (1 + math.exp(-(w * x + b)))
    error = (O - t) * O * (1 - O)
    found = gradients(MLP([1, 1], weights=[[[w]]], biases=[[b]]).double(), [[x]], [[t]])
    # weights are given in single precision, so they are not quite w and b
    assert found.cost == pytest.approx((t - O) ** 2 / 2, rel=1e-6)
    assert found.neuron_errors[0].item() == found.biases[0].item() == pytest.approx(error, rel=1e-6)
    assert found.weights[0].item() == pytest.approx(error * x, rel=1e-6)
    assert found.inputs.item() == pytest.approx(error * w, rel=1e-6)


def test_every_link_of_the_chain_is_what_autograd_finds():
    net, inputs, targets, cost = network()
    found = chain(arrays(net), find_cost(cost, "sigmoid"), inputs.numpy(), targets.numpy())
    signal = inputs.clone().requires_grad_()
    Z, O = [], [signal]
    for layer in net.layers:
        Z.append(layer.weighted_input(O[-1]))
        O.append(layer.activation.torch(Z[-1]))
    total = 0.5 * (O[-1] - targets).square().sum()
    by_O, by_Z = torch.autograd.grad(total, O, retain_graph=True), torch.autograd.grad(total, Z, retain_graph=True)
    for layer in range(3):
        np.testing.assert_allclose(found.Z[layer], Z[layer].detach(), rtol=1e-12)
        np.testing.assert_allclose(found.O[layer + 1], O[layer + 1].detach(), rtol=1e-12)
        np.testing.assert_allclose(found.dCost_dO[layer], by_O[layer + 1], rtol=1e-11, atol=1e-15)
        np.testing.assert_allclose(found.neuron_errors[layer], by_Z[layer], rtol=1e-11, atol=1e-15)
        (slope,) = torch.autograd.grad(O[layer + 1].sum(), Z[layer], retain_graph=True)
        np.testing.assert_allclose(found.dO_dZ[layer], slope, rtol=1e-11, atol=1e-15)
    np.testing.assert_allclose(input_derivatives(arrays(net), found), by_O[0], rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("method", METHODS)
def test_neuron_errors_are_the_derivatives_by_z(method):
    """Which are those of the biases, since a bias adds to Z directly: here Z itself is moved, example by example."""
    net, inputs, targets, cost = network()
    found = gradients(net, inputs, targets, cost, method)
    for layer in range(3):
        shifts = torch.zeros(5, net.sizes[layer + 1], dtype=torch.float64, requires_grad=True)
        signal = inputs
        for index, own in enumerate(net.layers):
            Z = own.weighted_input(signal)
            signal = own.activation.torch(Z + shifts if index == layer else Z)
        (by_Z,) = torch.autograd.grad(0.5 * (signal - targets).square().sum(), shifts)
        torch.testing.assert_close(found.neuron_errors[layer], by_Z.mean(0), rtol=1e-5, atol=1e-8)
        assert torch.equal(found.neuron_errors[layer], found.biases[layer])


def test_cross_entropy_cancels_the_slope_in_the_last_layer_only():
    """Two saturated sigmoid layers: the last learns at full speed, the one before it hardly at all."""
    net = MLP([1, 1, 1], weights=[[[1.0]], [[1.0]]], biases=[[12.0], [12.0]]).double()
    slow, fast = (gradients(net, [[0.0]], [[0.0]], cost) for cost in ("mse", "cross_entropy"))
    assert slow.neuron_errors[1].item() < 1e-5
    assert fast.neuron_errors[1].item() == pytest.approx(1, abs=1e-5)
    assert fast.neuron_errors[0].item() < 1e-5


@pytest.mark.parametrize("method", METHODS)
def test_the_network_is_left_as_it_was(method):
    net, inputs, targets, cost = network()
    net.biases[0].requires_grad_(False)
    net.weights[1].grad = torch.full_like(net.weights[1], 7)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    gradients(net, inputs.requires_grad_(), targets, cost, method)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert [p.requires_grad for p in net.parameters()] == [True, False, True, True, True, True]
    assert [p.grad is None for p in net.parameters()] == [True, True, False, True, True, True]
    assert net.weights[1].grad.eq(7).all()
    assert inputs.grad is None


@pytest.mark.parametrize("method", METHODS)
def test_held_parameters_have_derivatives_too(method):
    net, inputs, targets, cost = network()
    free = gradients(net, inputs, targets, cost, method)
    held = gradients(net.requires_grad_(False), inputs, targets, cost, method)
    for one, other in zip([*free.weights, *free.biases], [*held.weights, *held.biases], strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("method", METHODS)
def test_derivatives_are_found_where_torch_is_told_not_to_track_them(method):
    net, inputs, targets, cost = network()
    expected = gradients(net, inputs, targets, cost, method)
    with torch.no_grad():
        found = gradients(net, inputs, targets, cost, method)
    assert torch.equal(found.inputs, expected.inputs)
    assert not found.inputs.requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("method", ["backprop", "dual"])
@pytest.mark.parametrize("z", [-1000.0, 1000.0])
@pytest.mark.parametrize(
    ("cost", "output"),
    [*(("mse", output) for output in ACTIVATIONS), ("cross_entropy", "sigmoid"), ("cross_entropy", "identity")],
)
def test_far_out_the_derivatives_are_finite_and_agree(cost, output, z, method, dtype):
    net = MLP([1, 2], output, weights=[[[z], [-z]]]).to(dtype)
    targets = [0] if (cost, output) == ("cross_entropy", "identity") else [[0.0, 1.0]]
    found, reference = (gradients(net, [[1.0]], targets, cost, way) for way in (method, "autograd"))
    assert found.cost == pytest.approx(reference.cost, rel=1e-6)
    for one, other in (
        (found.weights[0], reference.weights[0]),
        (found.biases[0], reference.biases[0]),
        (found.inputs, reference.inputs),
    ):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


BAD = [
    ([[1.0, 2.0]], [[0.0]], {}, "inputs must have 3 numbers per example, not "),
    ([], [[0.0, 0.0]], {}, "inputs must have at least one example"),
    (torch.zeros(0, 3), torch.zeros(0, 2), {}, "inputs must have at least one example"),
    ([[1.0, 2.0, math.nan]], [[0.0, 0.0]], {}, "inputs must be finite"),
    ([[1.0, 2.0, math.inf]], [[0.0, 0.0]], {}, "inputs must be finite"),
    ([[1.0, 2.0, 3.0]], [[0.0, math.nan]], {}, "targets must be finite"),
    ([[1.0, 2.0, 3.0]], [[0.0]], {}, "targets must have shape"),
    ([[1.0, 2.0, 3.0]], [[0.0, 2.0]], {"cost": "cross_entropy"}, r"must lie in \[0, 1\]"),
    ([[1.0, 2.0, 3.0]], [[0.0, 0.0]], {"cost": "msee"}, "did you mean 'mse'"),
    ([[1.0, 2.0, 3.0]], [[0.0, 0.0]], {"method": "backpropagation"}, "did you mean 'backprop'"),
]


@pytest.mark.parametrize(("inputs", "targets", "options", "words"), BAD)
def test_bad_batches_are_refused_in_one_sentence(inputs, targets, options, words):
    with pytest.raises(ValueError, match=words) as caught:
        gradients(MLP([3, 2]), inputs, targets, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", METHODS)
def test_a_flat_list_of_inputs_is_refused(method):
    """A network of one input is where [B] and [B, 1] are easily confused."""
    with pytest.raises(ValueError, match="inputs must"):
        gradients(MLP([1, 1]), [1.0, 2.0], [[0.0], [0.0]], method=method)


@pytest.mark.parametrize("method", METHODS)
def test_nan_weights_are_refused(method):
    net = MLP([3, 2])
    net.biases[0].data[0] = math.nan
    with pytest.raises(ValueError, match="the network's weights must be finite"):
        gradients(net, [[1.0, 2.0, 3.0]], [[0.0, 0.0]], method=method)


@pytest.mark.parametrize("method", METHODS)
def test_a_full_report_needs_an_mlp(method):
    with pytest.raises(TypeError, match=r"inputopt\.MLP"):
        gradients(nn.Linear(3, 2), [[1.0, 2.0, 3.0]], [[0.0, 0.0]], method=method)


def test_the_norm_of_each_layer_is_plotted():
    found = gradients(MLP([3, 5, 4, 2], seed=1), torch.rand(6, 3), torch.rand(6, 2))
    squares = [float(w.square().sum() + b.square().sum()) for w, b in zip(found.weights, found.biases, strict=True)]
    assert found.norms.tolist() == pytest.approx([square**0.5 for square in squares])
    (axes,) = found.figure().axes
    assert axes.get_yscale() == "log"
    assert axes.lines[0].get_xydata().tolist() == [[k + 1, norm] for k, norm in enumerate(found.norms.tolist())]
