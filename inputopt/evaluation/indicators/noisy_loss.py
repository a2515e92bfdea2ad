"""The gradient at the same input differs from call to call."""

from __future__ import annotations

from inputopt.evaluation.indicators.indicator import Evidence, Indicator, percent, share_of

THRESHOLD = 0.1
"""Share of the inputs: any of 8; the gradient of a deterministic network is the same up to rounding."""


def noisy_loss(evidence: Evidence) -> Indicator | None:
    """Noise in the backward pass, with logits that are the same in every forward or are drawn with the same seed."""
    if evidence.agreement is None:
        return None
    share = share_of(evidence.agreement.noisy)
    if share < THRESHOLD:
        return None
    return Indicator(
        "noisy_loss",
        share,
        f"The gradient has another direction when it is computed again at {percent(share)} of the inputs: single "
        "gradients are misleading.",
        "Average gradients over many backwards (eot_samples), or remove the noise from the backward pass.",
        THRESHOLD,
    )
