"""How the shipped networks were made, so that they can be made again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

import inputopt.zoo.digits as digits_data
from inputopt.files import write_text
from inputopt.nets.mlp import MLP
from inputopt.nets.store import save
from inputopt.training.train import Progress, train


@dataclass(frozen=True)
class Trained:
    """A trained network and what its card says: the recipe in words, and its accuracy on digits held out."""

    name: str
    net: nn.Module
    recipe: str
    accuracy: float


@dataclass(frozen=True)
class Recipe:
    """How to make a network: a function that may be watched, and how many trainings it takes."""

    make: Callable[[Callable[[Progress], None] | None], Trained]
    steps: int


def _digits_mlp(progress: Callable[[Progress], None] | None = None) -> Trained:
    """A perceptron of one hidden layer on the digits."""
    data = digits_data.load_digits()
    net = MLP([784, 128, 10], activation="relu", output="identity", seed=0)
    train(
        net,
        data.x,
        data.y,
        cost="cross_entropy",
        learning_rate=0.001,
        steps=RECIPES["digits-mlp"].steps,
        batch_size=50,
        optimiser="adam",
        seed=0,
        progress=progress,
    )
    recipe = "MLP 784-128-10, relu, softmax cross-entropy, Adam at 0.001, 2,000 batches of 50, seed 0"
    return Trained("digits-mlp", net, recipe, accuracy(net, data.held_x, data.held_y))


RECIPES = {"digits-mlp": Recipe(_digits_mlp, steps=2_000)}


@torch.no_grad()
def accuracy(net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    """The share of `x` [B, ...] that the network puts into its class `y` [B]."""
    return float((net(x).argmax(1) == y).double().mean())


def write(trained: Trained, folder: str | Path) -> Path:
    """Write `weights.safetensors` and `card.md` into `folder`; returns the folder."""
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
| data | {digits_data.SOURCE}; 4,000 to train on, 1,000 held out (100 a class) |
| input | `[B, 1, 28, 28]` in `[0, 1]`, ink is 1 |
| recipe | {trained.recipe} |
| made with | torch {torch.__version__}, by `inputopt train {trained.name.partition("-")[0]}` |
| parameters | {count:,} |
| accuracy, held out | {100 * trained.accuracy:.1f} % |
| sha256 of the weights | `{digest}` |

Undefended: made to be fooled. Another processor or torch may give other last digits, and so another hash.
""",
    )
    return folder
