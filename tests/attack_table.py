"""One row for each attack: what the tests of all attacks need to know of it. A new attack adds its row here.

The contract table, the checks of devices, dtypes and mistakes, and the list of step rules are made from these rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

import inputopt
from inputopt.attacks import apgd, apgd_l1, fgsm, ni_fgsm, pgd, sparse_rs, square
from inputopt.attacks.minimal_norm import (
    alma,
    boundary_walk,
    carlini_wagner,
    closing_ball,
    ddn,
    deepfool,
    ead,
    fab,
    fmn,
    hop_skip_jump,
    jsma,
    pdpgd,
    random_starts,
    sigma_zero,
    trust_region,
)
from inputopt.attacks.run import AttackRun
from inputopt.search import norms

A = inputopt.attacks


class Distances(dict[str, float]):
    """A distance for each norm; for others the size of a change of 0.1 in each of 10 elements."""

    def __missing__(self, norm: str) -> float:
        return float(norms.find_norm(norm).size(torch.full((1, 10), 0.1)))


EPS = Distances(l0=2.0, l1=0.6, l2=0.3, linf=0.1)
"""Distances in the contract checks: some of the inputs can be fooled within them, and some cannot."""
RADIUS = Distances(l0=3.0, l1=1.5, l2=0.5, linf=0.15)
"""Distances of the short attacks, on inputs with bounds 1 apart."""
EVERY, SMOOTH = tuple(norms.NORMS), ("l1", "l2", "linf")

MakeStep = Callable[[AttackRun], Any]
"""(an attack's run) -> a step rule."""


@dataclass(frozen=True)
class Row:
    """An attack.

    Attributes:
        norms: those it takes.
        settings: with which it is quick and still finds something on the contract's network.
        short: with which it is quick on digits, where they are others; None if it is left out there.
        seeded: whether its result depends on the seed.
        gradient_free: whether it only looks at logits.
        steps: the step rules that its file defines, by name.
        fixed_distance: whether it takes an eps.
    """

    norms: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    short: Mapping[str, Any] | None = field(default_factory=dict)
    seeded: bool = False
    gradient_free: bool = False
    steps: Mapping[str, MakeStep] = field(default_factory=dict)
    fixed_distance: bool = False

    def made(self, name: str, norm: str, eps: float, settings: Mapping[str, Any] | None = None) -> Any:
        """The attack in one norm; those without a fixed distance need no eps."""
        settings = self.settings if settings is None else settings
        if name == "EpsilonBisection":
            return A.EpsilonBisection(A.PGD(norm, steps=8), **settings)
        return getattr(A, name)(norm=norm, **({"eps": eps} if self.fixed_distance else {}), **settings)


ROUNDS = (A.Round(2, 4), A.Round(1, 6, (3.0,)))
WEIGHED = {"steps": 60, "rounds": 3, "rate": 0.05}
SHORT_WEIGHED = {"steps": 40, "rounds": 3, "rate": 0.03, "weight": 1.0}

ROWS = {
    "FGSM": Row(EVERY, fixed_distance=True, steps={"LowestPointStep": lambda run: fgsm.LowestPointStep(norms.L2)}),
    "BIM": Row(EVERY, {"steps": 5}, {"steps": 5}, fixed_distance=True),
    "PGD": Row(
        EVERY,
        {"steps": 5, "restarts": 2},
        {"steps": 5, "restarts": 2},
        seeded=True,
        fixed_distance=True,
        steps={"pgd_step": lambda run: pgd.pgd_step(run, 0.3), "decaying_step": lambda run: pgd.decaying_step(run, 9)},
    ),
    "MIFGSM": Row(EVERY, {"steps": 5}, {"steps": 5}, fixed_distance=True),
    "NIFGSM": Row(
        EVERY,
        {"steps": 5},
        {"steps": 5},
        fixed_distance=True,
        steps={"NesterovStep": lambda run: ni_fgsm.NesterovStep(norms.LINF, steps=9, size=0.3)},
    ),
    "APGD": Row(
        SMOOTH,
        {"steps": 10, "loss": "dlr"},
        {"steps": 8},
        seeded=True,
        fixed_distance=True,
        steps={
            "APGDStep": lambda run: apgd.APGDStep(norms.L2, steps=4),
            "APGDL1Step": lambda run: apgd_l1.APGDL1Step(steps=50),
        },
    ),
    "TargetedAPGD": Row(
        SMOOTH, {"steps": 10, "targets": 2}, {"steps": 6, "targets": 2}, seeded=True, fixed_distance=True
    ),
    "Square": Row(
        ("linf", "l2", "l1"),
        {"steps": 20},
        {"steps": 8},
        seeded=True,
        gradient_free=True,
        fixed_distance=True,
        steps={
            "SquareLinf": lambda run: square.SquareLinf(steps=4, share=0.5, seed=0),
            "SquareBumps": lambda run: square.SquareBumps(power=2, steps=4, share=0.5, seed=0),
        },
    ),
    "SparseRS": Row(
        ("l0",),
        {"steps": 20},
        {"steps": 8},
        seeded=True,
        gradient_free=True,
        fixed_distance=True,
        steps={"SparseRSStep": lambda run: sparse_rs.SparseRSStep(steps=4, share=0.5, seed=0)},
    ),
    "MultiTargeted": Row(SMOOTH, {"rounds": ROUNDS}, None, seeded=True, fixed_distance=True),
    # --------------------------------------------------------------------------------------------------- minimal norm
    "DDN": Row(("l2",), {"steps": 20}, {"steps": 15}, steps={"DDNStep": lambda run: ddn.DDNStep(steps=4)}),
    "FMN": Row(EVERY, {"steps": 20}, {"steps": 15}, steps={"FMNStep": lambda run: fmn.FMNStep(norms.L2, steps=4)}),
    "DeepFool": Row(
        ("l2", "linf"),
        {},
        {"steps": 8},
        steps={"DeepFoolStep": lambda run: deepfool.DeepFoolStep(norms.L2, project_back=True)},
    ),
    "SuperDeepFool": Row(("l2",), {"steps": 8, "halvings": 5}, {"steps": 6, "halvings": 6}),
    "FAB": Row(SMOOTH, {"steps": 8}, {"steps": 8}, steps={"FABStep": lambda run: fab.FABStep(norms.L1)}),
    "TargetedFAB": Row(SMOOTH, {"steps": 8}, None),
    "TrustRegion": Row(
        ("l2", "linf"),
        {"radius": 0.2},
        {"steps": 40},
        steps={"TrustRegionStep": lambda run: trust_region.TrustRegionStep(norms.LINF, largest=0.5)},
    ),
    "JSMA": Row(("l0",), {}, {"steps": 6}, steps={"JSMAStep": lambda run: jsma.JSMAStep()}),
    "SigmaZero": Row(
        ("l0",), {"steps": 20}, {"steps": 20}, steps={"SigmaZeroStep": lambda run: sigma_zero.SigmaZeroStep(steps=4)}
    ),
    "PDPGD": Row(
        EVERY, {"steps": 60}, {"steps": 20}, steps={"PDPGDStep": lambda run: pdpgd.PDPGDStep(norms.L1, steps=4)}
    ),
    "PDGD": Row(("l2",), {"steps": 60}, {"steps": 20}, steps={"PDGDStep": lambda run: pdpgd.PDGDStep(steps=4)}),
    "ALMA": Row(
        ("l1", "l2"), {"steps": 40}, {"steps": 30}, steps={"ALMAStep": lambda run: alma.ALMAStep(norms.L2, steps=4)}
    ),
    "CarliniWagner": Row(
        ("l2",),
        WEIGHED,
        SHORT_WEIGHED,
        steps={"CarliniWagnerStep": lambda run: carlini_wagner.CarliniWagnerStep(steps=2)},
    ),
    "EAD": Row(("l1",), {**WEIGHED, "weight": 1.0}, SHORT_WEIGHED, steps={"EADStep": lambda run: ead.EADStep(steps=2)}),
    "HopSkipJump": Row(
        ("l2", "linf"),
        {"queries": 300},
        {"queries": 120},
        seeded=True,
        gradient_free=True,
        steps={
            "HalvingStep": lambda run: hop_skip_jump.HalvingStep(),
            "RandomImageStep": lambda run: random_starts.RandomImageStep(seed=0),
        },
    ),
    "EpsilonBisection": Row(EVERY, {"rounds": 4}, None, seeded=True),
    "MinimalNorm": Row(
        EVERY,
        {"queries": 240},
        {"queries": 60},
        seeded=True,
        steps={
            "ClosingBallStep": lambda run: closing_ball.ClosingBallStep(norms.L2, steps=4, wide=2.0, noise=1.0),
            "BoundaryWalkStep": lambda run: boundary_walk.BoundaryWalkStep(norms.L2),
        },
    ),
}


def steps(run: AttackRun) -> dict[str, Callable[[], Any]]:
    """Every attack's step rules, by name."""
    return {name: (lambda make=make: make(run)) for row in ROWS.values() for name, make in row.steps.items()}


def short_attacks(unit: float = 1.0) -> dict[str, Any]:
    """Attacks by name and norm, quick on digits, for inputs whose bounds are `unit` apart."""
    found: dict[str, Any] = {}
    for name, row in ROWS.items():
        for norm in row.norms if row.short is not None else ():
            eps = RADIUS[norm] * (1.0 if norm == "l0" else unit)
            found[f"{name} in {norm}"] = row.made(name, norm, eps, row.short)
    return found


def gradient_attacks(norm: str, eps: float) -> dict[str, Any]:
    """Short attacks at a fixed distance that follow gradients, in one norm, by name."""
    return {
        name: row.made(name, norm, eps, row.short)
        for name, row in ROWS.items()
        if row.fixed_distance and norm in row.norms and not row.gradient_free and row.short is not None
    }


FEW = (
    "PGD in linf",
    "APGD in l2",
    "Square in linf",
    "DDN in l2",
    "FMN in l0",
    "CarliniWagner in l2",
    "MinimalNorm in l2",
)
"""One of each kind, where all would only repeat it."""


def each(check: Callable[[str, Any], None], unit: float = 1.0, only: tuple[str, ...] | None = None) -> None:
    """Make the check of every short attack, or of those named, and fail with a list of all that did not pass.

    One test of all attacks instead of fifty that share their preparation.
    """
    failed = []
    for name, attack in short_attacks(unit).items():
        if only is None or name in only:
            try:
                check(name, attack)
            except Exception as error:  # gathered, and raised together below
                failed.append(f"{name}: {type(error).__name__} {(str(error).strip() or '?').splitlines()[0]}")
    assert not failed, "\n".join(failed)
