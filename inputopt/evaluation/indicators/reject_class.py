"""A class that no label names is what most adversarial examples are classified as: a detector rejects them."""

from __future__ import annotations

import torch

from inputopt.evaluation.indicators.indicator import Evidence, Indicator, percent

THRESHOLD = 0.4
"""Share of the adversarial examples in one class; in sound networks they are spread over several classes."""

SUCCESSES = 6
"""Fewest adversarial examples from which this is concluded."""


def reject_class(evidence: Evidence) -> Indicator | None:
    """Successes that a detector would catch: whether they count depends on what a rejection means.

    Concluded only where every other class has a label, so that a missing class is no accident.
    """
    classes, reached = evidence.traits.classes, evidence.fooled_class[evidence.fooled]
    seen = torch.zeros(classes, dtype=torch.bool, device=reached.device)
    seen[evidence.label] = True
    if int(seen.sum()) != classes - 1 or len(reached) < SUCCESSES:
        return None
    missing = int((~seen).nonzero()[0, 0])
    share = float((reached == missing).double().mean())
    if share < THRESHOLD:
        return None
    return Indicator(
        "reject_class",
        share,
        f"{percent(share)} of the adversarial examples are classified as class {missing}, which is the label of none: "
        "it seems to reject inputs, and these count as misclassified here.",
        "Attack with a goal that excludes the class, and say what a rejection counts as.",
        THRESHOLD,
    )
