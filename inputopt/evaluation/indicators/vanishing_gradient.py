"""The loss is flat: outputs are saturated, or logits so large or small that a loss of them underflows."""

from __future__ import annotations

import torch

from inputopt.evaluation.indicators.indicator import Evidence, Indicator, percent, share_of
from inputopt.evaluation.probes.flat_cause import FlatCause
from inputopt.search.objectives.logits import best_other, logit_of

THRESHOLD = 0.05
"""Share of the probed inputs at which no change of the output can be resolved; none on sound networks."""

SATURATED_LEAD = 88.0
"""Lead of a logit from which on the gradient of cross-entropy is exactly 0 in float32, as exp(-88) underflows."""

FLAT_LEAD = 0.05
"""Median lead below which probabilities are nearly equal although classes are right: trained logits lead by more."""

MOST = 0.5
"""Share of the inputs from which on the scale of the logits is reported."""


def vanishing_gradient(evidence: Evidence) -> Indicator | None:
    """Gradients below the resolution of the outputs, saturated outputs, or a scale at which cross-entropy is flat."""
    agreement = evidence.agreement
    if agreement is not None and agreement.has_gradient:
        flat = agreement.vanishing | (agreement.zero & (evidence.cause is FlatCause.SATURATED))
        share = share_of(flat)
        if share >= THRESHOLD:
            why = "" if evidence.cause is None else f" ({evidence.cause.value})"
            return Indicator(
                "vanishing_gradient",
                share,
                f"The gradient vanishes at {percent(share)} of the inputs{why}: gradient attacks cannot start there.",
                "Attack the logits before the saturation, or rescale them.",
                THRESHOLD,
            )
    return _scale(evidence)


def _scale(evidence: Evidence) -> Indicator | None:
    """The scale of the logits at the inputs that are classified correctly."""
    if evidence.traits.probabilities or not bool(evidence.correct.any()):
        return None
    logits, label = evidence.logits[evidence.correct], evidence.label[evidence.correct]
    lead = (logit_of(logits, label) - best_other(logits, label)).double()
    large = share_of(lead > SATURATED_LEAD)
    applied = "The losses used here are differences of logits, which do not underflow; the figure is not affected."
    if large >= MOST:
        return Indicator(
            "vanishing_gradient",
            large,
            f"The logits are so large that the gradient of cross-entropy is exactly 0 at {percent(large)} of the "
            "inputs.",
            "Divide the logits by a constant in tools that use cross-entropy.",
            MOST,
            applied,
            "not affected",
        )
    if float(lead.median()) < FLAT_LEAD and float(lead.median()) > 0 and not _hard(evidence.logits):
        return Indicator(
            "vanishing_gradient",
            float(lead.median()),
            f"The logits lead by only {float(lead.median()):.2g} in the median: cross-entropy and its gradient hardly "
            "change, and may underflow.",
            "Multiply the logits by a constant in tools that use cross-entropy.",
            FLAT_LEAD,
            applied,
            "not affected",
        )
    return None


def _hard(logits: torch.Tensor) -> bool:
    """Whether all logits are integers, such as votes."""
    return bool((logits == logits.round()).all())
