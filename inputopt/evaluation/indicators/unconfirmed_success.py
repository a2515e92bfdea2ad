"""Images fooled the model in an attack but not in the final check."""

from __future__ import annotations

from inputopt.evaluation.indicators.indicator import Evidence, Indicator


def unconfirmed_success(evidence: Evidence) -> Indicator | None:
    """Successes that did not hold when they were checked again: they count as robust. Reported at any count."""
    count = evidence.unconfirmed
    if not count:
        return None
    return Indicator(
        "unconfirmed_success",
        count,
        f"{count} images fooled the model in an attack but not when evaluated again: they count as robust.",
        "Find out why the model's answers differ: randomness, state, or a dependence on the batch.",
        1.0,
    )
