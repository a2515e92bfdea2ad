"""Every attack in its norms, with few steps: for checks of what must hold of all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import inputopt

A = inputopt.attacks
RADIUS = {"l0": 3.0, "l1": 1.5, "l2": 0.5, "linf": 0.15}
FIXED: dict[str, Callable[[str, float], Any]] = {
    "FGSM": lambda norm, eps: A.FGSM(norm, eps),
    "BIM": lambda norm, eps: A.BIM(norm, eps, steps=5),
    "PGD": lambda norm, eps: A.PGD(norm, eps, steps=5, restarts=2),
    "MIFGSM": lambda norm, eps: A.MIFGSM(norm, eps, steps=5),
    "NIFGSM": lambda norm, eps: A.NIFGSM(norm, eps, steps=5),
    "APGD": lambda norm, eps: A.APGD(norm, eps, steps=8),
    "TargetedAPGD": lambda norm, eps: A.TargetedAPGD(norm, eps, steps=6, targets=2),
    "Square": lambda norm, eps: A.Square(norm, eps, steps=8),
}
NORMS = {"Square": ("linf", "l2"), "APGD": ("l1", "l2", "linf"), "TargetedAPGD": ("l1", "l2", "linf")}
NEAREST: dict[str, Callable[[], Any]] = {
    "DDN": lambda: A.DDN(steps=15),
    "FMN in l0": lambda: A.FMN("l0", steps=15),
    "FMN in l1": lambda: A.FMN("l1", steps=15),
    "FMN in l2": lambda: A.FMN("l2", steps=15),
    "FMN in linf": lambda: A.FMN("linf", steps=15),
    "DeepFool in l2": lambda: A.DeepFool(steps=8),
    "DeepFool in linf": lambda: A.DeepFool("linf", steps=8),
    "SuperDeepFool": lambda: A.SuperDeepFool(steps=6, halvings=6),
    "FAB in l1": lambda: A.FAB("l1", steps=8),
    "FAB in l2": lambda: A.FAB("l2", steps=8),
    "FAB in linf": lambda: A.FAB("linf", steps=8),
    "TrustRegion in l2": lambda: A.TrustRegion("l2", steps=40),
    "TrustRegion in linf": lambda: A.TrustRegion("linf", steps=40),
    "JSMA": lambda: A.JSMA(steps=6),
    "SigmaZero": lambda: A.SigmaZero(steps=20),
    "PDPGD in l1": lambda: A.PDPGD("l1", steps=20),
    "PDPGD in l2": lambda: A.PDPGD("l2", steps=20),
    "PDGD": lambda: A.PDGD(steps=20),
    "ALMA in l1": lambda: A.ALMA("l1", steps=30),
    "ALMA in l2": lambda: A.ALMA("l2", steps=30),
    "CarliniWagner": lambda: A.CarliniWagner(steps=40, rounds=3, rate=0.03, weight=1.0),
    "EAD": lambda: A.EAD(steps=40, rounds=3, rate=0.03, weight=1.0),
    "MinimalNorm in l0": lambda: A.MinimalNorm("l0", queries=60),
    "MinimalNorm in l1": lambda: A.MinimalNorm("l1", queries=60),
    "MinimalNorm in l2": lambda: A.MinimalNorm("l2", queries=60),
    "MinimalNorm in linf": lambda: A.MinimalNorm("linf", queries=60),
}


def short_attacks(unit: float = 1.0) -> dict[str, Any]:
    """Attacks by name, for inputs whose bounds are `unit` apart."""
    found = {
        f"{name} in {norm}": make(norm, RADIUS[norm] * (1.0 if norm == "l0" else unit))
        for name, make in FIXED.items()
        for norm in NORMS.get(name, ("l0", "l1", "l2", "linf"))
    }
    return {**found, **{name: make() for name, make in NEAREST.items()}}


FEW = ("PGD in linf", "APGD in l2", "Square in linf", "DDN", "FMN in l0", "CarliniWagner", "MinimalNorm in l2")
"""One of each kind, where all would only repeat it."""


def each(check: Callable[[str, Any], None], unit: float = 1.0, only: Sequence[str] | None = None) -> None:
    """Make the check of every attack, or of those named, and fail with a list of all that did not pass.

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
