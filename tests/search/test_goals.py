import math
from dataclasses import replace

import torch
from contracts import CLASSES, ROWS, assert_same, drawn, problem_of

from inputopt.search import goals
from inputopt.search.objectives.layer_energy import layer_energy
from inputopt.search.objectives.logits import cross_entropy
from inputopt.search.problem import Problem
from inputopt.search.rows import take

PROBLEM = problem_of((3,))  # its labels are 0, 1, 2, 1, 5
OUTPUTS = drawn(ROWS, CLASSES, seed=4)
SEEN = OUTPUTS.argmax(1)


def said(*classes):
    """Logits of a network that sees these classes."""
    return 10 * torch.nn.functional.one_hot(torch.tensor(classes), CLASSES).double()


def test_recognised_wrong_and_never():
    outputs = said(0, 2, 2, 1, 0)
    assert goals.recognised(outputs, PROBLEM).tolist() == [True, False, True, True, False]
    assert goals.wrong(outputs, PROBLEM).tolist() == [False, True, False, False, True]
    assert goals.never(outputs, PROBLEM).tolist() == [False] * ROWS
    assert goals.is_class(2)(outputs, PROBLEM).tolist() == [False, True, True, False, False]


def test_goals_are_combined():
    outputs = said(0, 2, 2, 1, 0)
    two, wrong = goals.is_class(2), goals.wrong
    assert (two & wrong)(outputs, PROBLEM).tolist() == [False, True, False, False, False]
    assert (two | wrong)(outputs, PROBLEM).tolist() == [False, True, True, False, True]
    assert (~(two | wrong))(outputs, PROBLEM).tolist() == (~two & ~wrong)(outputs, PROBLEM).tolist()
    assert (wrong & ~goals.never)(outputs, PROBLEM).tolist() == wrong(outputs, PROBLEM).tolist()


def test_confident_asks_for_at_least_that_probability():
    # equal logits but for the label's: probability e^a / (e^a + 5)
    outputs = torch.zeros(ROWS, CLASSES, dtype=torch.float64)
    wanted = [0.2, 0.5, 0.9, 0.98, 0.999]
    for row, (label, probability) in enumerate(zip(PROBLEM.label, wanted, strict=True)):
        outputs[row, label] = math.log(5 * probability / (1 - probability))
    for index, probability in enumerate(wanted):
        expected = [other >= index for other in range(ROWS)]
        assert goals.confident(probability - 1e-9)(outputs, PROBLEM).tolist() == expected
        assert goals.confident(probability + 1e-9)(outputs, PROBLEM).tolist() == [
            other > index for other in range(ROWS)
        ]
    assert goals.unrecognised(0.5 - 1e-9)(outputs, PROBLEM).tolist() == [True, False, False, False, False]
    even = torch.zeros(ROWS, 2, dtype=torch.float64)
    assert goals.confident(0.5)(even, replace(PROBLEM, label=PROBLEM.label % 2)).all()


def test_confident_adversarial_asks_for_a_probability_of_the_target_or_of_any_class_but_the_label():
    shares = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.05, 0.55, 0.4]], dtype=torch.float64)
    x, none = torch.zeros(3, 1, dtype=torch.float64), torch.zeros(3, dtype=torch.int64)
    away, towards = Problem(x, none, none), Problem(x, none, none, target=torch.tensor([1, 1, 1]))
    assert goals.confident_adversarial(0.5)(shares.log(), away).tolist() == [False, True, True]
    assert goals.confident_adversarial(0.59)(shares.log(), away).tolist() == [False, True, False]
    assert goals.confident_adversarial(0.29)(shares.log(), towards).tolist() == [False, False, True]  # predicted too
    assert goals.confident_adversarial(0.29)(shares.log(), replace(away, label=none + 2)).tolist() == [
        True,
        False,
        True,
    ]
    assert goals.confident_adversarial(0.5)(shares.log(), towards).tolist() == [False, False, True]
    assert goals.confident_adversarial(0.5, torch.log)(shares, towards).tolist() == [False, False, True]


