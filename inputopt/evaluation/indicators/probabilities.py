"""The model returns probabilities where logits are expected."""

from __future__ import annotations

from inputopt.evaluation.indicators.indicator import Evidence, Indicator
from inputopt.search.network_traits import PROBABILITIES


def probabilities(evidence: Evidence) -> Indicator | None:
    """Softmax outputs: their gradients vanish where the model is confident (Carlini and Wagner, 2017)."""
    if not evidence.traits.probabilities:
        return None
    return Indicator(
        "probabilities",
        1.0,
        PROBABILITIES,
        "Return the logits.",
        1.0,
        "The losses were computed from the logarithms of the outputs, which are logits where no probability is 0.",
        "not affected",
    )
