"""The attacks met logits or gradients that are NaN or infinite."""

from __future__ import annotations

from inputopt.evaluation.indicators.indicator import Evidence, Indicator, percent, share_of


def nonfinite_search(evidence: Evidence) -> Indicator | None:
    """Points without finite logits or gradients on the way of an attack: none of them counts as a success.

    Reported at any share, since none is normal.
    """
    share = share_of(evidence.nonfinite_met & ~evidence.nonfinite_clean)
    if not share:
        return None
    return Indicator(
        "nonfinite_search",
        share,
        f"The attacks met logits or gradients that are NaN or infinite at {percent(share)} of the inputs; no such "
        "point counts as a success.",
        "Find the operation that overflows or divides by zero, or compute in float64.",
    )
