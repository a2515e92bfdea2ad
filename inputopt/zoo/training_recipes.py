"""Training recipes of the shipped networks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

import inputopt.zoo.digits as digits_data
from inputopt.attacks import PGD
from inputopt.files import write_text
from inputopt.nets.cnn import DigitsCNN
from inputopt.nets.mlp import MLP
from inputopt.nets.store import save
from inputopt.training.train import Loss, Perturb, Progress, train
from inputopt.wilson_interval import accuracy_text
from inputopt.zoo.certified_training import WORDS, certified_loss

Watch = Callable[[Progress], None]


@dataclass(frozen=True)
class Trained:
    """A trained network, with the recipe in words and the accuracy on held-out digits for its card.

    `cut_short` says when and why training ended early; it is empty if training was completed.
    """

    name: str
    net: nn.Module
    recipe: str
    accuracy: float
    cut_short: str = ""


@dataclass(frozen=True)
class Recipe:
    """A training function, which takes an optional progress callback, and its number of updates."""

    make: Callable[[Watch | None], Trained]
    steps: int


CROSS_ENTROPY = "softmax cross-entropy"


def _digits(
    name: str,
    net: nn.Module,
    words: str,
    watch: Watch | None,
    perturb: Perturb | None = None,
    loss: Loss | None = None,
    loss_words: str = CROSS_ENTROPY,
) -> Trained:
    """Train on the digits: softmax cross-entropy or `loss`, Adam with learning rate 0.001, batches of 50, seed 0."""
    data = digits_data.load_digits()
    steps = RECIPES[name].steps
    history = train(
        net,
        data.x,
        data.y,
        cost="cross_entropy",
        learning_rate=0.001,
        steps=steps,
        batch_size=50,
        optimiser="adam",
        seed=0,
        perturb=perturb,
        loss=loss,
        progress=watch,
    )
    recipe = f"{words}, {loss_words}, Adam with learning rate 0.001, {steps:,} batches of 50, seed 0"
    cut_short = (
        "" if history.trainings == steps else f"{history.stopped} after {history.trainings:,} of {steps:,} batches"
    )
    return Trained(name, net, recipe, accuracy(net, data.held_x, data.held_y), cut_short)


def _digits_mlp(watch: Watch | None = None) -> Trained:
    """An MLP with one hidden layer."""
    net = MLP([784, 128, 10], activation="relu", output="identity", seed=0)
    return _digits("digits-mlp", net, "MLP 784-128-10, relu", watch)


def _digits_cnn(watch: Watch | None = None) -> Trained:
    """A small convolutional network."""
    return _digits("digits-cnn", DigitsCNN(seed=0), "two strided convolutions and two linear layers, relu", watch)


ROBUST_EPS = 0.2


def _pgd_inputs(net: nn.Module, x: torch.Tensor, y: torch.Tensor, index: int) -> torch.Tensor:
    """PGD examples against the current network; eps rises linearly over the first 1,000 updates."""
    eps = ROBUST_EPS * min(1.0, (index + 1) / 1000)
    return PGD("linf", eps, steps=7, step_size=0.25)(net, x, y, seed=index).x


def _digits_cnn_robust(watch: Watch | None = None) -> Trained:
    """The same network, adversarially trained with PGD (Madry et al., 2018)."""
    words = f"as digits-cnn, adversarial training with PGD, 7 steps, Linf {ROBUST_EPS} reached after 1,000 batches"
    return _digits("digits-cnn-robust", DigitsCNN(seed=0), words, watch, _pgd_inputs)


def _digits_mlp_certified(watch: Watch | None = None) -> Trained:
    """The MLP, trained so that bounds prove its predictions."""
    net = MLP([784, 128, 10], activation="relu", output="identity", seed=0)
    return _digits("digits-mlp-certified", net, "as digits-mlp", watch, None, certified_loss, WORDS)


def _digits_cnn_certified(watch: Watch | None = None) -> Trained:
    """The convolutional network, trained so that bounds prove its predictions."""
    return _digits("digits-cnn-certified", DigitsCNN(seed=0), "as digits-cnn", watch, None, certified_loss, WORDS)


RECIPES = {
    "digits-mlp": Recipe(_digits_mlp, steps=2_000),
    "digits-cnn": Recipe(_digits_cnn, steps=2_000),
    "digits-cnn-robust": Recipe(_digits_cnn_robust, steps=3_000),
    "digits-mlp-certified": Recipe(_digits_mlp_certified, steps=4_000),
    "digits-cnn-certified": Recipe(_digits_cnn_certified, steps=4_000),
}


HELD_OUT_DIGITS = 10 * digits_data.HELD_OUT
"""Digits that accuracies of the recipes are measured on."""


@torch.no_grad()
def accuracy(net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    """Share of `x` [B, ...] that the network classifies as `y` [B]."""
    return float((net(x).argmax(1) == y).double().mean())


def write(trained: Trained, folder: str | Path) -> Path:
    """Write `weights.safetensors` and `card.md` into `folder`; return the folder."""
    folder = Path(folder)
    weights = folder / "weights.safetensors"
    save(trained.net, weights)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    count = sum(value.numel() for value in trained.net.parameters())
    write_text(
        folder / "card.md",
        f"""# {trained.name}

| | |
|---|---|
| data | {digits_data.SOURCE}; 4,000 for training, 1,000 held out (100 per class) |
| input | `[B, 1, 28, 28]` in `[0, 1]`, ink is 1 |
| recipe | {trained.recipe}{f"; NOT FINISHED: {trained.cut_short}" if trained.cut_short else ""} |
| made with | torch {torch.__version__}, by `inputopt train {trained.name}` |
| parameters | {count:,} |
| accuracy, held out | {accuracy_text(trained.accuracy, HELD_OUT_DIGITS)} |
| sha256 of the weights | `{digest}` |

Another processor or torch version may round differently, which changes the hash.
""",
    )
    return folder
