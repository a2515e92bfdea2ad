"""Indicators: reasons to doubt a robustness figure, one file each.

A new one is a file with a `Check` and a line in `INDICATORS`.
"""

from inputopt.evaluation.indicators.batch_dependence import batch_dependence
from inputopt.evaluation.indicators.gradient_masking import gradient_masking
from inputopt.evaluation.indicators.hard_labels import hard_labels
from inputopt.evaluation.indicators.indicator import Check, Evidence, Indicator
from inputopt.evaluation.indicators.larger_eps_fools_fewer import larger_eps_fools_fewer
from inputopt.evaluation.indicators.log_probabilities import log_probabilities
from inputopt.evaluation.indicators.low_clean_accuracy import low_clean_accuracy
from inputopt.evaluation.indicators.no_gradient import no_gradient
from inputopt.evaluation.indicators.noisy_loss import noisy_loss
from inputopt.evaluation.indicators.nonfinite_logits import nonfinite_logits
from inputopt.evaluation.indicators.nonfinite_search import nonfinite_search
from inputopt.evaluation.indicators.not_converged import not_converged
from inputopt.evaluation.indicators.probabilities import probabilities
from inputopt.evaluation.indicators.random_network import random_network
from inputopt.evaluation.indicators.reject_class import reject_class
from inputopt.evaluation.indicators.shattered_gradient import shattered_gradient
from inputopt.evaluation.indicators.stateful_network import stateful_network
from inputopt.evaluation.indicators.unbounded_attack_fails import unbounded_attack_fails
from inputopt.evaluation.indicators.unconfirmed_success import unconfirmed_success
from inputopt.evaluation.indicators.unusual_scale import unusual_scale
from inputopt.evaluation.indicators.vanishing_gradient import vanishing_gradient
from inputopt.evaluation.indicators.zero_gradient import zero_gradient

INDICATORS: tuple[Check, ...] = (
    random_network,
    stateful_network,
    batch_dependence,
    no_gradient,
    zero_gradient,
    vanishing_gradient,
    shattered_gradient,
    noisy_loss,
    gradient_masking,
    unbounded_attack_fails,
    larger_eps_fools_fewer,
    not_converged,
    probabilities,
    log_probabilities,
    hard_labels,
    reject_class,
    low_clean_accuracy,
    unusual_scale,
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
