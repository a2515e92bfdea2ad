"""The model's logits are random: they differ between draws of its random numbers."""

from __future__ import annotations

from inputopt.evaluation.indicators.indicator import Evidence, Indicator, percent


def random_network(evidence: Evidence) -> Indicator | None:
    """A random model: single gradients and single verdicts mislead (Athalye et al., 2018).

    The value is the standard deviation of the margin over draws, relative to the margin. Reported at any value, since
    logits that differ by more than rounding are random.
    """
    if not evidence.traits.random:
        return None
    remedy = "" if evidence.eot_samples > 1 else "Attack it with eot_samples=20 or so: single gradients are misleading."
    return Indicator(
        "random_network",
        evidence.spread,
        f"The model's logits are random, with margins that vary by {percent(evidence.spread)} between draws: all "
        "accuracies are means over fresh draws.",
        remedy,
    )
