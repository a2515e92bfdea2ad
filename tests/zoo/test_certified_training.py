"""The loss of the certified networks, and what it is worth."""

import pytest
import torch
from contracts import digits
from torch.nn import functional

import inputopt
from inputopt.bounds.interval import worst_case_logits
from inputopt.training.train import train
from inputopt.zoo.certified_training import CLEAN_STEPS, EPS, RAMP_STEPS, certified_loss


def test_worst_case_logits_bound_the_cross_entropy_of_every_input_in_the_box():
    net, x, y = inputopt.load("digits-cnn"), digits().x[::400], digits().y[::400]
    low, high = (x - 0.02).clamp(0, 1), (x + 0.02).clamp(0, 1)
    worst = functional.cross_entropy(worst_case_logits(net, low, high, y), y, reduction="none")
    for draw in range(20):
        inside = low + (high - low) * torch.rand(x.shape, generator=torch.Generator().manual_seed(draw))
        assert bool((functional.cross_entropy(net(inside), y, reduction="none") <= worst + 1e-5).all())
    exact = functional.cross_entropy(worst_case_logits(net, x, x, y), y)
    assert exact.item() == pytest.approx(functional.cross_entropy(net(x), y).item(), rel=1e-4)


def test_the_loss_starts_clean_and_ends_at_the_radius():
    net, x, y = inputopt.load("digits-mlp"), digits().x[::400], digits().y[::400]
    clean = functional.cross_entropy(net(x), y)
    worst = functional.cross_entropy(worst_case_logits(net, (x - EPS).clamp(0, 1), (x + EPS).clamp(0, 1), y), y)
    assert torch.equal(certified_loss(net, x, y, 0), clean)
    assert torch.equal(certified_loss(net, x, y, CLEAN_STEPS), clean)
    assert torch.allclose(certified_loss(net, x, y, CLEAN_STEPS + RAMP_STEPS), 0.3 * clean + 0.7 * worst)
    assert torch.allclose(certified_loss(net, x, y, 10**6), 0.3 * clean + 0.7 * worst)


def test_training_with_it_is_repeated_exactly_and_tightens_the_bounds():
    x, y = digits().x[::20], digits().y[::20]
    nets = []
    for _ in range(2):
        net = inputopt.MLP([784, 16, 10], "relu", "identity", seed=0)
        settings = {"cost": "cross_entropy", "learning_rate": 0.005, "optimiser": "adam", "batch_size": 50}
        train(net, x, y, steps=60, loss=lambda *given: certified_loss(*given[:3], CLEAN_STEPS + 400), **settings)
        nets.append(net)
    assert all(torch.equal(one, other) for one, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True))
    plain = inputopt.MLP([784, 16, 10], "relu", "identity", seed=0)
    train(plain, x, y, steps=60, **settings)
    ours, theirs = (inputopt.certify(net, x[::4], y[::4], eps=EPS, budget=0).accuracy for net in (nets[0], plain))
    assert ours > theirs + 0.1


@pytest.mark.parametrize("name", ["digits-mlp-certified", "digits-cnn-certified"])
def test_the_certified_networks_are_certified_by_cheap_bounds(name):
    x, y = digits().held_x[::10], digits().held_y[::10]
    found = inputopt.certify(inputopt.load(name), x, y, eps=EPS, budget=0)
    assert found.accuracy >= {"digits-mlp-certified": 0.6, "digits-cnn-certified": 0.75}[name]
