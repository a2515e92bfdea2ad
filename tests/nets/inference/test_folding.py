"""Batch norms folded away: the same answers from the same names, and nothing folded that must not be."""

import copy

import pytest
import torch
from contracts import assert_same
from torch import nn

import inputopt
from inputopt.nets.inference.folding import prefers_channels_last

FOLDED_NORMS, INPLACE_RELUS = "folded batch norms", "in-place rectifiers"


class Blocks(nn.Module):
    """Two convolutions with norms, a residual sum, and a norm that does not follow a convolution."""

    def __init__(self, branch=False):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.conv2, self.norm2 = nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.BatchNorm2d(4)
        self.norm3 = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 5)
        self.branch = branch

    def forward(self, x):
        if self.branch and x.sum() > 1e9:
            return self.head(self.conv1(x).mean((2, 3)))
        first = torch.relu(self.norm1(self.conv1(x)))
        second = self.conv2(first)
        return self.head(self.norm3(torch.relu(self.norm2(second)) + first).mean((2, 3)))


def with_statistics(net, seed=0):
    """The network in float64, with statistics as after a training."""
    generator = torch.Generator().manual_seed(seed)
    net = net.double().eval()
    for norm in (module for module in net.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)):
        norm.running_mean.normal_(generator=generator)
        norm.running_var.uniform_(0.5, 2, generator=generator)
        norm.weight.data.normal_(generator=generator)
    return net


