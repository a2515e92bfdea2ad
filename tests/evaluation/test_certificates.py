"""Certificates of an evaluation: consistent with its attacks, and absent with a reason where there can be none."""

from dataclasses import replace

import pytest
import torch
from contracts import digits
from torch import nn

import inputopt
from inputopt.evaluation import certificates
from inputopt.search.inputs import check_problem


def evaluated(net, preset="standard", norm="linf", eps=0.03, count=40):
    x, y = digits().held_x[:: 1000 // count], digits().held_y[:: 1000 // count]
    return inputopt.evaluate(net, x, y, norm=norm, eps=eps, preset=preset)


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.03), ("l2", 0.5)])
def test_certified_inputs_are_robust_and_not_attacked(norm, eps):
    net = inputopt.load("digits-mlp")
    report = evaluated(net, norm=norm, eps=eps)
    assert not bool((report.certified & ~report.robust).any())
    assert 0.3 < report.certified_accuracy <= report.robust_accuracy < 1
    assert report.attacks[0].tried < 0.7 * len(report.robust)
    x, y = digits().held_x[::25], digits().held_y[::25]
    cheap = inputopt.certify(net, x, y, norm, eps, budget=0).certified
    assert report.attacks[0].tried == int((net(x).argmax(1) == y).sum()) - int(cheap.sum())
    assert bool((report.certified | ~cheap).all())
    assert torch.equal(report.x[report.certified], x[report.certified])


def test_a_mask_narrows_the_ball_of_the_certificate():
    net, x, y = inputopt.load("digits-mlp"), digits().held_x[::50], digits().held_y[::50]
    mask = torch.zeros(28, 28, dtype=torch.bool)
    mask[:4] = True  # an edge without ink
    whole = inputopt.evaluate(net, x, y, eps=0.1)
    part = inputopt.evaluate(net, x, y, eps=0.1, mask=mask)
    assert part.certified_accuracy >= 0.8
    assert whole.certified_accuracy < 0.3


class Probabilities(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = inputopt.load("digits-mlp")

    def forward(self, x):
        return self.net(x).softmax(1)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"preset": "quick"}, "quick preset"),
        ({"norm": "l0", "eps": 2, "preset": "standard"}, "no certificates in l0"),
        ({"net": Probabilities, "preset": "standard"}, "operation softmax"),
    ],
)
def test_where_there_are_none_the_report_says_why(settings, reason):
    net = settings.pop("net", lambda: inputopt.load("digits-mlp"))()
    report = evaluated(net, count=5, **settings)
    assert report.certified is None
    assert report.certified_accuracy is None
    assert reason in report.settings["certificates"]


@pytest.mark.parametrize("trait", ["random", "stateful", "batch_dependent"])
def test_bounds_of_one_forward_say_nothing_about_a_network_that_varies(trait):
    net = inputopt.Frozen(inputopt.load("digits-mlp"))
    problem, traits = check_problem(net, digits().held_x[:2])
    found = certificates.certify_inputs(net, problem, "linf", "standard", replace(traits, **{trait: True}))
    assert found.finished(torch.ones(2, dtype=torch.bool)) is None
    assert "vary between calls or with the batch" in found.reason


def test_large_networks_are_skipped_at_once(monkeypatch):
    monkeypatch.setattr(certificates, "graph_of", lambda net, x: pytest.fail("it was traced"))
    monkeypatch.setattr(certificates, "MOST_OPERATIONS", 1e5)
    assert "too large" in evaluated(inputopt.load("digits-mlp"), count=4).settings["certificates"]


def test_inputs_that_need_more_work_than_their_attacks_are_left_to_the_thorough_preset():
    net = inputopt.load("digits-cnn-robust")
    standard = evaluated(net, count=2, eps=0.1)
    assert standard.certified_accuracy is None
    assert "more work than the attacks" in standard.settings["certificates"]
    x, y = digits().held_x[::500], digits().held_y[::500]
    assert bool(inputopt.certify(net, x, y, eps=0.1, budget=0).certified.any())
    trained_for_it = evaluated(inputopt.load("digits-cnn-certified"), count=20, eps=0.1)
    assert trained_for_it.certified_accuracy >= trained_for_it.robust_accuracy - 0.05
    assert "more work" not in trained_for_it.settings["certificates"]
