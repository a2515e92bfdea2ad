"""Real photos and a real network, for all tests: the photos ship with scikit-image and scikit-learn."""

import functools
from importlib.util import find_spec
from pathlib import Path

import torch
from torch.nn import functional

import inputopt
from inputopt.pictures.picture import read_photo

FOLDERS = {"skimage": "data", "sklearn": "datasets/images"}
NAMES = ("china.jpg", "flower.jpg", "coffee.png", "chelsea.png", "rocket.jpg", "astronaut.png")


@functools.cache
def lite0():
    """EfficientNet-Lite0, loaded once for the whole session."""
    return inputopt.load("efficientnet-lite0")


@functools.cache
def frozen_lite0():
    """It again, held still."""
    return inputopt.Frozen(lite0())


def photo(name):
    """Where a photo of `NAMES` is; neither package is imported for it."""
    package = "sklearn" if name in ("china.jpg", "flower.jpg") else "skimage"
    return Path(find_spec(package).origin).parent / FOLDERS[package] / name


@functools.cache
def pixels(name, height=None, width=None):
    """A photo [1, 3, H, W] in [0, 1], of its own size or scaled to another."""
    x = read_photo(photo(name), 3)[None]
    return x if height is None else functional.interpolate(x, (height, width), mode="bilinear", antialias=True)


def batch(height, width):
    """All photos at one size, [6, 3, H, W]."""
    return torch.cat([pixels(name, height, width) for name in NAMES])
