import copy
import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from inputopt import MLP, train
from inputopt.derivatives.gradient_methods import GRADIENT_METHODS

METHODS = list(GRADIENT_METHODS)
WITHIN = {"differences": 1e-8, "one_sided": 1e-6}  # of numbers about 1; the others are exact
EXACT = 1e-12


def rand(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def network():
    net = MLP([3, 4, 2], "tanh", "sigmoid", biases=[rand(4), rand(2)], seed=1).double()
    return net, rand(6, 3), rand(6, 2, seed=2).sigmoid()


def numbers(net):
    return torch.cat([value.detach().flatten().clone() for value in net.parameters()])


def descend(net, inputs, targets, rate, steps):
    """The document's training, written out plainly."""
    for _ in range(steps):
        cost = 0.5 * (net(inputs) - targets).square().sum(1).mean()
        derivatives = torch.autograd.grad(cost, list(net.parameters()))
        with torch.no_grad():
            for parameter, derivative in zip(net.parameters(), derivatives, strict=True):
                parameter -= rate * derivative
    return net


def with_noise(net, seed=0):
    """The module with weights that do not depend on torch's global generator."""
    for index, parameter in enumerate(net.parameters()):
        parameter.data = 0.5 * rand(*parameter.shape, seed=seed + index) + 0.1
    return net.double()


def conv_net():
    layers = [nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)]
    return with_noise(nn.Sequential(*layers))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_plain_descent(method):
    """30 trainings end where a hand-written loop ends, and so where all the other methods end."""
    net, inputs, targets = network()
    expected = numbers(descend(copy.deepcopy(net), inputs, targets, 0.7, 30))
    train(net, inputs, targets, learning_rate=0.7, steps=30, method=method)
    torch.testing.assert_close(numbers(net), expected, rtol=0, atol=WITHIN.get(method, EXACT))
    assert not torch.allclose(expected, numbers(network()[0]), atol=0.05), "the loop must have gone somewhere"


@pytest.mark.parametrize("output", ["sigmoid", "identity"])
@pytest.mark.parametrize("method", ["backprop", "dual", "differences"])
def test_methods_end_together_on_cross_entropy(method, output):
    inputs = rand(6, 3)
    targets = [0, 1, 2, 2, 1, 0] if output == "identity" else rand(6, 3, seed=2).sigmoid()
    ends = []
    for way in ("autograd", method):
        net = MLP([3, 4, 3], "tanh", output, seed=1).double()
        train(net, inputs, targets, "cross_entropy", steps=20, method=way)
        ends.append(numbers(net))
    torch.testing.assert_close(*ends, rtol=0, atol=WITHIN.get(method, EXACT))


@pytest.mark.parametrize("method", METHODS)
def test_held_parameters_do_not_move_and_the_others_move_as_ever(method):
    net, inputs, targets = network()
    for bias in net.biases:
        bias.requires_grad_(False)
    held = [bias.clone() for bias in net.biases]
    for _ in range(3):
        grads = torch.autograd.grad(0.5 * (net(inputs) - targets).square().sum(1).mean(), list(net.weights))
        expected = [weight.detach() - 0.5 * grad for weight, grad in zip(net.weights, grads, strict=True)]
        train(net, inputs, targets, steps=1, method=method)
        for weight, wanted in zip(net.weights, expected, strict=True):
            torch.testing.assert_close(weight.detach(), wanted, rtol=0, atol=WITHIN.get(method, EXACT))
    assert all(torch.equal(bias, old) for bias, old in zip(net.biases, held, strict=True))


@pytest.mark.parametrize("method", METHODS)
def test_a_network_that_is_held_altogether_is_refused(method):
    with pytest.raises(ValueError, match="nothing to train"):
        train(MLP([3, 2]).requires_grad_(False), rand(4, 3), rand(4, 2), steps=2, method=method)


def test_a_module_that_is_held_altogether_is_refused():
    with pytest.raises(ValueError, match="nothing to train"):
        train(nn.Linear(3, 2).requires_grad_(False), rand(4, 3), rand(4, 2), steps=2)


