"""The model has too few classes for DLR."""

from __future__ import annotations

from inputopt.evaluation.indicators.indicator import Evidence, Indicator

DLR_CLASSES = 4
"""Classes that the targeted DLR loss needs (Croce and Hein, 2020)."""


def few_classes(evidence: Evidence) -> Indicator | None:
    """Two or three classes: differences of logits replace DLR."""
    classes = evidence.traits.classes
    if classes >= DLR_CLASSES:
        return None
    return Indicator(
        "few_classes", classes, f"The model has {classes} classes: DLR is undefined, differences of logits are used."
    )
