"""Attacks on random networks: the point of a search is not the one that its few draws were luckiest for."""

import pytest
import torch
from contracts import drawn, small_net
from torch import nn

import inputopt


class Shaken(nn.Module):
    """A network whose logits are scaled by one random number a forward, which says nothing about the input."""

    def __init__(self):
        super().__init__()
        self.net = small_net(torch.float32)

    def forward(self, x):
        return self.net(x) * torch.rand(()).mul(8).exp() / 50


@pytest.mark.parametrize(
    "attack",
    [
        inputopt.attacks.PGD(eps=1e-4, steps=7, stop_on_success=False),
        inputopt.attacks.MIFGSM(eps=1e-4, steps=7, stop_on_success=False),
        inputopt.attacks.APGD("l2", 1e-4, steps=7, stop_on_success=False),
    ],
)
def test_a_search_by_gradients_keeps_its_last_point(attack):
    x, seen = drawn(6, 12, seed=3, dtype=torch.float32).sigmoid(), []
    net = Shaken()
    y = net(x).argmax(1)
    found = attack(net, x, y, watch=lambda snapshot: seen.append(snapshot.x.clone()))
    assert not found.success.any()
    assert torch.equal(found.x, seen[-1])
