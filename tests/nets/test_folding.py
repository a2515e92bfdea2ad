"""Batch norms folded away: the same answers from the same names, and nothing folded that must not be."""

import pytest
import torch
from contracts import assert_same
from torch import nn

import inputopt
from inputopt.nets.inference.folding import folded, prefers_channels_last


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
            return self.head(x.mean((2, 3)))
        first = torch.relu(self.norm1(self.conv1(x)))
        second = self.conv2(first)
        return self.head(self.norm3(torch.relu(self.norm2(second)) + first).mean((2, 3)))


def made(branch=False):
    torch_state = torch.random.get_rng_state()
    torch.manual_seed(0)
    net = Blocks(branch).double()
    for norm in (net.norm1, net.norm2, net.norm3):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        norm.weight.data.normal_()
    x = torch.rand(6, 3, 8, 8, dtype=torch.float64)
    torch.random.set_rng_state(torch_state)
    return net.eval(), x


def test_folded_answers_and_gradients_are_the_same():
    net, x = made()
    fast, names = folded(net)
    assert names == {"conv1", "conv2"}
    assert isinstance(fast.norm1, nn.Identity)
    assert isinstance(fast.norm3, nn.BatchNorm2d), "it does not follow a convolution"
    assert isinstance(net.norm1, nn.BatchNorm2d), "the model itself stays"
    torch.testing.assert_close(fast(x), net(x), rtol=1e-12, atol=1e-12)
    slopes = [torch.autograd.grad(model(y := x.clone().requires_grad_()).square().sum(), y)[0] for model in (net, fast)]
    torch.testing.assert_close(*slopes, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("layer", ["conv1", "norm1", "conv2", "norm2", "norm3", "head"])
def test_every_layer_still_puts_out_what_its_name_says(layer):
    net, x = made()
    caught = []
    handle = net.get_submodule(layer).register_forward_hook(lambda module, inputs, output: caught.append(output))
    net(x)
    handle.remove()
    torch.testing.assert_close(inputopt.Frozen(net).features(x, [layer])[layer], caught[0], rtol=1e-10, atol=1e-12)


def test_what_cannot_be_traced_works_unfolded():
    net, x = made(branch=True)
    assert folded(net) == (net, frozenset())
    torch.testing.assert_close(inputopt.Frozen(net)(x), net(x))


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
    fast, names = folded(net)
    assert names == {"conv1", "conv2", "conv3", "norm1"}
    assert (fast.act1.inplace, fast.act2.inplace, fast.twice.inplace) == (True, False, False)
    x = torch.rand(2, 3, 6, 6, requires_grad=True)
    caught = []
    net.norm1.register_forward_hook(lambda module, inputs, output: caught.append(output))
    torch.testing.assert_close(fast(x), net(x))
    frozen = inputopt.Frozen(net)
    found = frozen.features(x, ["norm1", "act1"])
    torch.testing.assert_close(found["norm1"], caught[0])
    assert bool((found["norm1"] < 0).any())
    slopes = [torch.autograd.grad(model(x).square().sum(), x)[0] for model in (net, fast)]
    torch.testing.assert_close(*slopes)


@pytest.mark.parametrize("kind", [nn.ReLU, nn.ReLU6])
def test_a_rectifier_that_writes_over_a_norm_keeps_its_derivative_and_its_hooks(kind):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), kind(), nn.Conv2d(4, 2, 3)).eval()
    net[0].bias.data.copy_(torch.tensor([-0.5, 0.0, 3.0, 6.0]))  # units at rest, at work, and as far as ReLU6 goes
    caught = []
    net[2].register_forward_hook(lambda module, inputs, output: caught.append(output.clone()))
    fast, _ = folded(net)
    x = torch.rand(2, 3, 9, 9, requires_grad=True)
    slopes = [torch.autograd.grad(model(x).square().sum(), x)[0] for model in (net, fast)]
    torch.testing.assert_close(*slopes)
    torch.testing.assert_close(*caught)
    overwritten = []
    fast[1].register_forward_hook(lambda module, inputs, output: overwritten.append(output))
    fast(x)
    assert_same(overwritten[0], caught[2])


def test_a_convolution_used_twice_or_seen_by_others_is_not_folded():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

        def forward(self, x):
            return self.norm(self.conv(self.conv(x)))

    class Seen(Twice):
        def forward(self, x):
            kept = self.conv(x)
            return self.norm(kept) + kept

    for net in (Twice().eval(), Seen().eval()):
        assert folded(net) == (net, frozenset())


def test_convolutions_of_images_run_with_the_channels_last():
    net, x = made()
    assert prefers_channels_last(net)
    assert not prefers_channels_last(inputopt.MLP([4, 2]))
    torch.testing.assert_close(inputopt.Frozen(net)(x), net(x), rtol=1e-10, atol=1e-12)
