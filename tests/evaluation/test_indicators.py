"""Every module of evaluation/indicators is registered under its own name, and raised by its fault alone."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import inputopt
from inputopt.evaluation import indicators
from inputopt.evaluation.attack_row import AttackRow
from inputopt.evaluation.indicators import INDICATORS, Evidence
from inputopt.evaluation.indicators.low_clean_accuracy import is_better
from inputopt.evaluation.indicators.reject_class import reject_class
from inputopt.evaluation.probes.flat_cause import FlatCause
from inputopt.evaluation.probes.gradient_agreement import GradientAgreement
from inputopt.evaluation.probes.rescaled_inputs import RescaledInputs, sign_test
from inputopt.evaluation.probes.unbounded_attack import UnboundedAttack
from inputopt.search.network_traits import NetworkTraits
from inputopt.zoo.digits import load_digits

LABEL = torch.arange(9)
NONE = torch.zeros(9, dtype=torch.bool)
ALL = ~NONE
LOGITS = 5 * torch.eye(10)[:9]
SOUND = Evidence(
    traits=NetworkTraits(10, False),
    label=LABEL,
    logits=LOGITS + torch.linspace(0, 1, 90).reshape(9, 10),
    correct=ALL,
    fooled_class=LABEL.flip(0).masked_fill(LABEL == 4, -1),
    nonfinite_clean=NONE,
    nonfinite_met=NONE,
    agreement=GradientAgreement(True, NONE, NONE, NONE, NONE, NONE),
    later=GradientAgreement(True, NONE, NONE, NONE, NONE, NONE[:0]),
    unbounded=UnboundedAttack(LABEL, ALL),
    rows=(AttackRow("PGD", 9, tuple(range(8)), 9, 9, 0.1), AttackRow("Square", 1, (), 9, 0, 0.1)),
)
BROKEN = {
    "random_network": {"traits": NetworkTraits(10, False, random=True)},
    "stateful_network": {"traits": NetworkTraits(10, False, stateful=True)},
    "batch_dependence": {"batch_dependent": True, "changed_alone": 0.5},
    "no_gradient": {"agreement": GradientAgreement(False, NONE[:0], NONE[:0], NONE[:0], NONE[:0], NONE[:0])},
    "zero_gradient": {"agreement": GradientAgreement(True, ALL, NONE, NONE, NONE, NONE), "cause": FlatCause.QUANTISED},
    "vanishing_gradient": {
        "agreement": GradientAgreement(True, NONE, ALL, NONE, NONE, NONE),
        "cause": FlatCause.SATURATED,
    },
    "shattered_gradient": {"later": GradientAgreement(True, NONE, NONE, ALL, NONE, NONE)},
    "noisy_loss": {"agreement": GradientAgreement(True, NONE, NONE, NONE, NONE, ALL)},
    "gradient_masking": {"rows": (AttackRow("PGD", 9, (), 9, 9, 0.1), AttackRow("Square", 9, (1, 3), 9, 0, 0.1))},
    "unbounded_attack_fails": {"unbounded": UnboundedAttack(torch.tensor([4]), NONE[:1])},
    "larger_eps_fools_fewer": {"unbounded": UnboundedAttack(LABEL, LABEL > 1)},
    "not_converged": {"late": 2},
    "probabilities": {"traits": NetworkTraits(10, True)},
    "log_probabilities": {"logits": SOUND.logits.log_softmax(1)},
    "hard_labels": {"logits": LOGITS},
    "reject_class": {"fooled_class": torch.full((9,), 9)},
    "low_clean_accuracy": {"correct": LABEL > 5, "rescaled": RescaledInputs("divided by 255", 0.9, 0.3, 10, 0.0)},
    "nonfinite_logits": {"nonfinite_clean": LABEL == 0, "nonfinite_met": LABEL == 0},
    "nonfinite_search": {"nonfinite_met": LABEL == 0},
    "unconfirmed_success": {"unconfirmed": 1},
    "unusual_scale": {"largest_input": 827.0},
}


def test_every_module_is_an_indicator_of_its_name():
    modules = {path.stem for path in Path(indicators.__file__).parent.glob("*.py")} - {"__init__", "indicator"}
    assert {check.__name__ for check in INDICATORS} == modules
    assert len(INDICATORS) == len(modules)


def test_a_sound_network_raises_no_indicator():
    assert [check.__name__ for check in INDICATORS if check(SOUND) is not None] == []


@pytest.mark.parametrize("check", INDICATORS, ids=lambda check: check.__name__)
def test_each_fault_raises_its_own_indicator_and_no_other(check):
    found = indicators.indicators(replace(SOUND, **BROKEN[check.__name__]))
    assert [each.id for each in found] == [check.__name__]
    assert found[0].value >= found[0].threshold or check.__name__ in BELOW
    assert all(text.endswith(".") for text in (found[0].meaning, found[0].remedy))


BELOW = {"hard_labels", "low_clean_accuracy"}
"""Reported at values below the threshold."""


def test_saturated_outputs_are_reported_as_vanishing_and_not_as_zero():
    agreement = GradientAgreement(True, ALL, NONE, NONE, NONE, NONE)
    found = indicators.indicators(replace(SOUND, agreement=agreement, cause=FlatCause.SATURATED))
    assert [each.id for each in found] == ["vanishing_gradient"]


@pytest.mark.parametrize(("factor", "reported"), [(1e-3, True), (1.0, False), (1e3, True)])
def test_the_scale_of_the_logits_is_reported_where_cross_entropy_is_flat(factor, reported):
    found = indicators.indicators(replace(SOUND, logits=SOUND.logits * factor))
    assert ["vanishing_gradient"] * reported == [each.id for each in found]


def test_forgotten_normalisation_is_noticed_at_a_moderate_loss_of_accuracy():
    net, held = inputopt.load("digits-cnn"), load_digits()
    x, y = held.held_x[::5], held.held_y[::5]

    def normalised_inputs_only(z):
        return net(z * 0.3081 + 0.1307)

    report = inputopt.evaluate(normalised_inputs_only, x, y, preset="quick")
    (found,) = [each for each in report.indicators if each.id == "low_clean_accuracy"]
    assert 0.8 < report.clean_accuracy < 0.9
    assert "normalised (MNIST)" in found.remedy
    sound = inputopt.evaluate(inputopt.Frozen(normalised_inputs_only, mean=0.1307, std=0.3081), x, y, preset="quick")
    assert "low_clean_accuracy" not in [each.id for each in sound.indicators]


@pytest.mark.parametrize(
    ("accuracy", "plain", "chance", "better"),
    [
        (0.80, 0.65, 1.0, True),  # 15 points
        (0.97, 0.86, 1e-4, True),  # most of the errors, significant
        (0.97, 0.86, 0.01, False),
        (0.90, 0.84, 1e-9, False),  # less than half of the errors
        (0.97, 0.93, 1e-9, False),  # less than 5 points
    ],
)
def test_a_smaller_gain_must_be_significant_and_remove_most_errors(accuracy, plain, chance, better):
    assert is_better(RescaledInputs("mirrored", accuracy, plain, 200, chance)) == better


def test_the_sign_test_is_the_binomial_tail():
    assert sign_test(0, 0) == 1
    assert sign_test(5, 0) == 1 / 32
    assert sign_test(3, 2) == (10 + 5 + 1) / 32


def test_a_mean_and_std_of_another_range_are_noticed():
    net, held = inputopt.load("digits-cnn"), load_digits()
    x, y = held.held_x[::20], held.held_y[::20]
    for bounds, mean, std, noticed in (
        ((0, 255), 0.1307, 0.3081, True),
        ((0, 255), 33.3, 78.6, False),
        ((0, 1), 0.1307, 0.3081, False),
        ((-torch.inf, torch.inf), 0.0, 1e-6, False),
    ):
        frozen = inputopt.Frozen(net, bounds, mean, std)
        scaled = 255 * x if bounds == (0, 255) else x
        report = inputopt.evaluate(frozen, scaled, y, eps=0.05 * (255 if bounds == (0, 255) else 1), preset="quick")
        assert ("unusual_scale" in [each.id for each in report.indicators]) == noticed


@pytest.mark.parametrize(
    ("missing", "rejected", "of", "found"),
    [
        (9, 7, 20, True),
        (0, 7, 20, True),
        (9, 5, 20, False),
        (9, 2, 6, False),
        (9, 4, 5, False),
        (4, 9, 20, False),
        (4, 10, 20, True),
    ],
)
def test_a_reject_class_is_a_class_without_labels_that_takes_many_adversarial_examples(missing, rejected, of, found):
    others = torch.tensor([each for each in range(10) if each != missing])
    label = others.repeat(3)[:of] if of > 8 else others[:of].repeat(1)
    label = torch.cat([others, label])
    reached = torch.full((len(label),), -1)
    reached[:of] = others.flip(0).repeat(3)[:of]
    reached[:rejected] = missing
    evidence = replace(SOUND, label=label, fooled_class=reached)
    assert (reject_class(evidence) is not None) == found
