"""The model returns log-probabilities where logits are expected."""

from __future__ import annotations

from inputopt.evaluation.indicators.indicator import Evidence, Indicator, share_of

TOLERANCE = 1e-3
"""Largest sum of log-probabilities, in absolute value, in rounding: logits of a network have others."""


def log_probabilities(evidence: Evidence) -> Indicator | None:
    """Every row of outputs is at most 0, and its exponentials sum to 1; the losses used here do not change by it."""
    logits = evidence.logits
    normalised = (logits.amax(1) <= TOLERANCE) & (logits.logsumexp(1).abs() <= TOLERANCE)
    if share_of(normalised) < 1:
        return None
    return Indicator(
        "log_probabilities",
        1.0,
        "The model returns log-probabilities instead of logits: tools that apply another log-softmax to them may lose "
        "precision.",
        "Return the logits.",
        1.0,
        "The losses used here are differences of outputs, which are the same for both.",
        "not affected",
    )
