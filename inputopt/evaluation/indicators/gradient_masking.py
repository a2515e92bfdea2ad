"""An attack without gradients succeeds where gradient attacks failed (Athalye et al., 2018)."""

from __future__ import annotations

from inputopt.evaluation.indicators.indicator import Evidence, Indicator


def gradient_masking(evidence: Evidence) -> Indicator | None:
    """Gradient-free attacks fooled inputs that earlier attacks had not."""
    fooled = sum(len(row.fooled) for row in evidence.rows if row.backwards == 0 and row.forwards)
    if not fooled:
        return None
    return Indicator(
        "gradient_masking",
        fooled,
        f"A gradient-free attack fooled {fooled} more inputs: this indicates gradient masking.",
    )
