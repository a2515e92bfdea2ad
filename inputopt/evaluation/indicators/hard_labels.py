"""The model returns hard labels, or votes, where logits are expected."""

from __future__ import annotations

import torch
from torch import Tensor

from inputopt.evaluation.indicators.indicator import Evidence, Indicator

VALUES = 4
"""Largest number of different values among the outputs of at least 8 inputs that counts as labels or votes."""

INPUTS = 8
"""Fewest inputs from which this is concluded."""


def only_labels(logits: Tensor) -> bool:
    """Whether outputs [B, n] have very few different values, like labels or votes."""
    return _few_values(logits) is not None


def _few_values(logits: Tensor) -> int | None:
    """Number of different values of outputs [B, n]; None if they are too many, or the inputs too few to tell."""
    values = len(torch.unique(logits)) if len(logits) >= INPUTS else VALUES + 1
    return values if values <= VALUES else None


def hard_labels(evidence: Evidence) -> Indicator | None:
    """Outputs with very few different values: they do not show how near an input is to the boundary."""
    values = _few_values(evidence.logits)
    if values is None:
        return None
    return Indicator(
        "hard_labels",
        values,
        f"The model's outputs have only {values} different values, like labels or votes: attacks by scores do not see "
        "how near an input is to the boundary, a search by classes alone is weaker, and the figure is too high.",
        "Return the scores that the labels are computed from; where a service returns none, the preset thorough "
        "searches with 10,000 queries per input.",
        VALUES,
    )
