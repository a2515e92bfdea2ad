"""The model's logits for an input depend on the other inputs of the batch."""

from __future__ import annotations

from inputopt.evaluation.indicators.indicator import Evidence, Indicator, percent


def batch_dependence(evidence: Evidence) -> Indicator | None:
    """Batch statistics in use, or another dependence on the batch: the final images were checked one at a time.

    Reported at any share, since a difference of logits above rounding is dependence.
    """
    if not evidence.batch_dependent:
        return None
    return Indicator(
        "batch_dependence",
        evidence.changed_alone,
        "The model's logits for an input depend on the rest of the batch: each image was evaluated alone, which gives "
        f"another class than its batch for {percent(evidence.changed_alone)} of the final images.",
        "Use statistics that do not depend on the batch (evaluation mode).",
    )
