"""Minimal-norm attacks that weigh the size of the change against the margin, by a weight found by bisection."""

from __future__ import annotations

import math
from dataclasses import dataclass

from inputopt import checks
from inputopt.attacks.nearest import Nearest, begun, only_in
from inputopt.attacks.setting import Setting
from inputopt.search.loop import at_the_end, at_x0
from inputopt.search.objectives import hinge
from inputopt.search.problem import Result
from inputopt.search.steps.penalty import ElasticStep, WeighedStep
from inputopt.search.steps.step import Step


@dataclass(frozen=True)
class CarliniWagner(Nearest):
    """Carlini and Wagner's attack (2017), in L2: the least |change|^2 + weight x margin.

    Attributes:
        steps: how many in all, the rounds of the bisection together.
        rounds: of the bisection of the weight.
        confidence: how far ahead the wrong class must be, in logits.
        rate: Adam's step.
        weight: the first weight.
    """

    steps: int = 1000
    rounds: int = 9
    confidence: float = 0.0
    rate: float = 0.01
    weight: float = 0.1

    def _search(self, setting: Setting) -> Result:
        only_in(setting, "Carlini and Wagner's attack", ("l2",), "FMN")
        rate, weight = checks.positive("rate", self.rate), checks.positive("weight", self.weight)
        step = WeighedStep(a_round(self.steps, self.rounds), weight, rate)
        return weighed(setting, step, self.steps, self.confidence)


@dataclass(frozen=True)
class EAD(Nearest):
    """Elastic-net attack (Chen et al., 2018), in L1: the least |change|_2^2 + beta |change|_1 + weight x margin.

    Attributes:
        steps, rounds, confidence, rate, weight: as for `CarliniWagner`.
        beta: the weight of L1.
    """

    norm: str = "l1"
    steps: int = 1000
    rounds: int = 9
    confidence: float = 0.0
    rate: float = 0.01
    weight: float = 0.1
    beta: float = 0.01

    def _search(self, setting: Setting) -> Result:
        only_in(setting, "EAD", ("l1",), "FMN")
        rate, weight = checks.positive("rate", self.rate), checks.positive("weight", self.weight)
        step = ElasticStep(a_round(self.steps, self.rounds), weight, rate, checks.positive("beta", self.beta))
        return weighed(setting, step, self.steps, self.confidence)


def a_round(steps: int, rounds: int) -> int:
    """How many steps a round takes, but for the one that leads back to x0."""
    return max(1, checks.whole("steps", steps) // checks.whole("rounds", rounds) - 1)


def weighed(setting: Setting, step: Step, steps: int, confidence: float) -> Result:
    """Run the bisection; only what is wrong by `confidence` counts.

    Raises:
        ValueError: a confidence that is negative or not finite.
    """
    if not 0 <= confidence < math.inf:
        raise ValueError(f"confidence must be a finite number of at least 0, not {confidence}.")
    stop = at_the_end if confidence else at_x0
    start = begun(setting.problem)
    return setting.run_nearest(hinge(confidence), step, start, steps, confidence=confidence, stop=stop)
