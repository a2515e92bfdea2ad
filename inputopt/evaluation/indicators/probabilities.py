"""The model returns probabilities where logits are expected."""

from __future__ import annotations

from inputopt.evaluation.indicators.indicator import Evidence, Indicator
from inputopt.search.network_traits import PROBABILITIES


def probabilities(evidence: Evidence) -> Indicator | None:
    """Softmax outputs: their gradients vanish where the model is confident (Carlini and Wagner, 2017)."""
    return Indicator("probabilities", 1.0, PROBABILITIES) if evidence.traits.probabilities else None
