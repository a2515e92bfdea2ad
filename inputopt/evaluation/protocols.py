"""Evaluation protocols: sequences of attacks, each run on the inputs that are still robust."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from inputopt import checks
from inputopt.attacks.attack import Attack
from inputopt.attacks.multi_targeted import MultiTargeted, Round
from inputopt.attacks.pgd import PGD
from inputopt.attacks.square import Square
from inputopt.evaluation.state import Selection, all_robust, margin_below, margin_reduced
from inputopt.search.norms import NormName

WIDE, WIDER = (2.0,), (3.0,)


@dataclass(frozen=True)
class Stage:
    """One attack of a protocol; norm and eps are filled in later.

    Margins predict well on which inputs a further attack may succeed. If a few steps towards the likeliest classes,
    also from an enlarged ball, leave an input far from the boundary, hundreds more steps do not succeed either. Nearer
    to it, one long run from an enlarged ball towards the likeliest class finds most adversarial examples.

    Attributes:
        name: name of the stage in the report.
        attack: the attack.
        where: which of the inputs that are still robust are attacked.
    """

    name: str
    attack: Attack
    where: Selection = all_robust


def _quick() -> list[Stage]:
    wide = MultiTargeted(rounds=(Round(1, 20, WIDER),), candidates=3)
    again = MultiTargeted(rounds=(Round(1, 40, WIDE),), candidates=3)
    return [
        Stage("PGD, 8 steps", PGD(steps=8)),
        Stage("likeliest class, from a larger ball", wide, margin_below(0.5)),
        Stage("likeliest class, near the boundary", again, margin_below(0.06)),
    ]


def _standard() -> list[Stage]:
    wide = MultiTargeted(rounds=(Round(2, 20, WIDER),), candidates=5)
    second = MultiTargeted(rounds=(Round(9, 8), Round(2, 60, WIDE)))
    last = MultiTargeted(rounds=(Round(3, 100, WIDE),), candidates=5)
    return [
        Stage("PGD, 12 steps", PGD(steps=12)),
        Stage("likeliest classes", MultiTargeted(rounds=(Round(3, 10),))),
        Stage("likeliest classes, from a larger ball", wide, margin_below(0.45)),
        Stage("all classes, near the boundary", second, margin_below(0.15)),
        Stage("likeliest classes, nearest the boundary", last, margin_below(0.05)),
        *_square(40, 5000),
    ]


def _thorough() -> list[Stage]:
    every = MultiTargeted(rounds=(Round(9, 12), Round(4, 50, WIDER), Round(1, 100, WIDE)))
    deep = MultiTargeted(rounds=(Round(3, 200, WIDE), Round(9, 60, adaptive=True), Round(4, 100, WIDER)))
    return [
        *_standard()[:-2],
        Stage("all classes", every),
        Stage("PGD, 100 steps", PGD(steps=100)),
        Stage("all classes again, near the boundary", deep, margin_below(0.15)),
        *_square(1500, 5000),
    ]


def _square(steps: int, extra_steps: int) -> list[Stage]:
    """Square attack; it comes closer to the boundary than the gradient attacks only if gradients are masked."""
    return [
        Stage(f"Square, {steps:,} steps", Square(steps=steps)),
        Stage(f"Square, {extra_steps:,} steps, where it reduced the margin", Square(steps=extra_steps), margin_reduced),
    ]


def _sparse(steps: int, restarts: int) -> list[Stage]:
    return [
        Stage("PGD, 20 steps", PGD(steps=20, step_size=1.0, random_start=False)),
        Stage(f"PGD, {restarts} x {steps} steps", PGD(steps=steps, step_size=1.0, restarts=restarts)),
    ]


PresetName = Literal["quick", "standard", "thorough"]

PRESETS: dict[PresetName, Callable[[], list[Stage]]] = {"quick": _quick, "standard": _standard, "thorough": _thorough}
SPARSE: dict[PresetName, tuple[int, int]] = {"quick": (50, 1), "standard": (100, 5), "thorough": (300, 20)}


def find_protocol(preset: PresetName, norm: NormName) -> list[Stage]:
    """The stages of a preset for a norm; attacks that do not support the norm are left out.

    Raises:
        ValueError: an unknown preset or norm.
    """
    checks.one_of("preset", preset, PRESETS)
    stages = _sparse(*SPARSE[preset]) if norm == "l0" else PRESETS[preset]()
    stages = [stage for stage in stages if norm in stage.attack.norms]
    return [replace(stage, attack=replace(stage.attack, norm=norm)) for stage in stages]
