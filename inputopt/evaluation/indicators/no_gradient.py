"""The model has no derivative with respect to its input."""

from __future__ import annotations

from inputopt.evaluation.indicators.indicator import Evidence, Indicator


def no_gradient(evidence: Evidence) -> Indicator | None:
    """No path from the input to the outputs has a derivative: only searches that need none were run."""
    if evidence.has_gradient:
        return None
    return Indicator(
        "no_gradient",
        1.0,
        "The model's outputs have no gradient with respect to its input: only gradient-free searches were run, which "
        "find fewer adversarial examples, and the figure is likely too high.",
        "Replace the step without a derivative by a differentiable approximation for the attack (BPDA).",
        1.0,
    )
