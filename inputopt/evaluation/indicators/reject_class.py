"""A class that no label names is what most adversarial examples are classified as: a detector rejects them."""

from __future__ import annotations

import torch

from inputopt.evaluation.indicators.indicator import Evidence, Indicator, percent

AT_THE_END, BETWEEN = 0.3, 0.5
"""Share of the adversarial examples in the class, if it is the first or the last, as a reject class usually is, or not.

Where a sound network is evaluated without the inputs of one class, up to 0.23 of the adversarial examples are in a
first or last one, and up to 0.49 in another, on five networks of digits.
"""

SUCCESSES, REJECTED = 6, 3
"""Fewest adversarial examples, and fewest of them in the class, from which this is concluded."""


def reject_class(evidence: Evidence) -> Indicator | None:
    """Successes that a detector would catch: whether they count depends on what a rejection means.

    Concluded only where every other class has a label, so that a missing class is no accident.
    """
    classes, reached = evidence.traits.classes, evidence.fooled_class[evidence.fooled]
    seen = torch.zeros(classes, dtype=torch.bool, device=reached.device)
    seen[evidence.label] = True
    if int(seen.sum()) != classes - 1:
        return None
    missing = int((~seen).nonzero()[0, 0])
    rejected = reached == missing
    threshold = AT_THE_END if missing in (0, classes - 1) else BETWEEN
    if (
        len(reached) < SUCCESSES
        or int(rejected.sum()) < REJECTED
        or (share := float(rejected.double().mean())) < threshold
    ):
        return None
    return Indicator(
        "reject_class",
        share,
        f"{percent(share)} of the adversarial examples are classified as class {missing}, which is the label of none: "
        "it seems to reject inputs, and these count as misclassified here.",
        "Attack with a goal that excludes the class, and say what a rejection counts as.",
        threshold,
    )
