"""Residual branches, and derivatives that go round them."""

import pytest
import torch
from contracts import drawn
from torch import nn

import inputopt

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


def branches(model, x):
    """The names of the modules that residual branches are seen to end in."""
    net = inputopt.Frozen(model)
    net(x)
    names = {module: name for name, module in net._network.runner.model.named_modules()}
    return [names[branch.end] for branch in net._network._branches]


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
    shown = x.clone().requires_grad_()
    y = model.norm(model.convolution(shown))
    y = model.act(0.25 * y + 0.75 * y.detach() + shown)
    (expected,) = torch.autograd.grad((model.down(y) + model.short(y)).mean((2, 3))[0, 1], shown)
    with net.skipping(0.25):
        torch.testing.assert_close(jacobian(net, x)[1], expected[0], rtol=1e-4, atol=1e-6)
    assert net.optimisations["folded batch norms"] == "used"


def test_branches_of_an_efficientnet_are_those_that_are_added():
    net = inputopt.load("efficientnet-lite0")
    adding = [f"blocks.{number}.project.act" for number, block in enumerate(net.blocks) if block.adds]
    assert len(adding) == 9
    assert branches(net, torch.full((1, 3, 32, 32), 0.5)) == adding


def test_a_skip_that_is_a_module_has_no_branch_beside_it():
    assert branches(Convolved(), torch.rand(2, 3, 6, 6)) == ["norm"]


class Attends(nn.Module):
    """A block of a transformer on tokens [B, N, C]: the branches end in modules whose outputs are views."""

    def __init__(self):
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(SIZE), nn.MultiheadAttention(SIZE, 2, batch_first=True)
        self.drop, self.mlp, self.head = nn.Dropout(), nn.Linear(SIZE, SIZE), nn.Linear(SIZE, 3)

    def forward(self, x):
        seen = self.norm(x)
        x = x + self.drop(self.attention(seen, seen, seen)[0])
        return self.head((x + self.mlp(x)).mean(1))


def test_branches_of_a_transformer():
    assert branches(Attends(), torch.rand(2, 5, SIZE)) == ["drop", "mlp"]


def test_a_module_that_is_called_elsewhere_too_is_no_branch():
    class Twice(Residual):
        def forward(self, x):
            x = x + self.first(x)
            return self.first(x) + self.second(self.norm(x))

    class Read(Residual):
        def forward(self, x):
            y = self.first(x)
            return x + y + y.sin()

    for model in (Twice(), Read()):
        assert branches(model, torch.rand(2, SIZE)) == []


def test_branches_behind_the_last_layer_need_not_be_known():
    net, x = inputopt.Frozen(Residual().double()), torch.rand(1, SIZE, dtype=torch.float64)
    with net.skipping(0.5):
        early = net.features(x, ["norm"])["norm"]
        assert torch.equal(early, net.features(x, ["first"])["first"])
        found = jacobian(net, x)
    fresh = inputopt.Frozen(net._network.runner.model)
    with fresh.skipping(0.5):
        torch.testing.assert_close(found, jacobian(fresh, x), rtol=0, atol=1e-12)


def hooks(net):
    return [module for module in net._network.runner.modules if module._forward_hooks]


def test_nothing_is_left_whatever_happens():
    net, x = inputopt.Frozen(Residual().double()), torch.rand(1, SIZE, dtype=torch.float64)
    plain = jacobian(net, x)

    def stopped():
        with net.skipping(0.5):
            jacobian(net, x)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert not hooks(net)
    assert torch.equal(jacobian(net, x), plain)


class Deciding(Residual):
    def forward(self, x):
        return super().forward(x) if float(x.detach().sum()) > 0 else x


def test_a_forward_that_decides_by_numbers_shows_its_branches():
    net, x = inputopt.Frozen(Deciding().double()), torch.rand(1, SIZE, dtype=torch.float64)
    same = inputopt.Frozen(nn.Module.train(Residual().double(), False))
    same._network.runner.model.load_state_dict(net._network.runner.model.state_dict())
    with net.skipping(0.5), same.skipping(0.5):
        torch.testing.assert_close(jacobian(net, x), jacobian(same, x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("model", [nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2), nn.ReLU()), lambda x: x])
def test_a_model_without_branches_is_refused(model):
    net, x = inputopt.Frozen(model), torch.rand(1, 2)
    with net.skipping(1.0):
        net(x)
    with net.skipping(0.5), pytest.raises(ValueError, match="leave branches at 1"):
        net(x)
    assert net(x).shape == (1, 2)


@pytest.mark.parametrize("share", [0, -1, 1.5, float("nan")])
def test_a_share_is_above_0_and_at_most_1(share):
    with pytest.raises(ValueError, match="branches"), inputopt.Frozen(Residual()).skipping(share):
        pass


def test_it_holds_for_both_copies_of_a_network_alone():
    # one network frozen twice, side by side: what is said to one does not reach the other
    model, x = Residual().double(), drawn(1, SIZE)
    one, other = inputopt.Frozen(model), inputopt.Frozen(model)
    plain = jacobian(other, x)
    with one.skipping(0.5):
        assert torch.equal(jacobian(other, x), plain)
        assert not torch.equal(jacobian(one, x), plain)
