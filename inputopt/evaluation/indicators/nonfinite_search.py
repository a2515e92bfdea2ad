"""The attacks met logits or gradients that are NaN or infinite."""

from __future__ import annotations

from inputopt.evaluation.indicators.indicator import Evidence, Indicator


def nonfinite_search(evidence: Evidence) -> Indicator | None:
    """Points without finite logits or gradients on the way of an attack: none of them counts as a success."""
    met = evidence.nonfinite_met & ~evidence.nonfinite_clean
    if not bool(met.any()):
        return None
    share = float(met.double().mean())
    return Indicator(
        "nonfinite_search",
        share,
        f"The attacks met logits or gradients that are NaN or infinite at {100 * share:.1f} % of the inputs; no such "
        "point counts as a success.",
    )
