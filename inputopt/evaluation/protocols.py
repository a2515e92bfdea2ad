"""Evaluation protocols: sequences of attacks, each run on the inputs that are still robust."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from inputopt import checks
from inputopt.attacks.apgd import APGD
from inputopt.attacks.apgd_targeted import TargetedAPGD
from inputopt.attacks.attack import Attack
from inputopt.attacks.multi_targeted import MultiTargeted, Round
from inputopt.attacks.pgd import PGD
from inputopt.attacks.sparse_rs import SparseRS
from inputopt.attacks.square import Square
from inputopt.evaluation.decision_search import DecisionSearch
from inputopt.evaluation.state import Selection, all_robust, margin_below, margin_reduced
from inputopt.search.norms import NormName
from inputopt.search.objectives.logits import attack_cross_entropy, margin, target_output
from inputopt.search.objectives.objective import Objective

WIDE, WIDER = (2.0,), (3.0,)


@dataclass(frozen=True)
class Stage:
    """One attack of a protocol; norm and eps are filled in later.

    Margins predict well on which inputs a further attack may succeed. If a few steps towards the likeliest classes,
    also from an enlarged ball, leave an input far from the boundary, hundreds more steps do not succeed either. Nearer
    to it, one long run from an enlarged ball towards the likeliest class finds most adversarial examples. This holds
    only where gradients lead: elsewhere `evaluate` ignores `where`, and runs the attack on all inputs still robust.

    Attributes:
        name: name of the stage in the report.
        attack: the attack.
        where: which of the inputs that are still robust are attacked.
        loss: loss that the attack minimises instead of its own, of the model's outputs as they are.
    """

    name: str
    attack: Attack
    where: Selection = all_robust
    loss: Objective | None = None


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
        Stage("PGD, 100 steps on the margin, near the boundary", PGD(steps=100), margin_below(0.25), margin),
        *_square(40, 5000),
    ]


def _thorough() -> list[Stage]:
    every = MultiTargeted(rounds=(Round(9, 12), Round(4, 50, WIDER), Round(1, 100, WIDE)))
    deep = MultiTargeted(rounds=(Round(3, 200, WIDE), Round(9, 60, adaptive=True), Round(4, 100, WIDER)))
    return [
        *_standard()[:-3],
        Stage("all classes", every),
        Stage("PGD, 100 steps", PGD(steps=100)),  # on all inputs, unlike that of the preset "standard"
        Stage("all classes again, near the boundary", deep, margin_below(0.15)),
        *_square(1500, 5000),
    ]


def _square(steps: int, extra_steps: int) -> list[Stage]:
    """Square attack; it comes closer to the boundary than the gradient attacks only if gradients are masked."""
    return [
        Stage(f"Square, {steps:,} steps", Square(steps=steps)),
        Stage(f"Square, {extra_steps:,} steps, where it reduced the margin", Square(steps=extra_steps), margin_reduced),
    ]


def _sparse(preset: PresetName) -> list[Stage]:
    """L0: PGD, and Sparse-RS, which also on sound networks finds sparse changes that gradients do not lead to."""
    steps, restarts, sets = SPARSE[preset]
    stages = [
        Stage("PGD, 20 steps", PGD(steps=20, step_size=1.0, random_start=False)),
        Stage(f"PGD, {restarts} x {steps} steps", PGD(steps=steps, step_size=1.0, restarts=restarts)),
    ]
    return [*stages, _black_box("l0", sets)] if sets else stages


PresetName = Literal["quick", "standard", "thorough"]

PRESETS: dict[PresetName, Callable[[], list[Stage]]] = {"quick": _quick, "standard": _standard, "thorough": _thorough}
SPARSE: dict[PresetName, tuple[int, int, int]] = {
    "quick": (50, 1, 0),
    "standard": (100, 5, 1000),
    "thorough": (300, 20, 5000),
}
"""Steps and restarts of PGD, and steps of Sparse-RS, in L0."""

BLACK_BOX: dict[PresetName, int] = {"quick": 300, "standard": 5000, "thorough": 10_000}
"""Steps of the gradient-free search where gradients do not lead, or do not exist; AutoAttack's Square has 5,000."""

DECISIONS: dict[PresetName, int] = {"quick": 1000, "standard": 5000, "thorough": 10_000}
"""Queries of HopSkipJump, which has found little after 300: on digits-mlp, L2 0.5 and 1, accuracy .88 and .80 after
300, .80 and .58 after 1,000, where gradients give .60 and .33."""

