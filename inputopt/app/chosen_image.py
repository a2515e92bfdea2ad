"""The image that a user chose, and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from inputopt.app.fooling import DIGITS
from inputopt.app.loaded import Loaded, example_photo


@dataclass(frozen=True)
class Chosen:
    """An image with its source in words, such as "your drawing"; one is made at every choice."""

    image: Image.Image
    source: str


def example(loaded: Loaded, network: str) -> Chosen:
    """An image of the kind that the network takes: another digit at every call, or the photo.

    Raises:
        ModuleNotFoundError: the digits are not installed.
    """
    if network in DIGITS:
        return Chosen(loaded.next_digit(), "an example digit")
    return Chosen(example_photo(), "the example photo")
