import math

import numpy as np
import pytest
import torch

from inputopt import MLP
from inputopt.nets.activations import ACTIVATIONS, find_activation
from inputopt.nets.arrays import arrays, forward
from inputopt.nets.mlp import with_fake_input


def rand(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_warm_up_neuron_by_hand():
    net = MLP([2, 1], weights=[[[0.3, 0.8]]], biases=[[0.23]])
    inputs = torch.tensor([[1.0, 0.0]])
    assert net.logits(inputs).item() == pytest.approx(0.53)
    assert net(inputs).item() == pytest.approx(1 / (1 + math.exp(-0.53)))


def test_given_weights_and_biases_are_kept_exactly_and_are_the_networks_own():
    weights, biases = [rand(3, 2), rand(1, 3, seed=1)], [rand(3, seed=2), rand(1, seed=3)]
    net = MLP([2, 3, 1], weights=weights, biases=biases)
    assert all(torch.equal(own, given) for own, given in zip(net.weights, weights, strict=True))
    assert all(torch.equal(own, given) for own, given in zip(net.biases, biases, strict=True))
    kept = net.weights[0].clone()
    weights[0].zero_()
    assert torch.equal(net.weights[0], kept)


def test_weights_and_biases_are_the_parameters_in_the_documents_order():
    net = MLP([4, 3, 2])
    interleaved = [net.weights[0], net.biases[0], net.weights[1], net.biases[1]]
    assert [id(own) for own in net.parameters()] == [id(parameter) for parameter in interleaved]
    assert [tuple(own.shape) for own in interleaved] == [(3, 4), (3,), (2, 3), (2,)]


@pytest.mark.parametrize("output", ACTIVATIONS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_hidden_and_output_activations_are_where_they_belong(activation, output):
    net, x = MLP([2, 3, 4, 2], activation, output), rand(5, 2)
    for layer, kind in enumerate((activation, activation, output)):
        z = x @ net.weights[layer].T + net.biases[layer]
        x = find_activation(kind).torch(z)
    torch.testing.assert_close(net.logits(rand(5, 2)), z)
    torch.testing.assert_close(net(rand(5, 2)), x)


def test_the_output_activation_is_that_of_the_hidden_layers_unless_given():
    assert (MLP([2, 2], "tanh").output, MLP([2, 2], "tanh", "identity").output) == ("tanh", "identity")


def test_a_bias_is_the_weight_of_a_fake_input_that_is_always_one():
    """The same network, a layer being one matrix product."""
    biases = [rand(size, seed=size) for size in (4, 3, 2)]
    net, signal = MLP([3, 4, 3, 2], "tanh", "sigmoid", biases=biases), rand(5, 3)
    for layer in net.layers:
        assert torch.equal(layer.augmented(), torch.cat([layer.weight, layer.bias[:, None]], 1))
        signal = layer.activation.torch(with_fake_input(signal) @ layer.augmented().T)
    torch.testing.assert_close(signal, net(rand(5, 3)), rtol=1e-6, atol=1e-6)


def test_the_augmented_matrix_has_the_bias_derivative_in_its_last_column():
    layer, x = MLP([3, 2], "tanh").layers[0], rand(5, 3)
    matrix = layer.augmented().detach().requires_grad_()
    (by_matrix,) = torch.autograd.grad(layer.activation.torch(with_fake_input(x) @ matrix.T).sum(), matrix)
    by_parts = torch.autograd.grad(layer(x).sum(), [layer.weight, layer.bias])
    torch.testing.assert_close(by_matrix, torch.cat([by_parts[0], by_parts[1][:, None]], 1))


def test_inputs_of_any_shape_are_flattened():
    net, images = MLP([12, 3]), rand(5, 1, 3, 4)
    assert torch.equal(net(images), net(images.reshape(5, 12)))
    assert torch.equal(net.logits(images), net.logits(images.reshape(5, 12)))


def test_drawn_weights_depend_on_the_seed_and_on_nothing_else():
    before = torch.get_rng_state()
    one, same, other = MLP([5, 4, 3], seed=1), MLP([5, 4, 3], seed=1), MLP([5, 4, 3], seed=2)
    assert torch.equal(torch.get_rng_state(), before), "torch's global generator must not be touched"
    for layer in range(2):
        assert torch.equal(one.weights[layer], same.weights[layer])
        assert not torch.equal(one.weights[layer], other.weights[layer])
        assert torch.equal(one.biases[layer], torch.zeros_like(one.biases[layer]))


def test_drawn_weights_have_the_spread_of_he_et_al():
    net = MLP([400, 500, 300], "relu", "identity")
    assert net.weights[0].std().item() == pytest.approx(math.sqrt(2 / 400), rel=0.01)
    assert net.weights[1].std().item() == pytest.approx(math.sqrt(1 / 500), rel=0.01)
    assert abs(net.weights[0].mean().item()) < 1e-3


def test_arrays_share_the_networks_memory_and_run_the_same_network():
    net = MLP([3, 4, 2], "gelu", "tanh").double()
    x, shape = rand(5, 3).double(), arrays(net)
    Z, O = forward(shape, x.numpy())
    np.testing.assert_allclose(Z[-1], net.logits(x).detach(), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(O[-1], net(x).detach(), rtol=1e-12, atol=1e-14)
    assert [part.shape for part in O] == [(5, 3), (5, 4), (5, 2)]
    shape.biases[1][0] = 7
    assert net.biases[1][0] == 7


def test_networks_outside_main_memory_have_no_arrays():
    with pytest.raises(ValueError, match=r"runs only on a CPU; move the network with \.cpu\(\)"):
        arrays(MLP([2, 1]).to("meta"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"sizes": [3]}, "sizes must hold at least the numbers of inputs and of outputs"),
        ({"sizes": []}, "sizes must hold at least"),
        ({"sizes": [3, 0]}, "each size must be at least 1, not 0"),
        ({"sizes": [-2, 1]}, "each size must be at least 1, not -2"),
        ({"sizes": [2, 1], "activation": "sigmod"}, "did you mean 'sigmoid'"),
        ({"sizes": [2, 1], "output": "softmax"}, "Unknown activation 'softmax'"),
        ({"sizes": [2, 1], "weights": [[[1.0]]]}, r"weights must have the shapes \[\[1, 2\]\], not \[\[1, 1\]\]"),
        ({"sizes": [2, 1], "weights": [[[1.0, 1.0]]] * 2}, "weights must have the shapes"),
        ({"sizes": [2, 1], "weights": [[[1.0, math.nan]]]}, "weights must be finite"),
        ({"sizes": [2, 1], "biases": [[1.0, 2.0]]}, r"biases must have the shapes \[\[1\]\], not \[\[2\]\]"),
        ({"sizes": [2, 1], "biases": [[math.inf]]}, "biases must be finite"),
    ],
)
def test_what_does_not_fit_together_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        MLP(**arguments)


@pytest.mark.parametrize("sizes", [[2.0, 1], ["2", 1], [True, 1]])
def test_sizes_that_are_no_whole_numbers_are_refused(sizes):
    with pytest.raises(TypeError, match="each size must be a whole number"):
        MLP(sizes)


def test_sizes_may_be_numpys_whole_numbers():
    """`labels.max() + 1` of an array is one."""
    assert MLP([np.int64(3), np.int64(2)])(rand(4, 3)).shape == (4, 2)


def test_lists_and_whole_numbers_are_taken_as_the_numbers_they_are():
    net = MLP([2, 3], seed=0).double()
    exact = net(torch.tensor([[1.0, 2.0]], dtype=torch.float64))
    assert torch.equal(net([[1, 2]]), exact)
    assert torch.equal(net(torch.tensor([[1, 2]])), exact)
