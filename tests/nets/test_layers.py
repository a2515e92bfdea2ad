"""Layers are what the module put out, and inputs what the caller gave, whoever writes to their memory afterwards."""

import pytest
import torch
from odd_networks import Net, X, assert_as_plain, seeded
from torch import nn

import inputopt
from inputopt.nets.model_errors import ModelError


# --------------------------------------------------------------------------------------------------------------- layers
class Block(nn.Module):
    """b1: a residual block in small; the next line writes to what the norm put out, and the rectifier to the sum."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn, self.relu = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(inplace=True)

    def forward(self, x):
        out = self.bn(self.conv(x))
        out += x
        return self.relu(out)


class Through(nn.Module):
    """The next line writes by way of a view, of a part, and of a tensor that shares the memory."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.head = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Linear(4, 3)

    def forward(self, x):
        y = self.one(x)
        y.flatten(2)[:, :2].mul_(2)
        z = self.two(y)
        z.transpose(2, 3).add_(1)
        return self.head(z.mean((2, 3)))


class Hidden(nn.Module):
    """Writes by tensors that share the memory, and no count of writes."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.head = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Linear(4, 3)

    def forward(self, x):
        y = self.one(x)
        y.data.mul_(2)
        z = self.two(y)
        z.data[:, :1] = 0
        return self.head(z.mean((2, 3)))


class Packed(nn.Module):
    """A layer that puts out its tensor in a tuple, as in transformers, and the next line writes to it."""

    def __init__(self):
        super().__init__()
        self.inner, self.head = Inner(), nn.Linear(6, 3)

    def forward(self, x):
        (y,) = self.inner(x.flatten(1)[:, :6])
        y *= 0
        return self.head(y)


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x):
        return (self.linear(x),)


def blocks():
    return nn.Sequential(Block(), Block(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4))


def doubled(y):
    return torch.cat([2 * y[:, :2], y[:, 2:]], 1)


CASES = {
    "norm": (blocks, "0.bn", lambda net, x: net[0].bn(net[0].conv(x))),
    "folded": (blocks, "0.conv", lambda net, x: net[0].conv(x)),
    "deeper": (blocks, "1.bn", lambda net, x: net[1].bn(net[1].conv(net[0](x)))),
    "last call": (blocks, "0.bn:last", lambda net, x: net[0].bn(net[0].conv(x))),
    "by a view": (Through, "one", lambda net, x: net.one(x)),
    "the last one by a view": (Through, "two", lambda net, x: net.two(doubled(net.one(x)))),
    "in a tuple": (Packed, "inner", lambda net, x: net.inner(x.flatten(1)[:, :6])[0]),
}


@pytest.mark.parametrize("with_more", [(), ("",)])
@pytest.mark.parametrize("case", CASES)
def test_a_layer_is_what_the_module_put_out(case, with_more):
    make, layer, plainly = CASES[case]
    net = seeded(make)
    frozen = inputopt.Frozen(net)
    for _ in range(2):  # looked at, and known
        y = X.clone().requires_grad_()
        found = frozen.features(y, [layer, *with_more])[layer]
        z = X.clone().requires_grad_()
        expected = plainly(net, z)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
        slope = frozen.gradient(found.square().flatten(1).sum(1), y)
        torch.testing.assert_close(slope, torch.autograd.grad(expected.square().sum(), z)[0], rtol=1e-4, atol=1e-5)
        with torch.no_grad():
            torch.testing.assert_close(frozen.features(X, [layer, *with_more])[layer], expected, rtol=1e-5, atol=1e-6)
    assert_as_plain(net, frozen=frozen)


def test_a_layer_is_what_was_put_out_where_nobody_counts_the_writes():
    net = seeded(Hidden)
    one = net.one(X)
    two = net.two(2 * one)
    frozen = inputopt.Frozen(net)
    torch.testing.assert_close(frozen.features(X, ["one"])["one"], one, rtol=1e-5, atol=1e-6)
    for layers in (["one", "two"], ["two", ""], ["one", ""], ["one", "two", ""]):
        found = frozen.features(X, layers)
        for layer, expected in (("one", one), ("two", two), ("", net(X))):
            if layer in found:
                torch.testing.assert_close(found[layer], expected, rtol=1e-5, atol=1e-6)


def test_layers_asked_for_together_are_what_each_is_alone():
    net = seeded(blocks)
    frozen = inputopt.Frozen(net)
    names = ["0.conv", "0.bn", "0.relu", "0", "1.bn", "1", ""]
    together = frozen.features(X, names)
    for name in names:
        alone = inputopt.Frozen(net).features(X, [name])[name]
        torch.testing.assert_close(together[name], alone, rtol=1e-5, atol=1e-6)


def test_a_model_that_catches_every_exception_is_left_early_too():
    ran = []

    class Catching(Net):
        def forward(self, x):
            try:
                y = self.body(x)
            except Exception:
                y = x.new_zeros(len(x), 8, 1, 1)
            ran.append("on")
            return self.head(y.mean((2, 3)))

    class Everything(Net):
        def forward(self, x):
            try:
                y = self.body(x)
            except:  # noqa: E722  # what some people write
                y = x.new_zeros(len(x), 8, 1, 1)
            return self.head(y.mean((2, 3)))

    for kind in (Catching, Everything):
        net = seeded(kind)
        found = inputopt.Frozen(net).features(X, ["norm", "conv"])
        torch.testing.assert_close(found["norm"], net.norm(net.conv(X)), rtol=1e-5, atol=1e-6)
    assert ran == []


# --------------------------------------------------------------------------------------------------------------- inputs
def less(x):
    return x.sub_(0.5)


def by_data(x):
    x.data.mul_(2)
    return x


def by_array(x):
    x.detach().numpy()[...] *= 2
    return x


def by_view(x):
    x.flatten(1)[:, :3] = 0
    return x


def clamped(x):
    return x.clamp_(0, 1)  # which changes nothing of inputs in the bounds


@pytest.mark.parametrize("write", [less, by_data, by_array, by_view, clamped])
def test_a_model_that_writes_to_its_inputs_does_not_reach_the_callers(write):
    """d8, and its siblings."""
    head = nn.Linear(192, 4)

    def model(x):
        return head(write(x).flatten(1))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = head

        def forward(self, x):
            return self.head(write(x).flatten(1))

    for each in (model, Model()):
        frozen = inputopt.Frozen(each, bounds=(-2, 2))
        x = X.clone()
        with torch.no_grad():
            expected = head(write(X.clone()).flatten(1))
            for _ in range(2):
                torch.testing.assert_close(frozen(x), expected)
        y = X.clone().requires_grad_()
        torch.testing.assert_close(frozen(y), expected)
        frozen.gradient(frozen(y).sum(1), y)
        for given in (x, y.detach()):
            assert torch.equal(given, X)


def test_nothing_is_copied_for_a_model_that_does_not_write():
    seen = []
    frozen = inputopt.Frozen(lambda x: (seen.append(x.data_ptr()), x.flatten(1)[:, :3])[1])
    frozen(X)
    assert seen[-1] == X.data_ptr()
    assert seen[0] != X.data_ptr(), "not do on the first call"


def test_a_model_that_writes_later_is_an_error_and_never_silent():
    class Later(nn.Module):
        calls = 0

        def forward(self, x):
            self.calls += 1
            return (x.mul_(2) if self.calls > 3 else x).flatten(1)[:, :4]

    frozen, x = inputopt.Frozen(Later()), X.clone()
    for _ in range(2):
        frozen(x)
    with pytest.raises(ModelError, match="wrote to its inputs"):
        frozen(x)
