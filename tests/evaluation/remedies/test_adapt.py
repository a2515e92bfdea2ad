"""Remedies applied to broken defences: what is left is what attacks written by hand leave, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from defences import DEFENCES, EPS
from defences.measure import sample

import inputopt
from inputopt.attacks.batches import logits_in_batches
from inputopt.attacks.regions import ball_region
from inputopt.evaluation.final_check import check_final_images
from inputopt.evaluation.indicators import Indicator
from inputopt.evaluation.remedies.adapt import adapt
from inputopt.evaluation.state import EvaluationState
from inputopt.evaluation.threat import Threat
from inputopt.nets.default_modes import default_modes
from inputopt.nets.frozen import frozen
from inputopt.search.inputs import check_problem
from inputopt.search.norms import find_norm
from inputopt.wilson_interval import with_interval

COUNT = 20
X, Y = sample(COUNT)
REASON = (Indicator("zero_gradient", 1.0, "The gradient is zero."),)

BY_HAND = {
    "rounding": 0,
    "integer input": 7,
    "thermometer code": 0,
    "sharp softmax": 5,
    "hard labels": 5,
    "decoy gradient": 5,
    "learned table": 0,
    "binarised": 0,
    "low pass by numpy": 1,
    "served probabilities": 1,
    "reversed gradient": 1,
}
"""How many of these digits the attacks of tests/defences leave."""


@default_modes()
def left(model, x=X, y=Y) -> float:
    """The accuracy that remedies alone leave."""
    net = frozen(model)
    problem, traits = check_problem(net, x, y)
    problem = replace(problem, region=ball_region(net, problem, find_norm("linf"), EPS, None))
    state = EvaluationState.at_start(net, problem, logits_in_batches(net, problem), traits, 0)
    adapted = adapt(Threat(net, problem, traits, "linf", 0), state, REASON)
    return float(check_final_images(net, problem, adapted.state, traits, 0).robust.mean())


@pytest.mark.parametrize("name", BY_HAND)
def test_remedies_alone_leave_what_attacks_by_hand_leave(name):
    assert round(COUNT * left(DEFENCES[name].make())) <= BY_HAND[name] + 1


def test_both_numbers_are_kept_and_the_model_is_not_changed():
    model = DEFENCES["rounding"].make()
    before = {name: each.clone() for name, each in model.state_dict().items()}
    report = inputopt.evaluate(model, X, Y, eps=EPS, preset="quick", adapt=True)
    plain = inputopt.evaluate(model, X, Y, eps=EPS, preset="quick")
    assert report.robust_accuracy_before_adapting == plain.robust_accuracy > report.robust_accuracy
    assert report.settings["adapt"] is True
    assert plain.settings["adapt"] is False
    assert len(report.attacks) > len(plain.attacks)
    applied = next(each.applied for each in report.indicators if each.id == "zero_gradient")
    assert f"-> {with_interval(report.robust_accuracy, report.interval)}." in applied
    assert report.as_plain()["robust_accuracy_before_adapting"] == plain.robust_accuracy
    again = inputopt.evaluate(model, X, Y, eps=EPS, preset="quick", adapt=True)
    assert torch.equal(again.x, report.x)
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items())
    with torch.no_grad():
        assert torch.equal(model(report.x).argmax(1) == Y, report.robust)


def test_a_sound_network_is_evaluated_as_without_remedies():
    model = inputopt.load("digits-cnn-robust")
    report, plain = (inputopt.evaluate(model, X, Y, eps=0.2, preset="quick", adapt=adapt) for adapt in (True, False))
    assert report.indicators == plain.indicators == ()
    assert report.robust_accuracy_before_adapting is None
    assert [row.name for row in report.attacks] == [row.name for row in plain.attacks]
    assert torch.equal(report.x, plain.x)


def test_adapt_is_a_truth_value():
    with pytest.raises(TypeError, match="adapt must be True or False"):
        inputopt.evaluate(inputopt.load("digits-mlp"), X, Y, adapt="yes")
