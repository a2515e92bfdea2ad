"""Remedies applied to broken defences: what is left is what attacks written by hand leave, and nothing else changes."""

from __future__ import annotations

import json
from dataclasses import replace

import jsonschema
import pytest
import torch
from defences import DEFENCES, EPS
from defences.measure import left_of, sample

import inputopt
from inputopt.attacks.batches import logits_in_batches
from inputopt.attacks.regions import ball_region
from inputopt.cli.commands.command_evaluate import report_text
from inputopt.evaluation.final_check import check_final_images
from inputopt.evaluation.indicators import Indicator
from inputopt.evaluation.remedies.adapt import adapt
from inputopt.evaluation.remedies.applied import with_applied
from inputopt.evaluation.remedies.remedy import Adapted, Remedy
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


def at_start(model, x=X, y=Y):
    """The arguments of `EvaluationState.at_start`."""
    net = frozen(model)
    problem, traits = check_problem(net, x, y)
    problem = replace(problem, region=ball_region(net, problem, find_norm("linf"), EPS, None))
    return net, problem, logits_in_batches(net, problem), traits, 0


@default_modes()
def left(model, x=X, y=Y) -> float:
    """The accuracy that remedies alone leave."""
    net, problem, _, traits, _ = given = at_start(model, x, y)
    state = EvaluationState.at_start(*given)
    adapted = adapt(Threat(net, problem, traits, "linf", 0), state, REASON)
    return float(check_final_images(net, problem, adapted.state, traits, 0).robust.mean())


@pytest.mark.parametrize("name", BY_HAND)
def test_remedies_alone_leave_what_attacks_by_hand_leave(name):
    assert round(COUNT * left(DEFENCES[name].make())) <= BY_HAND[name] + 1


def test_both_numbers_are_kept_and_the_model_is_not_changed():
    model = DEFENCES["rounding"].make()
    before = {name: each.clone() for name, each in model.state_dict().items()}
    told = []
    report = inputopt.evaluate(model, X, Y, eps=EPS, preset="quick", adapt=True, callback=told.append)
    plain = inputopt.evaluate(model, X, Y, eps=EPS, preset="quick")
    assert report.robust_accuracy_before_adapting == plain.robust_accuracy > report.robust_accuracy
    assert report.settings["adapt"] is True
    assert plain.settings["adapt"] is False
    assert len(report.attacks) > len(plain.attacks)
    applied = next(each.applied for each in report.indicators if each.id == "zero_gradient")
    assert {each.effect for each in report.indicators} == {"lowered"}
    assert [figures["stage"] for figures in told] == list(range(len(report.attacks) + 2)), "remedies included"
    numbers = [int(figures["remedy"]) for figures in told[:-1]]
    assert numbers == sorted(numbers)
    assert numbers[: len(plain.attacks) + 1] == [0] * (len(plain.attacks) + 1)
    assert set(numbers[len(plain.attacks) + 1 :]) == set(range(1, max(numbers) + 1)) != set()
    left = plain.robust_accuracy
    for row, figures in zip(report.attacks[len(plain.attacks) :], told[len(plain.attacks) + 1 : -1], strict=True):
        left -= len(row.fooled) / COUNT
        assert figures["robust_accuracy"] == pytest.approx(left)
        assert figures["robust_accuracy_low"] <= figures["robust_accuracy"] <= figures["robust_accuracy_high"]
        assert (figures["tried"], figures["fooled"]) == (row.tried, len(row.fooled))
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


def test_remedies_that_find_nothing_leave_the_indicator_open():
    found = (*REASON, Indicator("probabilities", 1.0, "Probabilities.", "", 1.0, "Logarithms.", "not affected"))
    state = EvaluationState.at_start(*at_start(inputopt.load("digits-mlp")))
    for remedies in ((), (Remedy("Gradients through the rounding", 0, 0.5, 0.5, COUNT),)):
        main, other = with_applied(found, Adapted(state, remedies=remedies), lowered=False)
        assert (main.effect, main.is_open) == ("unchanged", True)
        assert other.effect == "unchanged"
        assert "written for this model" in str(main)  # not the remedies that were tried already
        assert other.remedy == ""
        assert other.applied == "Logarithms. See zero_gradient for the remedies."
    (alone,) = with_applied(found[1:], Adapted(state), lowered=False)
    assert (alone.effect, alone.is_open) == ("not affected", False)
    (main, _) = with_applied(found, Adapted(state), lowered=False, left=False)
    assert (main.applied, main.is_open) == ("No input was left to attack, so no remedy was needed.", False)
    (main, _) = with_applied(found, Adapted(state, remedies=(Remedy("Gradients", 4, 0.5, 0.3, COUNT),)), lowered=True)
    assert (main.effect, main.is_open) == ("lowered", False)
    assert main.applied == (
        "Gradients fooled 4 more inputs: robust accuracy 50.0 % (95 % interval: 29.9 % to 70.1 %) -> "
        "30.0 % (95 % interval: 14.5 % to 51.9 %)."
    )


def test_a_detector_has_a_second_figure_of_the_same_definition_as_that_by_hand(tmp_path):
    told = []
    report = inputopt.evaluate(
        DEFENCES["detector"].make(), X[:10], Y[:10], eps=EPS, preset="quick", adapt=True, callback=told.append
    )
    (rejects,) = (each for each in report.indicators if each.id == "reject_class")
    assert rejects.effect == "measured"
    share = report.robust_accuracy_if_rejected
    assert report.robust_accuracy < share <= left_of("detector", 10, rejected=True) + 0.1
    assert bool((report.robust_if_rejected | ~report.robust).all()), "what withstands everything withstands more easily"
    low, high = report.interval_if_rejected
    assert told[-1]["robust_accuracy_if_rejected_low"] == low < share < high
    report.save(tmp_path)
    saved = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert jsonschema.Draft202012Validator(inputopt.Report.schema()).is_valid(saved)
    assert (saved["robust_accuracy_if_rejected"], saved["interval_if_rejected"]) == (share, [low, high])
    assert saved["robust_if_rejected"] == report.robust_if_rejected.tolist()
    assert f"counts as withstood: at most {with_interval(share, (low, high))}" in report_text(report)
    assert "a rejected input counts as withstood" in report.model_card()


def test_without_a_reject_class_there_is_no_second_figure():
    report = inputopt.evaluate(inputopt.load("digits-mlp"), X, Y, eps=EPS, preset="quick", adapt=True)
    assert report.robust_if_rejected is report.robust_accuracy_if_rejected is report.interval_if_rejected is None
    assert report.as_plain()["robust_accuracy_if_rejected"] is None
    assert "rejected" not in report_text(report)


def test_adapt_is_a_truth_value():
    with pytest.raises(TypeError, match="adapt must be True or False"):
        inputopt.evaluate(inputopt.load("digits-mlp"), X, Y, adapt="yes")
