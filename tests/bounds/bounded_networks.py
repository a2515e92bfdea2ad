"""Networks whose bounds are tested, and exact answers by other means."""

import copy

import torch
from torch import nn
from torch.nn import functional

import inputopt


class UserCNN(nn.Module):
    """Code as people write it: functional calls, a view, a residual addition, in-place ReLU, pooling, batch norm."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(2)
        self.drop = nn.Dropout()
        self.out = nn.Linear(4 * 9, 3)

    def forward(self, x):
        x = self.act(self.norm(self.conv1(x)))
        x = x + functional.relu(self.conv2(x))
        x = self.pool(x)
        x = self.drop(x.view(x.size(0), -1))
        return self.out(x)


def user_cnn(seed=0):
    """A `UserCNN` with statistics of its own in its batch norm, in evaluation mode; inputs are [B, 1, 6, 6]."""
    generator = torch.Generator().manual_seed(seed)
    net = UserCNN().eval()
    with torch.no_grad():
        for value in net.parameters():
            value.copy_(torch.randn(value.shape, generator=generator) * 0.3)
        net.norm.running_mean.copy_(torch.randn(4, generator=generator) * 0.1)
        net.norm.running_var.copy_(torch.rand(4, generator=generator) + 0.5)
    return net


def images(count, seed=1):
    """Random inputs of `UserCNN` in [0, 1]."""
    return torch.rand(count, 1, 6, 6, generator=torch.Generator().manual_seed(seed))


def small_mlp(activation, seed=0, sizes=(2, 8, 8, 3)):
    """An MLP that is far from linear on the unit square."""
    net = inputopt.MLP(list(sizes), activation, "identity", seed=seed)
    with torch.no_grad():
        for weight, bias in zip(net.weights, net.biases, strict=True):
            weight.mul_(2)
            bias.copy_(torch.randn(bias.shape, generator=torch.Generator().manual_seed(seed + 1)) * 0.5)
    return net


def square(count, seed=2):
    """Random points of the unit square."""
    return torch.rand(count, 2, generator=torch.Generator().manual_seed(seed))


def grid_margins(net, x, y, norm, eps, points=161):
    """The least margin on a dense grid of each ball within the unit square: an upper bound of the exact one, [B]."""
    axis = torch.linspace(-eps, eps, points, dtype=torch.float64)
    change = torch.cartesian_prod(axis, axis)
    orders = {"linf": float("inf"), "l2": 2.0, "l1": 1.0}
    change = change[change.norm(orders[norm], dim=1) <= eps]
    wide = copy.deepcopy(net).double()
    least = []
    with torch.no_grad():
        for point, label in zip(x.double(), y, strict=True):
            logits = wide((point + change).clamp(0, 1))
            others = logits.clone()
            others[:, label] = -torch.inf
            least.append((logits[:, label] - others.amax(1)).min())
    return torch.stack(least)