APGD_STEPS: dict[PresetName, int] = {"quick": 0, "standard": 100, "thorough": 200}
"""Steps of APGD where gradients do not lead; 100 as in AutoAttack's standard protocol."""


def find_protocol(preset: PresetName, norm: NormName) -> list[Stage]:
    """The stages of a preset for a norm; attacks that do not support the norm are left out.

    Raises:
        ValueError: an unknown preset or norm.
    """
    checks.one_of("preset", preset, PRESETS)
    stages = _sparse(preset) if norm == "l0" else PRESETS[preset]()
    stages = [stage for stage in stages if norm in stage.attack.norms]
    return [_in_norm(stage, norm) for stage in stages]


def full_search(preset: PresetName, norm: NormName, classes: int, *, probabilities: bool = False) -> list[Stage]:
    """The stages that follow a protocol where gradients do not lead: what AutoAttack's standard protocol would run.

    APGD and its targeted form are those of AutoAttack (Croce and Hein, 2020) in other norms than L0; the gradient-free
    search is Square or Sparse-RS. Where the outputs are `probabilities`, APGD also follows these themselves: their
    logarithms have steeper gradients, but none where a probability was rounded to 0.
    """
    steps = APGD_STEPS[preset]
    by_gradient: list[Stage] = []
    if steps and norm != "l0":
        loss: Literal["dlr", "margin"] = "dlr" if classes >= DLR_CLASSES else "margin"
        once, each = APGD(steps=steps), TargetedAPGD(steps=steps, loss=loss)
        by_gradient = [Stage(f"APGD, {steps} steps", once), Stage(f"APGD, {steps} steps towards each class", each)]
        if probabilities:
            by_gradient += [
                Stage(f"APGD, {steps} steps on the probabilities", once, loss=attack_cross_entropy),
                Stage(f"APGD, {steps} steps on the probability of each class", each, loss=target_output),
            ]
    return [*(_in_norm(stage, norm) for stage in by_gradient), _black_box(norm, BLACK_BOX[preset])]


def without_shortcuts(stages: list[Stage]) -> list[Stage]:
    """The stages on all inputs that are still robust, without those that repeat a search on a selection of them."""
    return [replace(stage, where=all_robust) for stage in stages if stage.where is not margin_reduced]


DLR_CLASSES = 4
"""Classes that the targeted DLR loss needs (Croce and Hein, 2020)."""


def gradient_free_protocol(preset: PresetName, norm: NormName) -> list[Stage]:
    """The stages for a network without a derivative: by its scores, and by its classes alone."""
    return [_black_box(norm, BLACK_BOX[preset]), *decision_protocol(preset, norm)]


def decision_protocol(preset: PresetName, norm: NormName) -> list[Stage]:
    """A decision-based search, which does not depend on scores that lead, in the norms that have one."""
    if norm not in DecisionSearch.norms:
        return []
    queries = DECISIONS[preset]
    return [_in_norm(Stage(f"HopSkipJump, {queries:,} queries", DecisionSearch(queries=queries)), norm)]


def one_by_one_protocol(preset: PresetName, norm: NormName, classes: int) -> list[Stage]:
    """The stages for a network whose logits depend on the batch: attacks that can search each input in a batch of one.

    Restarts and targets that share a batch would change the logits that an input is judged by.
    """
    first, then = {"quick": (8, 40), "standard": (12, 100), "thorough": (12, 200)}[preset]
    stages = [Stage(f"PGD, {steps} steps", PGD(steps=steps)) for steps in (first, then)]
    if preset != "quick" and norm != "l0":
        targeted = TargetedAPGD(steps=then, targets=min(3, classes - 1), loss="margin")
        stages.append(Stage(f"APGD, {then} steps towards each of the likeliest classes", targeted))
    return [_in_norm(stage, norm) for stage in stages]


def _black_box(norm: NormName, steps: int) -> Stage:
    """The gradient-free search of a norm: Sparse-RS in L0, Square in others."""
    if norm == "l0":
        return Stage(f"Sparse-RS, {steps:,} steps", SparseRS(steps=steps))
    return _in_norm(Stage(f"Square, full search of {steps:,} steps", Square(steps=steps)), norm)


def _in_norm(stage: Stage, norm: NormName) -> Stage:
    return replace(stage, attack=replace(stage.attack, norm=norm))
