"""What an evaluation runs: attacks in order, each on the inputs that the ones before it left standing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from inputopt import checks
from inputopt.recipes.attacks.apgd import APGD, TargetedAPGD
from inputopt.recipes.attacks.base import Attack
from inputopt.recipes.attacks.pgd import PGD
from inputopt.recipes.attacks.square import Square

NEAR = 0.2


@dataclass(frozen=True)
class Stage:
    """One attack of a protocol, and what the report calls it; norm and eps are filled in.

    `near`: only inputs whose margin the attacks before brought down to this part of the clean one. The others are far
    from the boundary, and only `thorough` goes on with them. The choice is made for each input by itself.
    """

    name: str
    attack: Attack
    near: float = math.inf


def _first(steps: int) -> list[Stage]:
    """What brings down most: a short look, and a search from a wide ball towards the likeliest classes."""
    wide = TargetedAPGD(steps=steps, targets=3, loss="margin", random_start=False, wide=(3.0,))
    return [
        Stage("APGD margin, 10 steps", APGD(steps=10, loss="margin", random_start=False)),
        Stage(f"targeted APGD from a wide ball, 3 x {steps}", wide),
    ]


def _quick() -> list[Stage]:
    again = TargetedAPGD(steps=25, targets=3, loss="margin", random_start=False, wide=(1.5,))
    return [*_first(12), Stage("targeted APGD, 3 x 25, where near", again, near=NEAR / 2)]


def _standard() -> list[Stage]:
    other = TargetedAPGD(steps=50, targets=4, loss="margin", random_start=False, wide=(1.5,))
    return [
        *_first(20),
        Stage("APGD from wide balls, 50 steps, where near", APGD(steps=50, random_start=False, wide=(3.0, 2.0)), NEAR),
        Stage("targeted APGD, 4 x 50, where near", other, NEAR),
    ]


def _thorough() -> list[Stage]:
    wide = TargetedAPGD(steps=60, targets=9, loss="margin", random_start=False, wide=(3.0, 2.0))
    return [
        *_standard(),
        Stage("targeted APGD from wide balls, 9 x 60", wide),
        Stage("APGD, 100 steps", APGD(steps=100)),
        Stage("targeted APGD DLR, 9 x 50", TargetedAPGD(steps=50, targets=9)),
        Stage("Square, 1,500 steps", Square(steps=1500)),
    ]


def _sparse(steps: int, restarts: int) -> list[Stage]:
    return [
        Stage("PGD, 20 steps", PGD(steps=20, step_size=1.0, random_start=False)),
        Stage(f"PGD, {restarts} x {steps} steps", PGD(steps=steps, step_size=1.0, restarts=restarts)),
    ]


PRESETS: dict[str, Callable[[], list[Stage]]] = {"quick": _quick, "standard": _standard, "thorough": _thorough}
SPARSE: dict[str, tuple[int, int]] = {"quick": (50, 1), "standard": (100, 5), "thorough": (300, 20)}


def find_protocol(preset: str, norm: str) -> list[Stage]:
    """The attacks of a preset in a norm.

    Raises:
        ValueError: an unknown preset or norm.
    """
    checks.one_of("preset", preset, PRESETS)
    stages = _sparse(*SPARSE[preset]) if norm == "l0" else PRESETS[preset]()
    if norm == "l1":
        stages = [stage for stage in stages if not isinstance(stage.attack, Square)]
    return [replace(stage, attack=replace(stage.attack, norm=norm)) for stage in stages]
