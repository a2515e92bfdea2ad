"""An eps that allows no change, or any change, is refused; each norm has its own default."""

import warnings

import pytest
import torch

import inputopt
from inputopt.attacks import FGSM, PGD, Square
from inputopt.search.inputs import InputoptWarning

X = torch.full((2, 1, 4, 4), 102 / 255)


def net(bounds=(0, 1)):
    return inputopt.Frozen(inputopt.MLP([16, 10], "identity", seed=0), bounds=bounds)


def test_each_norm_has_its_default():
    assert [PGD(norm).eps for norm in ("linf", "l2", "l1", "l0")] == [0.1, 0.5, 12.0, 24.0]
    assert PGD("l2", 0.25).eps == 0.25
    report = inputopt.evaluate(net(), X, norm="l2", preset="quick")
    assert report.settings["eps"] == 0.5
    assert inputopt.certify(inputopt.MLP([16, 10]), X, norm="l2", budget=0).eps.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("attack", [PGD, FGSM, Square])
def test_an_eps_below_one_level_is_refused(attack, norm):
    with pytest.raises(ValueError, match=r"eps 0\.0039 is less than one of the 256 levels of the inputs, 0\.003922"):
        attack(norm, 0.0039, levels=256)(net(), X)
    for eps in (0.0, 1 / 255):
        attack(norm, eps, levels=256)(net(), X)
    with pytest.raises(ValueError, match="levels of the inputs, 1, so that no input could change"):
        attack(norm, 0.1, levels=256)(net((0, 255)), 255 * X)
    with pytest.raises(ValueError, match="levels of the inputs"):
        inputopt.evaluate(net(), X, norm=norm, eps=torch.tensor([0.0039, 0.001]), levels=256)
    attack(norm, torch.tensor([0.0039, 0.004]), levels=256)(net(), X)  # one of the inputs may change


def test_a_count_below_one_is_refused():
    with pytest.raises(ValueError, match=r"eps 0\.5 is less than one input element, so that no input could change"):
        PGD("l0", 0.5)(net(), X)


@pytest.mark.parametrize(
    "call",
    [
        lambda net, eps: PGD(eps=eps)(net, X),
        lambda net, eps: inputopt.evaluate(net, X, eps=eps),
        lambda net, eps: inputopt.certify(net, X, eps=eps),
    ],
)
def test_an_eps_beyond_the_range_is_refused(call):
    with pytest.raises(ValueError, match=r"^eps 8 is larger than the width .* 0 to 1, .*; did you mean 8/255\?$"):
        call(net(), 8.0)
    with pytest.raises(ValueError, match="give a smaller one"):
        call(net(), 300.0)


def test_an_eps_of_the_whole_range_is_allowed_and_so_are_others_without_one():
    assert PGD(eps=1.0, steps=1)(net(), X).success.shape == (2,)
    assert PGD(eps=8.0, steps=1)(net((-float("inf"), float("inf"))), X).success.shape == (2,)
    assert PGD("l2", eps=3.0, steps=1)(net(), X).success.shape == (2,)
    assert PGD(eps=torch.tensor([0.1, 2.0]), steps=1)(net(), X).success.shape == (2,)  # of the distances of examples


def test_an_eps_of_the_wrong_range_is_warned_of():
    with pytest.warns(InputoptWarning, match="less than one 8-bit level .* in 0 to 255; .* 0.1 .* is 25.5 here"):
        PGD(steps=1)(net((0, 255)), 255 * X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PGD(eps=1.0, steps=1)(net((0, 255)), 255 * X)
