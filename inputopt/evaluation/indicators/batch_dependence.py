"""The model's logits for an input depend on the other inputs of the batch."""

from __future__ import annotations

from inputopt.evaluation.indicators.indicator import Evidence, Indicator


def batch_dependence(evidence: Evidence) -> Indicator | None:
    """Batch statistics in use, or another dependence on the batch: the final images were checked one at a time."""
    if not evidence.batch_dependent:
        return None
    return Indicator(
        "batch_dependence",
        1.0,
        "The model's logits for an input depend on the rest of the batch: each final image was evaluated alone.",
    )
