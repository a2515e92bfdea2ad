"""What an evaluation runs: attacks in order, each on the inputs that the ones before it left standing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from inputopt import checks
from inputopt.attacks.attack import Attack
from inputopt.attacks.multi_targeted import MultiTargeted, Round
from inputopt.attacks.pgd import PGD
from inputopt.attacks.square import Square
from inputopt.evaluation.state import Where, everyone, gained, near

WIDE, WIDER = (2.0,), (3.0,)


@dataclass(frozen=True)
class Stage:
    """One attack of a protocol, and what the report calls it; norm and eps are filled in.

    `where`: who is attacked of those that stand. Margins tell well who may still fall: an input that a few steps
    towards the likeliest classes, also from a wide ball, leave far from the boundary does not fall to hundreds more;
    and where those are spent, one long run from a wide ball towards the likeliest class finds most.
    """

    name: str
    attack: Attack
    where: Where = everyone


def _quick() -> list[Stage]:
    wide = MultiTargeted(rounds=(Round(1, 20, WIDER),), candidates=3)
    again = MultiTargeted(rounds=(Round(1, 40, WIDE),), candidates=3)
    return [
        Stage("PGD, 8 steps", PGD(steps=8)),
        Stage("likeliest class, from a larger ball", wide, near(0.5)),
        Stage("likeliest class, where near", again, near(0.06)),
    ]


def _standard() -> list[Stage]:
    wide = MultiTargeted(rounds=(Round(2, 20, WIDER),), candidates=5)
    second = MultiTargeted(rounds=(Round(9, 8), Round(2, 60, WIDE)))
    last = MultiTargeted(rounds=(Round(3, 100, WIDE),), candidates=5)
    return [
        Stage("PGD, 12 steps", PGD(steps=12)),
        Stage("likeliest classes", MultiTargeted(rounds=(Round(3, 10),))),
        Stage("likeliest classes, from a larger ball", wide, near(0.45)),
        Stage("all classes, where near", second, near(0.15)),
        Stage("likeliest classes, where nearest", last, near(0.05)),
        *_without_gradients(40, 5000),
    ]


def _thorough() -> list[Stage]:
    every = MultiTargeted(rounds=(Round(9, 12), Round(4, 50, WIDER), Round(1, 100, WIDE)))
    deep = MultiTargeted(rounds=(Round(3, 200, WIDE), Round(9, 60, adaptive=True), Round(4, 100, WIDER)))
    return [
        *_standard()[:-2],
        Stage("all classes", every),
        Stage("PGD, 100 steps", PGD(steps=100)),
        Stage("all classes again, where near", deep, near(0.15)),
        *_without_gradients(1500, 5000),
    ]


def _without_gradients(steps: int, more: int) -> list[Stage]:
    """Where gradients lead, random squares come nowhere near as close; where these do, the gradients are masked."""
    return [
        Stage(f"Square, {steps:,} steps", Square(steps=steps)),
        Stage(f"Square, {more:,} steps, where it came closest", Square(steps=more), gained),
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
    stages = [stage for stage in stages if norm in stage.attack.norms]
    return [replace(stage, attack=replace(stage.attack, norm=norm)) for stage in stages]