def test_cross_entropy_is_minus_the_log_odds_of_the_label():
    probability = OUTPUTS.exp() / OUTPUTS.exp().sum(1, keepdim=True)
    own = probability[torch.arange(ROWS), PROBLEM.label]
    assert_same(cross_entropy(OUTPUTS, PROBLEM.x0, PROBLEM), -(own / (1 - own)).log(), 1e-12)


def test_cross_entropy_as_log_odds_leads_where_the_plain_one_does():
    outputs = OUTPUTS.clone().requires_grad_()
    (ours,) = torch.autograd.grad(cross_entropy(outputs, PROBLEM.x0, PROBLEM).sum(), outputs)
    plain = torch.nn.functional.cross_entropy(outputs, PROBLEM.label, reduction="none")
    (theirs,) = torch.autograd.grad(plain.sum(), outputs)
    cosine = (ours * theirs).sum(1) / ours.norm(dim=1) / theirs.norm(dim=1)
    assert_same(cosine, torch.ones(ROWS).double(), 1e-12)


def test_cross_entropy_survives_huge_logits():
    found = cross_entropy(said(0, 0, 0, 0, 0) * 1e30, PROBLEM.x0, PROBLEM)
    assert found.tolist() == [-1e31, 1e31, 1e31, 1e31, 1e31]


def test_cross_entropy_never_saturates():
    """A lead of 24 in float32: the plain loss is 0 and half of its derivative lost; the log-odds know both."""
    outputs = torch.tensor([[24.0, -24.0, 0.0]], requires_grad=True)
    problem = replace(take(PROBLEM, torch.tensor([0])), label=torch.tensor([0]))
    value = cross_entropy(outputs, outputs, problem)
    assert value.tolist() == [-24]
    (grad,) = torch.autograd.grad(value, outputs)
    assert_same(grad, torch.tensor([[-1.0, math.exp(-24), 1.0]]), 1e-7)


def test_layer_energy_is_the_mean_square_of_each_layer_summed():
    shown = {"wide": drawn(ROWS, 4, 3, 3, seed=1), "flat": drawn(ROWS, 7, seed=2), "other": drawn(ROWS, 2)}
    energy = layer_energy(["wide", "flat"])
    assert energy.layers == ("wide", "flat")
    expected = (shown["wide"] ** 2).sum((1, 2, 3)) / 36 + (shown["flat"] ** 2).sum(1) / 7
    assert_same(energy(shown, PROBLEM.x0, PROBLEM), expected, 1e-12)


def test_objectives_are_added_scaled_and_negated():
    one = cross_entropy(OUTPUTS, PROBLEM.x0, PROBLEM)
    for objective, factor in [
        (-cross_entropy, -1),
        (3 * cross_entropy, 3),
        (cross_entropy * 0.5, 0.5),
        (cross_entropy + cross_entropy, 2),
        (2 * cross_entropy - cross_entropy * 5, -3),
    ]:
        assert_same(objective(OUTPUTS, PROBLEM.x0, PROBLEM), factor * one, 1e-12)


def test_layers_of_a_sum_are_those_of_its_parts():
    both = layer_energy(["a", "b"]) - 0.5 * layer_energy(["c", "a"])
    assert both.layers == ("a", "b", "c")
    shown = {name: drawn(ROWS, 2, seed=seed) for seed, name in enumerate("abc")}
    a, b, c = ((shown[name] ** 2).mean(1) for name in "abc")
    assert_same(both(shown, PROBLEM.x0, PROBLEM), a + b - 0.5 * (c + a), 1e-12)


def test_logits_and_layers_go_into_one_sum():
    # the logits are found among the layers, under the name of the model itself
    both = cross_entropy + layer_energy(["a"])
    activations, problem = drawn(ROWS, 3, seed=5), problem_of((12,))
    seen = {"a": activations, "": drawn(ROWS, CLASSES)}
    wanted = cross_entropy(seen[""], problem.x0, problem) + activations.square().mean(1)
    assert both.logits
    assert both.layers == ("a",)
    assert_same(both(seen, problem.x0, problem), wanted, 1e-12)
