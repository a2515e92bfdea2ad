"""Finite differences along a short step disagree with the gradient (shattered gradients; Athalye et al., 2018)."""

from __future__ import annotations

from inputopt.evaluation.indicators.indicator import Evidence, Indicator, percent, share_of
from inputopt.evaluation.probes.gradient_agreement import notable, pooled

THRESHOLD = 0.05
"""Share of the inputs; 0.00 on sound networks of all activations, and 0.49 or more on those known to be masked."""


def shattered_gradient(evidence: Evidence) -> Indicator | None:
    """The output changes by less than half or more than twice of what the gradient predicts for half a pixel level."""
    if evidence.traits.stateful:  # its outputs change between calls, whatever the gradient is
        return None
    first, later = evidence.agreement, evidence.later
    probes = [each for each in (first, later, pooled(first, later)) if each is not None]
    share = max((share_of(each.shattered) for each in probes if notable(each.shattered, THRESHOLD)), default=0.0)
    if not share:
        return None
    return Indicator(
        "shattered_gradient",
        share,
        f"The output changes otherwise than the gradient predicts at {percent(share)} of the inputs: gradients do not "
        "lead to adversarial examples.",
        "Replace the operation that shatters or falsifies the gradient by a smooth one for the attack (BPDA).",
        THRESHOLD,
    )
