"""The model returns hard labels, or votes, where logits are expected."""

from __future__ import annotations

import torch

from inputopt.evaluation.indicators.indicator import Evidence, Indicator

VALUES = 4
"""Largest number of different values among the outputs of at least 8 inputs that counts as labels or votes."""

INPUTS = 8
"""Fewest inputs from which this is concluded."""


def hard_labels(evidence: Evidence) -> Indicator | None:
    """Outputs with very few different values: they do not show how near an input is to the boundary."""
    values = len(torch.unique(evidence.logits))
    if len(evidence.logits) < INPUTS or values > VALUES:
        return None
    return Indicator(
        "hard_labels",
        values,
        f"The model's outputs have only {values} different values, like labels or votes: no attack sees how near an "
        "input is to the boundary, and the figure is too high.",
        "Return the scores that the labels are computed from.",
        VALUES,
    )
