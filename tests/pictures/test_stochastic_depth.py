"""Residual branches that are dropped at random: the forward without them, the draws, and pictures made so."""

import pytest
import torch
from contracts import assert_same
from photos import frozen_lite0, lite0
from torch import nn

import inputopt
from inputopt.nets.dispatch_mode import DispatchMode
from inputopt.pictures.stochastic_depth import StochasticDepth
from inputopt.search.problem import Problem

SIZE = 4


class Residual(nn.Module):
    """y = x + A x, and the logits are y + B y."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.first, self.second = nn.Linear(SIZE, SIZE), nn.Linear(SIZE, SIZE)

    def forward(self, x):
        x = x + self.first(x)
        return x + self.second(x)


class Shared(nn.Module):
    """y = x + B A x and z = y + D C y; the logits also contain A x where `shared`."""

    def __init__(self, shared):
        super().__init__()
        torch.manual_seed(1)
        self.a, self.b, self.c, self.d = (nn.Conv2d(3, 3, 3, padding=1) for _ in "abcd")
        self.norm, self.act, self.shared = nn.BatchNorm2d(3), nn.ReLU(), shared

    def forward(self, x):
        inner = self.a(x)
        y = x + self.b(inner)
        z = y + self.d(self.act(self.norm(self.c(y))))
        return (z + inner if self.shared else z).mean((2, 3))


class Convolutions(DispatchMode):
    """Counts the convolutions of a forward."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += "convolution" in str(func)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("kept", [(True, True), (True, False), (False, True), (False, False)])
def test_what_only_a_dropped_branch_uses_is_not_computed(shared, kept):
    model = Shared(shared).eval()
    net, x = inputopt.Frozen(model), torch.rand(2, 3, 8, 8, requires_grad=True)
    with net.skipping(1.0, lambda branches: kept):
        net(x)  # verifies the forward for this shape
        with Convolutions() as seen:
            outputs = net(x)
    first, second = kept
    inner = model.a(x)
    y = x + first * model.b(inner)
    z = y + second * model.d(model.act(model.norm(model.c(y))))
    expected = (z + inner if shared else z).mean((2, 3))
    torch.testing.assert_close(outputs, expected, rtol=1e-4, atol=1e-5)
    assert seen.count == (2 if first else int(shared)) + 2 * second
    torch.testing.assert_close(net(x), model(x), rtol=1e-4, atol=1e-5)
    with net.skipping(1.0, lambda branches: kept):
        torch.testing.assert_close(net.features(x, ["c"])["c"], model.c(y), rtol=1e-4, atol=1e-5)


def gradient(net, x, number):
    x = x.detach().requires_grad_()
    outputs = net(x)
    return outputs.detach(), net.gradient(outputs[:, number], x)


def operations(outputs):
    """The names of the operations of an autograd graph."""
    found, left = set(), [outputs.grad_fn]
    while left:
        node = left.pop()
        if node is not None and node not in found:
            found.add(node)
            left += [following for following, _ in node.next_functions]
    return {node.name() for node in found}


@pytest.mark.parametrize("kept", [(True, True), (True, False), (False, True), (False, False)])
def test_a_dropped_branch_adds_nothing_and_passes_no_gradient(kept):
    model = Residual().double()
    net, x, one = inputopt.Frozen(model), torch.rand(3, SIZE, dtype=torch.float64), torch.eye(SIZE).double()
    expected, jacobian = x, one
    for layer, runs in zip((model.first, model.second), kept, strict=True):
        expected = expected + runs * layer(expected)
        jacobian = (one + runs * 0.25 * layer.weight) @ jacobian
    with net.skipping(0.25, lambda branches: kept):
        outputs, grad = gradient(net, x, 2)
    torch.testing.assert_close(outputs, expected.detach(), rtol=0, atol=1e-12)
    torch.testing.assert_close(grad, jacobian[2].expand(3, SIZE).detach(), rtol=0, atol=1e-12)
    assert torch.equal(net(x), model(x))


