"""The last gradient attack still fooled inputs in its last steps."""

from __future__ import annotations

from inputopt.evaluation.indicators.indicator import Evidence, Indicator, percent

THRESHOLD = 0.02
"""Share of the inputs; half of the interval of 95 % of a robust accuracy on 1,000 inputs, which more steps exceed."""


def not_converged(evidence: Evidence) -> Indicator | None:
    """Accuracy was still falling: more steps would fool more inputs."""
    share = evidence.late / len(evidence.label)
    if evidence.late < 2 or share < THRESHOLD:
        return None
    return Indicator(
        "not_converged",
        share,
        f"The last gradient attack fooled {evidence.late} inputs ({percent(share)}) in the last tenth of its steps: "
        "more steps would fool more.",
        "Use a preset with longer searches, standard or thorough.",
        THRESHOLD,
    )
