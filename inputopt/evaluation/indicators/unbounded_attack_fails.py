"""A gradient attack without a bound on the distance fails (Carlini et al., 2019)."""

from __future__ import annotations

from inputopt.evaluation.indicators.indicator import Evidence, Indicator, percent, share_of

THRESHOLD = 0.25
"""Share of the inputs; sound networks are fooled everywhere in the first steps, with none left of 16."""


def unbounded_attack_fails(evidence: Evidence) -> Indicator | None:
    """An image may become any other image, and the attack still does not find one of another class."""
    if evidence.unbounded is None:
        return None
    share = share_of(~evidence.unbounded.success)
    if share < THRESHOLD:
        return None
    return Indicator(
        "unbounded_attack_fails",
        share,
        f"A gradient attack that may change inputs by any amount fails at {percent(share)} of them: gradients do not "
        "lead to adversarial examples that certainly exist.",
        "Attack through a differentiable approximation of what hides the gradient, or without gradients.",
        THRESHOLD,
    )
