"""An attack without gradients succeeds where gradient attacks failed (Athalye et al., 2018)."""

from __future__ import annotations

from inputopt.evaluation.indicators.indicator import Evidence, Indicator, percent

THRESHOLD = 0.01
"""Share of the inputs; a single input, or fewer, may be fooled by chance also on sound networks."""


def gradient_masking(evidence: Evidence) -> Indicator | None:
    """Gradient-free attacks fooled inputs that all gradient attacks before them had not."""
    if not any(row.backwards for row in evidence.rows):
        return None
    fooled = sum(len(row.fooled) for row in evidence.rows if row.backwards == 0 and row.forwards)
    share = fooled / len(evidence.label)
    if fooled < 2 or share < THRESHOLD or evidence.sparse:
        return None
    return Indicator(
        "gradient_masking",
        share,
        f"A gradient-free attack fooled {fooled} more inputs ({percent(share)}) than the gradient attacks before it: "
        "this indicates gradient masking.",
        "Attack through a differentiable approximation of the layer that hides the gradient (BPDA), or with a longer "
        "gradient-free search.",
        THRESHOLD,
    )
