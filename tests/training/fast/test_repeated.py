"""A derivative that is written down once is the derivative, wherever the weights have moved since."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from inputopt import MLP, train
from inputopt.derivatives.gradient_methods import GRADIENT_METHODS
from inputopt.nets.activations import ACTIVATIONS
from inputopt.nets.costs import find_cost
from inputopt.training.fast.repeated import repeated
from inputopt.training.fast.replay import recorded_graph
from inputopt.training.fast.tape import Tape, taped

ENDS = [("mse", output) for output in ACTIVATIONS] + [("cross_entropy", "sigmoid"), ("cross_entropy", "identity")]


def rand(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def bound(method, cost, output, activation="tanh", hold=False):
    """A way bound to a network of three layers, and a batch in its form."""
    net = MLP([3, 4, 3, 2], activation, output, biases=[rand(4), rand(3), rand(2)], seed=1)
    net.biases[1].requires_grad_(not hold)
    targets = torch.tensor([0, 1, 1, 0, 1]) if output == "identity" and cost != "mse" else rand(5, 2, seed=2).sigmoid()
    way = GRADIENT_METHODS[method](net, find_cost(cost, output))
    return net, way, way.native(rand(5, 3), targets)


def move(net, seed):
    with torch.no_grad():
        for index, parameter in enumerate(net.parameters()):
            parameter += rand(*parameter.shape, seed=10 * seed + index)


@np.errstate(all="ignore")  # as in a training
@pytest.mark.parametrize(
    ("activation", "cost", "output"),  # every activation, and every end, with one of the others
    [*((each, *ENDS[0]) for each in ACTIVATIONS), *(("tanh", *end) for end in ENDS[1:])],
)
@pytest.mark.parametrize("method", ["autograd", "backprop"])
def test_it_follows_the_weights(method, activation, cost, output):
    for hold in (False, True):
        assert_follows(*bound(method, cost, output, activation, hold), held=hold)


def assert_follows(net, way, batch, held):
    again, plain = repeated(way, *batch), lambda: way.step(*batch)
    for seed in range(3):
        move(net, seed)
        expected, found = ([torch.as_tensor(each).clone() for each in step()] for step in (plain, again))
        assert len(found) == len(way.parameters) == 6 - held
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("method", GRADIENT_METHODS)
def test_every_way_may_be_repeated(method):
    net, way, batch = bound(method, "mse", "sigmoid")
    again = repeated(way, *batch)
    move(net, 1)
    for ours, theirs in zip(again(), way.step(*batch), strict=True):
        torch.testing.assert_close(torch.as_tensor(ours), torch.as_tensor(theirs), rtol=1e-6, atol=1e-9)


def test_what_is_written_down_leaves_autograd_out():
    _, way, batch = bound("autograd", "mse", "sigmoid")
    again = repeated(way, *batch)
    assert again is not way.step
    with torch.autograd.profiler.profile() as profile:
        again()
    ran = {event.name for event in profile.function_events}
    assert "aten::mm" in ran
    assert "aten::mse_loss" not in ran, "the cost itself is not asked for"
    assert "aten::ones_like" not in ran, "what never changes is not computed again"
    assert not any("Backward0" in name for name in ran)
    assert all(not found.requires_grad for found in again())


def test_writing_down_loads_no_compiler():
    script = (
        "import sys, inputopt;"
        "inputopt.train(inputopt.MLP([1, 1]), [[1.0]], [[0.0]], steps=2);"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0, "it takes seconds"


@pytest.mark.parametrize(
    "cost", [lambda w: (w * torch.rand(1)).sum(), lambda w: (w * w.item()).sum()], ids=["chance", "a number read"]
)
def test_what_cannot_be_written_down_is_found_by_autograd_each_time(cost):
    weight = torch.tensor([3.0], requires_grad=True)

    def derivatives(cost):
        return lambda: torch.autograd.grad(cost(weight), [weight])

    can = derivatives(lambda w: (w * w).sum())
    assert recorded_graph(can, [weight.detach()]) is not can
    cannot = derivatives(cost)
    assert recorded_graph(cannot, [weight.detach()]) is cannot
    assert weight.item() == 3.0


def test_a_module_that_is_not_an_mlp_may_do_something_else_each_time():
    class Moody(torch.nn.Linear):
        calls = 0

        def forward(self, x):
            Moody.calls += 1
            return super().forward(x)

    net = Moody(2, 1)
    train(net, rand(4, 2), rand(4, 1), steps=30)
    assert Moody.calls > 30


def test_a_tape_holds_only_what_its_results_need():
    def function(x, y):
        unused = np.exp(x) * 3
        z = x * y
        assert unused is not None
        return [z + 1]

    x, y = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    tape = taped(function, x, y)
    assert [run for run, _ in tape.calls] == [np.multiply, np.add]
    x[:] = [5.0, 6.0]
    result = tape()
    assert result[0].tolist() == [16.0, 25.0]
    assert tape()[0] is result[0], "into the same memory"


def test_a_tape_copies_what_has_no_place_for_its_result():
    def function(x):
        return [np.where(x > 0, x, -x).sum(0), np.logaddexp.reduce(x, axis=0), x.max(-1, keepdims=True)]

    x = np.array([[1.0, -2.0], [3.0, -4.0]])
    tape = taped(function, x)
    x[:] = [[-1.0, 2.0], [0.5, 8.0]]
    for found, expected in zip(tape(), function(x), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_training_by_a_tape_is_one_list_of_calls_and_the_same_training():
    taped_net, way, batch = bound("backprop", "mse", "sigmoid")
    assert isinstance(repeated(way, *batch), Tape)
    plain, _, _ = bound("backprop", "mse", "sigmoid")
    inputs, targets = (torch.from_numpy(each) for each in batch)
    train(taped_net, inputs, targets, steps=50, method="backprop")
    train(plain, inputs, targets, steps=50, method="backprop", perturb=lambda net, x, y, index: x)  # never written down
    for one, other in zip(taped_net.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)  # the examples are added up in another order


def test_a_batch_is_not_written_to():
    _, way, batch = bound("backprop", "cross_entropy", "identity")
    before = [array.copy() for array in batch]
    repeated(way, *batch)()
    for array, kept in zip(batch, before, strict=True):
        np.testing.assert_array_equal(array, kept)
