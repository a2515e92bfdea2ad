"""The model's logits are NaN or infinite at clean inputs."""

from __future__ import annotations

from inputopt.evaluation.indicators.indicator import Evidence, Indicator, percent, share_of


def nonfinite_logits(evidence: Evidence) -> Indicator | None:
    """Inputs without finite logits: they count as misclassified. Reported at any share, since none is normal."""
    share = share_of(evidence.nonfinite_clean)
    if not share:
        return None
    return Indicator(
        "nonfinite_logits",
        share,
        f"The model's logits are NaN or infinite for {percent(share)} of the inputs: they count as misclassified and "
        "were not attacked.",
        "Find the operation that overflows, or compute in float64.",
    )
