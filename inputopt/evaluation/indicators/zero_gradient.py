"""The gradient of the margin is exactly zero at some inputs."""

from __future__ import annotations

from inputopt.evaluation.indicators.indicator import Evidence, Indicator, percent, share_of
from inputopt.evaluation.probes.flat_cause import FlatCause

THRESHOLD = 0.02
"""Share of the probed inputs: at least 2 of 64; sound networks have a gradient everywhere."""


def zero_gradient(evidence: Evidence) -> Indicator | None:
    """Exactly zero gradients: gradient attacks cannot move there (Carlini et al., 2019).

    By saturated outputs, they are reported as `vanishing_gradient`.
    """
    probes = [each for each in (evidence.agreement, evidence.later) if each is not None]
    share = max((share_of(each.zero) for each in probes), default=0.0)
    if share < THRESHOLD or evidence.cause is FlatCause.SATURATED:
        return None
    why = "" if evidence.cause is None else f" ({evidence.cause.value})"
    return Indicator(
        "zero_gradient",
        share,
        f"The gradient is exactly zero at {percent(share)} of the inputs{why}: gradient-based attacks cannot make "
        "progress there.",
        "Replace the layer without a useful derivative by a differentiable approximation for the attack (BPDA).",
        THRESHOLD,
    )
