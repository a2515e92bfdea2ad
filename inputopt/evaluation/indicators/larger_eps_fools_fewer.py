"""A larger distance fools fewer inputs (Carlini et al., 2019)."""

from __future__ import annotations

from inputopt.evaluation.indicators.indicator import Evidence, Indicator, percent, share_of

THRESHOLD = 0.2
"""Share of the inputs that were fooled within eps and also attacked without a bound; one of 16 may be an accident."""


def larger_eps_fools_fewer(evidence: Evidence) -> Indicator | None:
    """Inputs that are fooled within eps, and not by an attack that may change them by any amount."""
    if evidence.unbounded is None:
        return None
    within = evidence.fooled[evidence.unbounded.rows]
    missed = within & ~evidence.unbounded.success
    share = share_of(~evidence.unbounded.success[within])
    if int(missed.sum()) < 2 or share < THRESHOLD:
        return None
    return Indicator(
        "larger_eps_fools_fewer",
        share,
        f"A gradient attack without a bound on the distance fails at {percent(share)} of the inputs that are fooled "
        "within eps, although a larger ball contains the smaller one: gradients do not lead.",
        "Attack through a differentiable approximation of what hides the gradient, or without gradients.",
        THRESHOLD,
    )
