"""The model's logits change from call to call."""

from __future__ import annotations

from inputopt.evaluation.indicators.indicator import Evidence, Indicator


def stateful_network(evidence: Evidence) -> Indicator | None:
    """A model with a state: figures are means over further calls and cannot be reproduced exactly."""
    if not evidence.traits.stateful:
        return None
    return Indicator(
        "stateful_network",
        1.0,
        "The model's logits change from call to call, because of internal state or randomness: all accuracies are "
        "means over further calls and cannot be reproduced exactly.",
        "Reset the state before each call, or seed the model's own generator.",
        1.0,
    )
