"""The model's logits are NaN or infinite at clean inputs."""

from __future__ import annotations

from inputopt.evaluation.indicators.indicator import Evidence, Indicator


def nonfinite_logits(evidence: Evidence) -> Indicator | None:
    """Inputs without finite logits: they count as misclassified."""
    if not bool(evidence.nonfinite_clean.any()):
        return None
    share = float(evidence.nonfinite_clean.double().mean())
    return Indicator(
        "nonfinite_logits",
        share,
        f"The model's logits are NaN or infinite for {100 * share:.1f} % of the inputs: they count as "
        "misclassified and were not attacked.",
    )
