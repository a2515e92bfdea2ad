"""Groups of ImageNet classes for common words: several classes are kinds of cat, but none is called cat."""

from __future__ import annotations

import re
from collections.abc import Sequence

GROUPS: dict[str, Sequence[int]] = {
    "ape": range(365, 370),
    "bear": range(294, 298),
    "beetle": range(300, 307),
    "bicycle": (444, 671),
    "bird": (*range(7, 25), *range(80, 101), *range(127, 147)),
    "boat": (472, 484, 554, 576, 625, 814, 871, 914),
    "butterfly": range(321, 327),
    "car": (436, 468, 511, 609, 627, 656, 661, 751, 817),
    "cat": range(281, 286),
    "clock": (409, 530, 531, 826, 835, 892),
    "crab": (118, 119, 120, 121, 125),
    "crocodile": (49, 50),
    "dog": range(151, 269),
    "elephant": (101, 385, 386),
    "fish": (0, 1, *range(2, 7), *range(389, 398)),
    "flower": (985, 986),
    "fox": range(277, 281),
    "frog": range(30, 33),
    "fruit": range(948, 958),
    "horse": (339,),
    "insect": range(300, 327),
    "lizard": (*range(38, 49),),
    "monkey": range(370, 383),
    "mushroom": (947, *range(991, 998)),
    "plane": (404, 895),
    "salamander": range(25, 30),
    "sheep": (348, 349),
    "ship": (403, 510, 628, 724, 780, 913),
    "snake": range(52, 69),
    "spider": range(72, 78),
    "squirrel": (335,),
    "train": (466, 547, 705, 820),
    "truck": (555, 569, 717, 864, 867),
    "turtle": range(33, 38),
    "whale": (147, 148),
    "wolf": range(269, 272),
}
"""Class indices by word, in the singular."""


def matching_classes(word: str, names: Sequence[str], grouped: bool = False) -> list[int]:
    """Indices of `names` that a word, singular or plural, may mean: the names that contain it.

    `grouped`: the names are those of ImageNet, for which a word may also stand for a group of classes.

    >>> matching_classes("piano", ["grand piano", "violin", "upright piano"])
    [0, 2]
    """
    lower = word.lower().strip()
    for single in (lower, lower.removesuffix("s"), lower.removesuffix("es")):
        if grouped and single in GROUPS:
            return [index for index in GROUPS[single] if index < len(names)]
    pattern = re.compile(rf"\b{re.escape(lower.removesuffix('s'))}s?\b")
    return [index for index, name in enumerate(names) if lower and pattern.search(name.lower())]
