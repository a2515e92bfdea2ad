"""Indicators: reasons to doubt a robustness figure, one file each.

A new one is a file with a `Check` and a line in `INDICATORS`.
"""

from inputopt.evaluation.indicators.batch_dependence import batch_dependence
from inputopt.evaluation.indicators.few_classes import few_classes
from inputopt.evaluation.indicators.gradient_masking import gradient_masking
from inputopt.evaluation.indicators.indicator import Check, Evidence, Indicator
from inputopt.evaluation.indicators.nonfinite_logits import nonfinite_logits
from inputopt.evaluation.indicators.nonfinite_search import nonfinite_search
from inputopt.evaluation.indicators.probabilities import probabilities
from inputopt.evaluation.indicators.random_network import random_network
from inputopt.evaluation.indicators.stateful_network import stateful_network
from inputopt.evaluation.indicators.unconfirmed_success import unconfirmed_success
from inputopt.evaluation.indicators.zero_gradient import zero_gradient

INDICATORS: tuple[Check, ...] = (
    random_network,
    stateful_network,
    probabilities,
    few_classes,
    zero_gradient,
    batch_dependence,
    gradient_masking,
    nonfinite_logits,
    nonfinite_search,
    unconfirmed_success,
)
"""In the order of a report."""

__all__ = ["INDICATORS", "Check", "Evidence", "Indicator", "indicators"]


def indicators(evidence: Evidence) -> tuple[Indicator, ...]:
    """All that give a reason to doubt."""
    found = (check(evidence) for check in INDICATORS)
    return tuple(each for each in found if each is not None)
