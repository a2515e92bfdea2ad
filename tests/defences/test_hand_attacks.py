"""The attacks written by hand: exact on linear networks, inside the ball, and the kept results come out again."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from defences import DEFENCES, EPS, surrogates
from defences.fitting import seeded
from defences.hand_attack import Attack, Judge, by_hand, drawn, margin
from defences.measure import DIGITS, RESULTS, final_judge, judge_of, left_of, made, sample

KEPT = json.loads(RESULTS.read_text(encoding="utf-8"))
SMALL = 20


def test_every_defence_has_a_kept_result():
    assert list(KEPT["defences"]) == list(DEFENCES)
    assert KEPT["eps"] == EPS


@pytest.mark.parametrize("name", DEFENCES)
def test_kept_accuracies_are_those_of_the_kept_digits(name):
    kept = KEPT["defences"][name]
    shares = [float(each) for each in kept["left"].split()]
    assert len(shares) == KEPT["digits"] == DIGITS
    assert sum(shares) / 100 / DIGITS == pytest.approx(kept["robust_accuracy"], abs=0.005)
    assert kept["robust_accuracy"] <= kept["clean_accuracy"]
    if not DEFENCES[name].random:
        assert set(shares) <= {0.0, 100.0}


@pytest.mark.parametrize("name", ["detector", "squeeze detector"])
def test_to_be_accepted_in_a_wrong_class_is_harder_than_to_be_wrong_or_rejected(name):
    kept = KEPT["defences"][name]
    assert kept["robust_accuracy_if_rejected"] >= kept["robust_accuracy"]


def test_the_sample_has_as_many_digits_of_each_class_from_the_start():
    _, y = sample(SMALL)
    assert torch.bincount(y).tolist() == [SMALL // 10] * 10


def test_on_a_linear_network_exactly_the_digits_that_can_be_fooled_are_fooled():
    net = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 10)))
    x, _ = sample(60)
    y = net(x).argmax(1)
    weights = net[1].weight.detach()
    low, high = ((x + each).clamp(0, 1).flatten(1)[:, None] for each in (-0.004, 0.004))
    apart = weights[y][:, None] - weights  # [B, 10, 784]: label minus each other class
    least = torch.where(apart > 0, low, high).mul(apart).sum(2) + net[1].bias[y][:, None] - net[1].bias
    fooled = least.scatter(1, y[:, None], torch.inf).amin(1) < 0
    assert 0.2 < fooled.float().mean() < 0.9
    worst = by_hand(Attack(surrogates.itself, steps=20, restarts=1), Judge(net), x, y, 0.004, 0)
    assert torch.equal(net(worst).argmax(1) != y, fooled)


@pytest.mark.parametrize("name", ["sharp softmax", "rounding", "served probabilities", "decoy gradient", "dropout"])
def test_kept_results_come_out_again_on_fewer_digits(name):
    defence = DEFENCES[name]
    net, (x, y) = made(defence), sample(SMALL)
    attack = replace(defence.attack, steps=min(40, defence.attack.steps), targets=3, restarts=1, climb=100)
    worst = by_hand(attack, judge_of(defence, net), x, y, EPS, 1)
    assert (worst - x).abs().max() <= EPS + 1e-6
    assert worst.min() >= 0
    assert worst.max() <= 1
    assert final_judge(defence, net).correct(worst, y).mean() == pytest.approx(left_of(name, SMALL), abs=0.1)


def test_the_point_found_behind_a_sine_is_in_the_box_and_maps_to_where_the_surrogate_wants_it():
    low = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 0.8
    high = low + 0.1
    z = low - 0.0168 + (0.1336) * torch.rand(low.shape, generator=torch.Generator().manual_seed(1))
    x = surrogates.reach_through_sine(z, low, high)
    assert ((x >= low) & (x <= high)).all()
    reached = x.double() + 0.02 * torch.sin(2000 * x.double())
    assert (reached - z).abs().max() < 0.004


def test_the_margin_protects_the_label_and_the_reject_class():
    logits = torch.tensor([[1.0, 3.0, 0.0], [0.0, 1.0, 5.0]])
    label = torch.tensor([1, 1])
    assert margin(logits, label).tolist() == [2.0, -4.0]
    assert margin(logits, label, reject=2).tolist() == [2.0, 5.0]


def test_fresh_draws_leave_the_global_generators_as_they_were():
    before = torch.get_rng_state()
    with drawn(5):
        first = torch.rand(3)
    with drawn(5):
        assert torch.equal(first, torch.rand(3))
    assert torch.equal(before, torch.get_rng_state())


def test_stateful_networks_are_judged_without_moving_their_buffers():
    defence = DEFENCES["input counter"]
    net, (x, y) = made(defence), sample(SMALL)
    judge_of(defence, net).correct(x, y)
    assert int(net.seen) == 0