@pytest.mark.parametrize("method", METHODS)
def test_mini_batches_cover_the_data_each_round_and_are_drawn_from_the_seed(method):
    def drawn(seed):
        order = []

        def watch(net, inputs, targets, index):
            assert index == len(order)
            assert torch.equal(targets[:, 0], inputs[:, 0] / 10), "each target must stay with its input"
            order.append(inputs[:, 0].int().tolist())
            return inputs

        ids = torch.arange(7.0)[:, None]
        train(MLP([1, 1]), ids, ids / 10, steps=30, batch_size=3, seed=seed, perturb=watch, method=method)
        return order

    batches = drawn(seed=5)
    assert batches == drawn(seed=5)
    assert batches != drawn(seed=6)
    assert [len(batch) for batch in batches] == [3, 3, 1] * 10
    rounds = [tuple(itertools.chain(*batches[start : start + 3])) for start in range(0, 30, 3)]
    assert all(sorted(order) == list(range(7)) for order in rounds)
    assert len(set(rounds)) == 10, "each round is drawn afresh"


def test_a_training_on_mini_batches_is_descent_on_each_batch_in_turn():
    net, inputs, targets = network()
    twin, batches = copy.deepcopy(net), []

    def watch(net, some, wanted, index):
        batches.append((some.clone(), wanted.clone()))
        return some

    train(net, inputs, targets, steps=7, batch_size=4, perturb=watch)
    for some, wanted in batches:
        descend(twin, some, wanted, 0.5, 1)
    torch.testing.assert_close(numbers(net), numbers(twin), rtol=0, atol=EXACT)


def test_a_batch_larger_than_the_data_is_all_of_it():
    net, inputs, targets = network()
    twin = copy.deepcopy(net)
    train(net, inputs, targets, steps=5, batch_size=100)
    torch.testing.assert_close(numbers(net), numbers(descend(twin, inputs, targets, 0.5, 5)), rtol=0, atol=EXACT)


@pytest.mark.parametrize("method", METHODS)
def test_a_perturbed_training_learns_from_the_perturbed_inputs(method):
    net, inputs, targets = network()
    twin = copy.deepcopy(net)
    seen = []

    def perturb(given, some, wanted, index):
        seen.append((given is net, index))
        return some + 0.3

    train(net, inputs, targets, steps=5, perturb=perturb, method=method)
    expected = numbers(descend(twin, inputs + 0.3, targets, 0.5, 5))
    torch.testing.assert_close(numbers(net), expected, rtol=0, atol=WITHIN.get(method, EXACT))
    assert seen == [(True, index) for index in range(5)]


def test_any_module_is_trained_by_autograd():
    net, images, targets = conv_net(), rand(6, 1, 4, 4), rand(6, 3, seed=1)
    twin = descend(copy.deepcopy(net), images, targets, 0.1, 9)
    history = train(net, images, targets, learning_rate=0.1, steps=9)
    torch.testing.assert_close(numbers(net), numbers(twin), rtol=0, atol=1e-11)
    assert history.layers == ("0", "1", "4")


def test_batch_statistics_are_those_of_the_trainings_alone():
    """Taking samples of a training must not teach the network anything."""
    net, images, targets = conv_net(), rand(6, 1, 4, 4), rand(6, 3, seed=1)
    twin = descend(copy.deepcopy(net), images, targets, 0.1, 9)
    train(net, images, targets, learning_rate=0.1, steps=9, stop_error=1e-9)
    assert net[1].num_batches_tracked.item() == 9
    torch.testing.assert_close(net[1].running_mean, twin[1].running_mean)
    torch.testing.assert_close(net[1].running_var, twin[1].running_var)


def test_batch_norm_after_a_linear_layer_is_no_obstacle():
    """A single example has no batch statistics: the check of the network must not ask for them."""
    net = with_noise(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2)))
    assert train(net, rand(6, 3), rand(6, 2), steps=20).error[-1] > 0


