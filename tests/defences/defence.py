"""What the registry of broken defences holds of each, and the sound networks that they are built on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

import inputopt
from defences.hand_attack import Attack
from inputopt import Frozen
from inputopt.nets.cnn import DigitsCNN

EPS = 0.1
"""Radius of the Linf ball in which all true robustness is measured."""


@dataclass(frozen=True)
class Defence:
    """One defence whose measured robustness is known to be wrong.

    Attributes:
        name: a name in small letters.
        source: the paper, or what people do by mistake.
        make: gives the defended network, always the same; it takes images [B, 1, 28, 28] in [0, 1].
        attack: the adaptive attack written by hand for it.
        indicators: ids of indicators, at least one of which should be reported.
        base: the name of the shipped network that it is built on; None for one trained here.
        random: whether outputs differ between draws, or from call to call: accuracies are means over fresh draws.
        alone: whether an output depends on the other inputs of the batch, so that images are judged one by one.
        clean: the lowest clean accuracy that it keeps; None where a low one is its fault.
        reject: the class by which a detector rejects an input; None for all others.
        late: added after the remedies were designed, in other styles, so that they are not fitted to the first ones.
    """

    name: str
    source: str
    make: Callable[[], nn.Module | Frozen]
    attack: Attack
    indicators: tuple[str, ...]
    base: str | None = "digits-cnn"
    random: bool = False
    alone: bool = False
    clean: float | None = 0.9
    reject: int | None = None
    late: bool = False


def cnn() -> DigitsCNN:
    """The undefended convolutional network; its own copy."""
    net = inputopt.load("digits-cnn")
    assert isinstance(net, DigitsCNN)
    return net


def mlp() -> inputopt.MLP:
    """The undefended MLP; its own copy."""
    net = inputopt.load("digits-mlp")
    assert isinstance(net, inputopt.MLP)
    return net


def robust_cnn() -> DigitsCNN:
    """The adversarially trained convolutional network; its own copy."""
    net = inputopt.load("digits-cnn-robust")
    assert isinstance(net, DigitsCNN)
    return net
