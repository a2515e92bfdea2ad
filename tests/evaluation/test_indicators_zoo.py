"""Every broken defence of the zoo raises an indicator that names its fault, and sound networks raise none."""

import pytest
import torch
from defences import DEFENCES, EPS
from defences.fitting import digits, fit, seeded
from torch import nn

import inputopt
from inputopt.evaluation import protocols

X, Y = digits().held_x[::42], digits().held_y[::42]  # 24 digits of all classes


@pytest.fixture
def short(monkeypatch):
    """A gradient-free search of a few steps: what is tested here are the indicators."""
    monkeypatch.setitem(protocols.BLACK_BOX, "quick", 30)
    monkeypatch.setitem(protocols.DECISIONS, "quick", 30)


def reported(net, x=X, y=Y):
    return {each.id: each for each in inputopt.evaluate(net, x, y, eps=EPS, preset="quick").indicators}


ENOUGH = {"random_network", "stateful_network", "batch_dependence", "no_gradient"}
"""Faults that show at a few digits; shares of the digits need more of them."""

LEADING = {"output code"}
"""Its margin has a gradient everywhere, which leads: what the attacks report is right, and there is nothing to say."""


@pytest.mark.parametrize("name", [name for name in DEFENCES if name not in LEADING])
def test_a_broken_defence_is_reported_by_the_right_indicator(name, short):
    count = 8 if ENOUGH & set(DEFENCES[name].indicators) else len(X)
    found = reported(DEFENCES[name].make(), X[-count:], Y[-count:])
    assert set(found) & set(DEFENCES[name].indicators), sorted(found)
    for each in found.values():
        assert each.meaning.endswith(".")
        assert each.remedy.endswith(".") or each.id == "random_network"


def mlp(activation):
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 60), activation(), nn.Linear(60, 10))


def convolutional(activation):
    layers = nn.Conv2d(1, 6, 4, stride=2, padding=1), nn.BatchNorm2d(6), activation(), nn.MaxPool2d(2)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(6 * 49, 10))


SOUND = {
    "digits-mlp": lambda: inputopt.load("digits-mlp"),
    "digits-cnn": lambda: inputopt.load("digits-cnn"),
    "digits-cnn-robust": lambda: inputopt.load("digits-cnn-robust"),
    **{
        f"{build.__name__} {kind.__name__}": lambda build=build, kind=kind: fit(seeded(lambda: build(kind)), epochs=2)
        for build, kind in (
            (mlp, nn.Tanh),
            (mlp, nn.Sigmoid),
            (mlp, nn.GELU),
            (convolutional, nn.ReLU),
            (convolutional, nn.SiLU),
            (convolutional, nn.ELU),
        )
    },
}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_network_raises_no_indicator(name):
    assert reported(SOUND[name]()) == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: 2 * x - 1, "normalised backwards"),
        (lambda x: x / 255, "multiplied by 255"),
        (lambda x: x.flip(3), "mirrored"),
    ],
    ids=["normalised twice", "divided twice", "mirrored"],
)
def test_inputs_in_the_wrong_form_are_named(change, words):
    net = inputopt.load("digits-mlp")
    found = reported(lambda x: net(change(x)))
    assert words in found["low_clean_accuracy"].meaning


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("rounding", "quantised"),
        ("binarised", "quantised"),
        ("sharp softmax", "saturated"),
    ],
)
def test_the_cause_of_a_flat_gradient_is_named(name, words, short):
    found = reported(DEFENCES[name].make())
    flat = [str(found[each]) for each in ("zero_gradient", "vanishing_gradient") if each in found]
    assert flat
    assert all(words in each for each in flat)


def test_a_detached_path_is_told_from_a_quantised_one(short):
    """The gradient is zero, and the outputs change as smoothly as ever."""
    net = inputopt.load("digits-cnn")
    found = reported(lambda x: net(x.detach()) + 0 * x.sum())
    assert "detached" in found["zero_gradient"].meaning


def test_dead_units_are_told_from_both(short):
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 20), nn.ReLU(), nn.Linear(20, 10))
    with torch.no_grad():
        net[1].bias.fill_(-100.0)
    found = reported(net, X, net(X).argmax(1))
    assert "dead or constant" in found["zero_gradient"].meaning


def test_how_random_a_network_is_grows_with_its_noise():
    net = inputopt.load("digits-mlp")
    spread = [reported(lambda x, s=s: net(x + s * torch.randn_like(x)))["random_network"].value for s in (0.01, 0.1)]
    assert 0 < spread[0] < 0.3 * spread[1] < 1


def test_accuracy_that_is_still_falling_is_reported(monkeypatch):
    """A protocol whose only attack makes steps too small for most inputs until the last ones."""
    attack = inputopt.attacks.PGD(steps=12, step_size=0.07, random_start=False)
    monkeypatch.setattr("inputopt.evaluation.protocol_run.find_protocol", lambda *_: [protocols.Stage("short", attack)])
    assert "not_converged" in reported(inputopt.load("digits-cnn"), digits().held_x[::10], digits().held_y[::10])