def made(branch=False):
    torch_state = torch.random.get_rng_state()
    torch.manual_seed(0)
    net = with_statistics(Blocks(branch))
    torch.random.set_rng_state(torch_state)
    return net, torch.rand(6, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def pairs_of(frozen):
    """(convolution, norm, rectifier or None) by name, of what was folded."""
    names = {id(module): name for name, module in frozen._network.runner.model.named_modules()}
    found = frozen._network._rewrites._pairs.values()
    return {
        (names[id(pair.convolution)], names[id(pair.norm)], names.get(id(pair.rectifier)) if pair.rectifier else None)
        for pair in found
    }


def slopes(model, x, derive):
    y = x.clone().requires_grad_()
    return derive(model(y).square().sum(1), y)


def plainly(value, y):
    return torch.autograd.grad(value.sum(), y)[0]


def test_folded_answers_and_gradients_are_the_same():
    net, x = made()
    frozen = inputopt.Frozen(net)
    torch.testing.assert_close(frozen(x), net(x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(slopes(frozen, x, frozen.gradient), slopes(net, x, plainly), rtol=1e-10, atol=1e-12)
    assert pairs_of(frozen) == {("conv1", "norm1", None), ("conv2", "norm2", None)}
    assert frozen.optimisations[FOLDED_NORMS] == "used"
    assert frozen.optimisations[INPLACE_RELUS] == "not used: no output of a folded batch norm is read by a ReLU only"


def test_no_module_is_exchanged():
    net, x = made()
    frozen = inputopt.Frozen(net)
    frozen(x)
    model = frozen._network.runner.model
    assert [type(module) for module in model.modules()] == [type(module) for module in net.modules()]
    assert_same(dict(model.state_dict()), dict(net.state_dict()))
    torch.testing.assert_close(model(x), net(x), rtol=0, atol=0)  # called by itself it is the plain network


@pytest.mark.parametrize("layer", ["conv1", "norm1", "conv2", "norm2", "norm3", "head"])
def test_every_layer_still_puts_out_what_its_name_says(layer):
    net, x = made()
    caught = []
    handle = net.get_submodule(layer).register_forward_hook(lambda module, inputs, output: caught.append(output))
    net(x)
    handle.remove()
    frozen = inputopt.Frozen(net)
    frozen(x)
    torch.testing.assert_close(frozen.features(x, [layer])[layer], caught[0], rtol=1e-10, atol=1e-12)
    assert pairs_of(frozen) == {("conv1", "norm1", None), ("conv2", "norm2", None)}, "the others stay folded"


class Wrapped(nn.Module):
    """Convolutions that end modules of other names: theirs is the output as well."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout())  # which lets the very tensor pass
        self.norm, self.head = nn.BatchNorm2d(4), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.norm(self.stem(x)).mean((2, 3)))


@pytest.mark.parametrize("first", ["", "norm"])
@pytest.mark.parametrize("layer", ["stem", "stem.0", "stem.1"])
def test_what_ends_in_a_folded_convolution_puts_out_what_its_name_says(layer, first):
    net, x = with_statistics(Wrapped()), torch.rand(3, 3, 6, 6, dtype=torch.float64)
    frozen = inputopt.Frozen(net)
    frozen.features(x, [first])
    assert pairs_of(frozen) == {("stem.0", "norm", None)}
    torch.testing.assert_close(frozen.features(x, [layer])[layer], net.stem(x), rtol=1e-10, atol=1e-12)


def test_what_decides_by_numbers_works_unfolded():
    net, x = made(branch=True)
    frozen = inputopt.Frozen(net)
    torch.testing.assert_close(frozen(x), net(x))
    assert "control flow depends on values" in frozen.optimisations[FOLDED_NORMS]
    assert pairs_of(frozen) == {("conv1", "norm1", None), ("conv2", "norm2", None)}
    assert frozen.optimisations["channels last"] == "used"
    bright = torch.full_like(x, 1e8)
    torch.testing.assert_close(frozen(bright), net(bright))


class Rectified(nn.Module):
    """A ReLU that alone sees a folded norm, one whose norm is seen by others too, and one that is called twice."""

    def __init__(self):
        super().__init__()
        self.conv1, self.norm1, self.act1 = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()
        self.conv2, self.norm2, self.act2 = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.ReLU6()
        self.conv3, self.norm3, self.twice = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.ReLU()

    def forward(self, x):
        x = self.act1(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(x))
        x = self.act2(y) + y
        return self.twice(self.twice(self.norm3(self.conv3(x))) - 0.1).mean((2, 3))


def test_a_relu_writes_over_a_norm_that_nobody_else_sees():
    net = Rectified().eval()
    for norm in (net.norm1, net.norm2, net.norm3):
        norm.running_mean.fill_(-0.2)
    x = torch.rand(2, 3, 6, 6, requires_grad=True)
    caught = []
    handle = net.norm1.register_forward_hook(lambda module, inputs, output: caught.append(output))
    expected = net(x)
    handle.remove()
    frozen = inputopt.Frozen(net)
    torch.testing.assert_close(frozen(x), expected)
    assert pairs_of(frozen) == {("conv1", "norm1", "act1"), ("conv2", "norm2", None), ("conv3", "norm3", None)}
    assert frozen.optimisations[INPLACE_RELUS] == "used"
    for each in (frozen, inputopt.Frozen(net)):
        found = each.features(x, ["norm1", "act1"])
        torch.testing.assert_close(found["norm1"], caught[0])
        assert bool((found["norm1"] < 0).any())
        assert each.optimisations[INPLACE_RELUS] == "used"
    torch.testing.assert_close(slopes(frozen, x, frozen.gradient), slopes(net, x, plainly))


@pytest.mark.parametrize("kind", [nn.ReLU, nn.ReLU6])
def test_a_rectifier_that_writes_over_a_norm_keeps_its_derivative_and_its_hooks(kind):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), kind(), nn.Conv2d(4, 2, 3), nn.Flatten()).eval()
    net[0].bias.data.copy_(torch.tensor([-0.5, 0.0, 3.0, 6.0]))  # units at rest, at work, and as far as ReLU6 goes
    x = torch.rand(2, 3, 9, 9, requires_grad=True)
    expected, slope = net(x), slopes(net, x, plainly)
    frozen = inputopt.Frozen(net)
    torch.testing.assert_close(frozen(x), expected)
    assert pairs_of(frozen) == {("0", "1", "2")}
    torch.testing.assert_close(slopes(frozen, x, frozen.gradient), slope)
    caught = []
    frozen._network.runner.model[1].register_forward_hook(lambda module, inputs, output: caught.append(output))
    rectified = frozen.features(x, ["2"])["2"]
    assert_same(caught[-1], rectified)  # what the norm put out was written over
    watched = copy.deepcopy(net)
    seen = []
    watched[2].register_forward_hook(lambda module, inputs, output: seen.append(float(output.detach().sum())))
    again = inputopt.Frozen(watched)
    torch.testing.assert_close(again(x), expected)
    assert pairs_of(again) == {("0", "1", None)}, "a hook watches it"
    assert len(set(seen)) <= 2, "of two rows, and of all"


class Reused(nn.Module):
    """One convolution, one norm, and several ways to do more with them."""

    def __init__(self, forward, padding=0):
        super().__init__()
        self.conv, self.norm, self.act = nn.Conv2d(3, 3, 3, padding=padding), nn.BatchNorm2d(3), nn.ReLU()
        self.way = forward

    def forward(self, x):
        return self.way(self, x).mean((2, 3))


def seen_by_a_mask(net, x):
    kept = net.conv(x)
    return net.norm(kept) * (kept.detach() > 0)


NOT_FOLDED = {
    "convolution called twice": lambda net, x: net.norm(net.conv(net.conv(x))),
    "norm called twice": lambda net, x: net.norm(net.norm(net.conv(x))),
    "seen by a sum": lambda net, x: net.norm(kept := net.conv(x)) + kept,
    "seen without a derivative": seen_by_a_mask,
    "a copy in between": lambda net, x: net.norm(net.conv(x).clone()),
    "written to in between": lambda net, x: net.norm(net.conv(x).add_(1)),
    "rectified in between": lambda net, x: net.norm(net.act(net.conv(x))),
}


@pytest.mark.parametrize("way", NOT_FOLDED)
def test_a_convolution_used_twice_or_seen_by_others_is_not_folded(way):
    net, x = with_statistics(Reused(NOT_FOLDED[way], 1)), torch.rand(2, 3, 6, 6, dtype=torch.float64)
    frozen = inputopt.Frozen(net)
    torch.testing.assert_close(frozen(x), net(x), rtol=1e-12, atol=1e-12)
    assert pairs_of(frozen) == set()
    assert frozen.optimisations[FOLDED_NORMS] == "not used: no convolution output is read by a batch norm only"


def test_convolutions_of_images_run_with_the_channels_last():
    net, x = made()
    assert prefers_channels_last(net)
    assert not prefers_channels_last(inputopt.MLP([4, 2]))
    frozen = inputopt.Frozen(net)
    torch.testing.assert_close(frozen(x), net(x), rtol=1e-10, atol=1e-12)
    last = frozen.features(x, ["norm2"])["norm2"]
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert not last.is_contiguous()