@pytest.mark.parametrize("training", [False, True])
def test_modules_train_in_training_mode_and_end_in_the_mode_they_had(training):
    net, modes = conv_net().train(training), []

    def watch(net, inputs, targets, index):
        modes.append(net.training and net[1].training)
        return inputs

    train(net, rand(6, 1, 4, 4), rand(6, 3), steps=2, perturb=watch)
    assert modes == [True, True]
    assert {module.training for module in net.modules()} == {training}


def test_a_frozen_batch_norm_is_not_revived():
    net = conv_net().train()
    net[1].eval()
    train(net, rand(6, 1, 4, 4), rand(6, 3), steps=2)
    assert [module.training for module in net] == [True, False, True, True, True]


def test_modes_are_restored_when_a_training_fails():
    net = conv_net().eval()
    with pytest.raises(ZeroDivisionError):
        train(net, rand(6, 1, 4, 4), rand(6, 3), steps=2, perturb=lambda *_: 1 / 0)
    assert not any(module.training for module in net.modules())


@pytest.mark.parametrize("optimiser", ["descent", "adam"])
@pytest.mark.parametrize("method", METHODS)
def test_training_leaves_no_gradients_and_touches_no_global_generator(method, optimiser):
    net, inputs, targets = network()
    net.weights[0].grad = torch.full_like(net.weights[0], 7)
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    train(net, inputs, targets, steps=3, batch_size=4, method=method, optimiser=optimiser)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()
    assert [parameter.grad is None for parameter in net.parameters()] == [False, True, True, True]
    assert net.weights[0].grad.eq(7).all()


def test_a_training_works_where_torch_is_told_not_to_track():
    net, inputs, targets = network()
    twin = copy.deepcopy(net)
    with torch.no_grad():
        train(net, inputs, targets, steps=3)
    train(twin, inputs, targets, steps=3)
    assert torch.equal(numbers(net), numbers(twin))


GOOD = {"inputs": [[0.0, 1.0, 2.0]], "targets": [[0.0, 1.0]], "steps": 3}
BAD = [
    ({"inputs": [[0.0, 1.0]]}, "inputs must have 3 numbers per example, not "),
    ({"inputs": [], "targets": []}, "at least one example"),
    ({"inputs": [[0.0, math.nan, 0.0]]}, "inputs must be finite"),
    ({"targets": [[0.0, math.inf]]}, "targets must be finite"),
    ({"targets": [[0.0]]}, "targets must have shape"),
    ({"targets": [[0.0, 1.0]] * 2}, "targets must have shape"),
    ({"targets": [[0.0, 1.5]], "cost": "cross_entropy"}, r"must lie in \[0, 1\]"),
    ({"cost": "hinge"}, "Unknown cost 'hinge'"),
    ({"method": "newton"}, "Unknown method 'newton'"),
    ({"optimiser": "adamm"}, "Unknown optimiser 'adamm'; did you mean 'adam'"),
    ({"learning_rate": 0}, "learning_rate must be a finite number above 0, not 0"),
    ({"learning_rate": -0.5}, "learning_rate must be a finite number above 0"),
    ({"learning_rate": math.nan}, "learning_rate must be a finite number above 0"),
    ({"steps": 0}, "steps must be at least 1, not 0"),
    ({"stop_error": -1.0}, "stop_error must be "),
    ({"stop_error": math.nan}, "stop_error must be "),
    ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
    ({"batch_size": -3}, "batch_size must be at least 1"),
]
BAD_TYPES = [
    ({"inputs": "words"}, "inputs must be a tensor"),
    ({"targets": None}, "targets must be a tensor"),
    ({"learning_rate": "fast"}, "learning_rate must be a number, not str"),
    ({"steps": 2.5}, "steps must be a whole number, not float"),
    ({"batch_size": 1.0}, "batch_size must be a whole number, not float"),
]


