"""The model's logits are random: they differ between draws of its random numbers."""

from __future__ import annotations

from inputopt.evaluation.indicators.indicator import Evidence, Indicator


def random_network(evidence: Evidence) -> Indicator | None:
    """A random model: single gradients and single verdicts mislead (Athalye et al., 2018)."""
    if not evidence.traits.random:
        return None
    remedy = "" if evidence.eot_samples > 1 else "Attack it with eot_samples=20 or so: single gradients are misleading."
    return Indicator(
        "random_network", 1.0, "The model's logits are random: all accuracies are means over fresh draws.", remedy
    )
