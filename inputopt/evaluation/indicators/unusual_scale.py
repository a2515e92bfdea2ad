"""The normalised inputs are very large: mean and std belong to other bounds."""

from __future__ import annotations

from inputopt.evaluation.indicators.indicator import Evidence, Indicator

LARGEST = 50.0
"""Normalised inputs usually lie within 3 of 0; those of [0, 255] with the mean and std of [0, 1] reach 800."""


def unusual_scale(evidence: Evidence) -> Indicator | None:
    """A network that was trained on other values may keep its accuracy, and loses robustness."""
    if evidence.largest_input <= LARGEST:
        return None
    return Indicator(
        "unusual_scale",
        evidence.largest_input,
        f"The inputs that the network gets after normalisation reach {evidence.largest_input:.4g}: mean and std seem "
        "to belong to inputs of another range, such as [0, 1] instead of [0, 255].",
        "Give mean and std in the units of the bounds: of inputs in [0, 255], 255 times those of [0, 1].",
        LARGEST,
    )