def test_a_folded_network_drops_branches_as_the_plain_one_does_and_stays_folded():
    net, x, model = inputopt.Frozen(lite0()), torch.rand(2, 3, 64, 64), lite0()
    adding = [block for block in model.blocks if block.adds]
    kept = [number % 3 > 0 for number in range(len(adding))]
    handles = [
        block.project.register_forward_hook(lambda module, inputs, output: 0 * output)
        for block, runs in zip(adding, kept, strict=True)
        if not runs
    ]
    shown = x.clone().requires_grad_()
    try:
        expected = model(shown)
        (grad,) = torch.autograd.grad(expected[:, 7].sum(), shown)
    finally:
        for handle in handles:
            handle.remove()
    whole = net(x)
    for size in (64, 96):  # the second is new to the network
        with net.skipping(1.0, lambda branches: kept):
            outputs, found = gradient(net, x if size == 64 else torch.rand(1, 3, size, size), 7)
            with torch.no_grad():
                plain = net(x)
        if size == 64:
            torch.testing.assert_close(outputs, expected.detach(), rtol=1e-3, atol=1e-3)
            torch.testing.assert_close(found, grad, rtol=1e-2, atol=1e-4)
        torch.testing.assert_close(plain, expected.detach(), rtol=1e-3, atol=1e-3)
        with net.skipping(1.0, lambda branches: kept):
            assert "BatchNorm" not in " ".join(operations(net(x.clone().requires_grad_())))
        assert net.optimisations["folded batch norms"] == "used"
    assert not torch.allclose(whole, expected.detach(), atol=0.1)
    assert torch.equal(net(x), whole)


def drawn(depth, steps, branches):
    x, one = torch.zeros(1, 1, 1, 1), torch.zeros(1, dtype=torch.int64)
    found = []
    for index in range(steps):
        depth.transform(x, Problem(x, one, one), index)
        found.append(depth.kept(branches))
    return torch.tensor(found)


def test_later_branches_are_dropped_more_often_up_to_the_rate():
    steps, branches, rate = 4000, 5, 0.6
    found = drawn(StochasticDepth(rate, 3), steps, branches)
    expected = rate * torch.arange(1, branches + 1) / branches
    assert float(((1 - found.double().mean(0)) - expected).abs().max()) < 4 * (0.25 / steps) ** 0.5
    assert bool(drawn(StochasticDepth(0.0, 3), 50, branches).all())
    assert torch.equal(drawn(StochasticDepth(rate, 3), 50, branches), found[:50])
    assert not torch.equal(drawn(StochasticDepth(rate, 4), 50, branches), found[:50])


def test_a_picture_with_dropped_branches_is_the_same_in_a_batch_and_by_seed():
    settings = {"size": 64, "steps": 4, "restarts": 2, "drop_branches": 0.8}
    both = inputopt.visualize(frozen_lite0(), inputopt.Class([3, 985]), **settings)
    alone = inputopt.visualize(frozen_lite0(), inputopt.Class(985), **settings)
    assert_same(both[1].x, alone.x, 1e-3)
    assert alone.recipe["settings"]["drop_branches"] == 0.8
    for other in ({"drop_branches": 0.0}, {"seed": 1}):
        changed = inputopt.visualize(frozen_lite0(), inputopt.Class(985), **settings | other)
        assert float((changed.x - alone.x).abs().max()) > 0.02


def test_without_branches_they_cannot_be_dropped():
    with pytest.raises(ValueError, match="residual branches"):
        inputopt.visualize(inputopt.load("digits-cnn"), inputopt.Class(3), 28, 2, colours=1, drop_branches=0.3)
    with pytest.raises(ValueError, match="drop_branches must be at least 0 and below 1, not 1"):
        inputopt.visualize(inputopt.load("digits-cnn"), inputopt.Class(3), 28, 2, colours=1, drop_branches=1)


def test_a_picture_of_a_large_network_is_bitwise_the_same_in_any_batch_and_with_any_number_of_threads():
    net, settings = frozen_lite0(), {"size": 96, "steps": 3, "drop_branches": 0.5, "mirror": True, "initial_scale": 1.0}
    before, found = torch.get_num_threads(), []
    try:
        for threads, classes in ((1, [7, 3, 5]), (2, [3, 5, 7]), (2, 5)):
            torch.set_num_threads(threads)
            made = inputopt.visualize(net, inputopt.Class(classes), **settings)
            found.append(made if classes == 5 else made[classes.index(5)])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0].x, found[1].x)
    assert torch.equal(found[0].x, found[2].x)
