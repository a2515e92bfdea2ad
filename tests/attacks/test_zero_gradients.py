"""An attack whose every gradient is zero or not finite says so, and no other does."""

import warnings

import pytest
import torch
from contracts import known_inputs, small_net

import inputopt
from inputopt.attacks import APGD, DDN, FGSM, PGD, DeepFool, MinimalNorm, Square
from inputopt.search.host_sync import as_if_asynchronous
from inputopt.search.inputs import InputoptWarning

GRADIENTS = [
    PGD(steps=3),
    FGSM(),
    APGD(steps=3),
    PGD("l2", steps=3),
    DDN(steps=3),
    DeepFool(steps=3),
    MinimalNorm("l2", queries=20),
]


def flat(x):
    """Logits that depend on x in steps, with a gradient of zero."""
    return small_net()((4 * x).round() / 4 + 0 * x)


def undefined(x):
    """Logits whose gradient is NaN: that of a square root at zero, times zero."""
    return small_net()(x) + 0 * (x - x).sqrt().sum(1, keepdim=True)


def straight(x):
    return small_net()(x)


@pytest.mark.parametrize("attack", GRADIENTS)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_gradients_that_are_zero_everywhere_are_warned_of(attack, asynchronous):
    x, y = known_inputs(count=5)
    y = straight(x).argmax(1)

    def constant(x):
        return 0 * x[:, :1] + 5 * torch.nn.functional.one_hot(y[:1], 6).to(x)

    context = as_if_asynchronous() if asynchronous else warnings.catch_warnings()
    with context, pytest.warns(InputoptWarning, match="Every gradient of this attack was zero"):
        attack(constant, x, y[:1].expand(5))


def test_gradients_that_are_nan_everywhere_are_warned_of():
    x, _ = known_inputs(count=5)
    with pytest.warns(InputoptWarning, match="Every gradient of this attack was NaN or infinite"):
        PGD(eps=1e-4, steps=3)(undefined, x)


@pytest.mark.parametrize("attack", [*GRADIENTS, Square(steps=5)])
def test_other_networks_are_not(attack):
    x, y = known_inputs(count=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attack(straight, x, y)


def test_one_example_with_a_gradient_is_enough_and_so_are_successes_alone():
    x, _ = known_inputs(count=5)
    y = straight(x).argmax(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        where = torch.arange(5)[:, None] == 4
        PGD(steps=3, eps=1e-4)(lambda x: straight(torch.where(where[: len(x)], x, x.detach())), x, y, seed=1)
        PGD(steps=3)(lambda x: 0 * x[:, :6], x, torch.full((5,), 3))  # class 0 is predicted: all are misclassified
    with pytest.warns(InputoptWarning, match="zero"):
        PGD(steps=3)(flat, x, y)
    with warnings.catch_warnings():  # `evaluate` has indicators instead
        warnings.simplefilter("error")
        assert "zero_gradient" in {each.id for each in inputopt.evaluate(flat, x, y, preset="quick").indicators}
