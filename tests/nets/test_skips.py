"""Residual branches, and derivatives that go round them."""

import pytest
import torch
from torch import nn

import inputopt
from inputopt.nets.skips import branches

SIZE = 4


class Residual(nn.Module):
    """y = x + A x, and the logits are y + B y; `added` is how."""

    def __init__(self, added=lambda branch, skip: skip + branch):
        super().__init__()
        self.first, self.norm, self.second = nn.Linear(SIZE, SIZE), nn.Identity(), nn.Linear(SIZE, SIZE)
        self.added = added

    def forward(self, x):
        x = self.added(self.norm(self.first(x)), x)
        return self.added(self.second(x), x)


class Convolved(nn.Module):
    """A block whose norm is folded and whose sum is written over, as in many residual networks; a strided one."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norm, self.act = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU()
        self.down, self.short = nn.Conv2d(3, 3, 2, stride=2), nn.Conv2d(3, 3, 1, stride=2)

    def forward(self, x):
        y = self.norm(self.convolution(x))
        y += x
        y = self.act(y)
        y = self.down(y) + self.short(y)
        return y.mean((2, 3))


def jacobian(net, x):
    x = x.detach().requires_grad_()
    outputs = net(x)
    return torch.stack([net.gradient(outputs[:, row], x, keep=True)[0] for row in range(outputs.shape[1])])


def in_place(branch, skip):
    branch += skip
    return branch


@pytest.mark.parametrize("added", [lambda branch, skip: skip + branch, in_place, lambda a, b: torch.add(a, b)])
@pytest.mark.parametrize("share", [1.0, 0.5, 0.01])
def test_only_a_share_of_the_derivative_passes_the_branches(added, share):
    model = Residual(added).double()
    net, x = inputopt.Frozen(model), torch.rand(1, SIZE, dtype=torch.float64)
    one = torch.eye(SIZE, dtype=torch.float64)
    with net.skipping(share):
        found, outputs = jacobian(net, x), net(x)
    expected = (one + share * model.second.weight) @ (one + share * model.first.weight)
    torch.testing.assert_close(found, expected.detach(), rtol=0, atol=1e-12)
    assert torch.equal(outputs, net(x))


def test_a_folded_network_skips_as_the_whole_one_does():
    torch.manual_seed(0)
    model = Convolved().eval()
    model.norm.running_mean.normal_()
    model.norm.running_var.uniform_(0.5, 2)
    net, x = inputopt.Frozen(model), torch.rand(1, 3, 6, 6)
    assert net._fast is not net._model
    shown = x.clone().requires_grad_()
    y = model.norm(model.convolution(shown))
    y = model.act(0.25 * y + 0.75 * y.detach() + shown)
    (expected,) = torch.autograd.grad((model.down(y) + model.short(y)).mean((2, 3))[0, 1], shown)
    with net.skipping(0.25):
        torch.testing.assert_close(jacobian(net, x)[1], expected[0], rtol=1e-4, atol=1e-6)


def test_branches_of_an_efficientnet_are_those_that_are_added():
    net = inputopt.load("efficientnet-lite0")
    adding = [f"blocks.{number}.project.act" for number, block in enumerate(net.blocks) if block.adds]
    assert len(adding) == 9
    assert branches(net) == adding


def test_a_skip_that_is_a_module_has_no_branch_beside_it():
    assert branches(Convolved()) == ["norm"]


def test_a_module_that_is_called_elsewhere_too_is_no_branch():
    class Twice(Residual):
        def forward(self, x):
            x = x + self.first(x)
            return self.first(x) + self.second(self.norm(x))

    class Read(Residual):
        def forward(self, x):
            y = self.first(x)
            return x + y + y.sin()

    assert branches(Twice()) == []
    assert branches(Read()) == []


def hooks(net):
    return [module for model in (net._model, net._fast) for module in model.modules() if module._forward_hooks]


def test_no_hook_is_left_whatever_happens():
    net, x = inputopt.Frozen(Residual().double()), torch.rand(1, SIZE, dtype=torch.float64)
    plain = jacobian(net, x)

    def stopped():
        with net.skipping(0.5):
            assert hooks(net)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert not hooks(net)
    assert torch.equal(jacobian(net, x), plain)


class Deciding(Residual):
    def forward(self, x):
        return super().forward(x) if float(x.sum()) > 0 else x


@pytest.mark.parametrize("model", [nn.Linear(2, 2), Deciding(), lambda x: x])
def test_a_model_without_known_branches_is_refused(model):
    net = inputopt.Frozen(model)
    with net.skipping(1.0):
        pass
    with pytest.raises(ValueError, match="leave branches at 1"), net.skipping(0.5):
        pass


@pytest.mark.parametrize("share", [0, -1, 1.5, float("nan")])
def test_a_share_is_above_0_and_at_most_1(share):
    with pytest.raises(ValueError, match="branches"), inputopt.Frozen(Residual()).skipping(share):
        pass