@pytest.mark.parametrize(
    ("kind", "options", "words"), [(ValueError, *bad) for bad in BAD] + [(TypeError, *bad) for bad in BAD_TYPES]
)
def test_bad_settings_are_refused_in_one_sentence_before_anything_moves(kind, options, words):
    net = MLP([3, 2], seed=4).eval()
    with pytest.raises(kind, match=words) as caught:
        train(net, **(GOOD | options))
    assert "\n" not in str(caught.value)
    assert torch.equal(numbers(net), numbers(MLP([3, 2], seed=4)))
    assert not net.training


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "backprop"}, "supports inputopt.MLP only; use method='autograd'"),
        ({"targets": rand(6, 2)}, r"targets must have shape \[6, 3\]"),
        ({"targets": [0, 1, 2, 3, 0, 0], "cost": "cross_entropy"}, r"must lie in 0\.\.2"),
        ({"inputs": rand(6, 1, 5, 5)}, "inputs"),
        ({"inputs": rand(6, 16)}, "inputs"),
    ],
)
def test_a_module_is_not_touched_by_what_does_not_fit_it(options, words):
    """Nor are its batch statistics."""
    net = conv_net()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(ValueError, match=words):
        train(net, **({"inputs": rand(6, 1, 4, 4), "targets": rand(6, 3), "steps": 2} | options))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_a_module_must_return_one_number_a_class():
    for net in (nn.Conv2d(1, 2, 3), nn.LSTM(3, 2)):
        inputs = rand(6, 1, 4, 4) if isinstance(net, nn.Conv2d) else rand(6, 3)
        with pytest.raises(ValueError, match=r"must return one tensor of logits \[B, n\]"):
            train(net.double(), inputs, rand(6, 2), steps=1)


def test_nan_weights_and_networks_without_any_are_refused():
    net, inputs, targets = network()
    net.biases[1].data[0] = math.nan
    with pytest.raises(ValueError, match="the network's weights must be finite"):
        train(net, inputs, targets)
    with pytest.raises(ValueError, match="nothing to train"):
        train(nn.Flatten(), inputs, targets)
    with pytest.raises(TypeError, match="network"):
        train("net", inputs, targets)


# --------------------------------------------------------------------------------------------------------- own losses
def test_a_loss_of_ones_own_is_what_is_minimised():
    seen = []

    def loss(net, inputs, targets, index):
        seen.append((index, len(inputs)))
        return torch.nn.functional.mse_loss(net(inputs), targets, reduction="sum") * (0.5 / len(targets))

    inputs, targets = rand(6, 3), rand(6, 2)
    nets = [MLP([3, 4, 2], "tanh", "identity", seed=3) for _ in range(2)]
    train(nets[0], inputs, targets, steps=8, batch_size=4, loss=loss)
    train(nets[1], inputs, targets, steps=8, batch_size=4)
    assert seen == [(index, 4 if index % 2 == 0 else 2) for index in range(8)]
    assert all(
        torch.allclose(one, other) for one, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True)
    )


def test_a_loss_works_with_a_full_batch_too():
    net = MLP([1, 1], "identity", weights=[[[1.0]]], biases=[[0.0]])
    train(net, [[1.0]], [[0.0]], steps=1, learning_rate=0.25, loss=lambda net, *_: (net.weights[0] ** 2).sum())
    assert net.weights[0].item() == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": lambda *_: torch.zeros(2)}, "loss must return a number"),
        ({"loss": lambda *_: torch.zeros(())}, "depends on the network's parameters"),
        ({"loss": lambda *_: 0.0, "method": "dual"}, "loss= needs method='autograd'"),
    ],
)
def test_a_wrong_loss_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        train(MLP([1, 1]), [[1.0]], [[0.0]], steps=2, **settings)


def test_class_numbers_for_a_cost_of_numbers_name_the_cost_of_classes():
    net = MLP([3, 4, 2], "tanh", seed=0)
    with pytest.raises(ValueError, match=r"not \[5\]; class numbers need output='identity' and cost='cross_entropy'\."):
        train(net, torch.rand(5, 3), [0, 1, 0, 1, 1], steps=1)
