"""What an evaluation measures of the model beside its attacks, and whether its gradients can be followed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from inputopt.evaluation.indicators.low_clean_accuracy import LOW
from inputopt.evaluation.indicators.shattered_gradient import THRESHOLD
from inputopt.evaluation.probes.draw_spread import draw_spread
from inputopt.evaluation.probes.flat_cause import FlatCause, flat_cause
from inputopt.evaluation.probes.gradient_agreement import FEWEST, GradientAgreement, gradient_agreement, notable, pooled
from inputopt.evaluation.probes.rescaled_inputs import RescaledInputs, rescaled_inputs
from inputopt.evaluation.probes.unbounded_attack import UnboundedAttack, unbounded_attack
from inputopt.nets.frozen import Frozen
from inputopt.search.network_draws import Draws, keyed, unseeded
from inputopt.search.network_traits import NetworkTraits
from inputopt.search.problem import Problem
from inputopt.search.result import Result
from inputopt.search.rows import take

PROBING = 7
"""Purpose key of the draws of probes, which no search uses."""


def leads(agreement: GradientAgreement | None) -> bool:
    """Whether gradients were measured to lead, so that searches that they make unlikely to succeed may be skipped."""
    if agreement is None:
        return True
    return agreement.has_gradient and not notable(agreement.wrong, THRESHOLD)


@dataclass
class Measurements:
    """Probes of one model on the inputs of an evaluation; each is run at most once.

    Attributes:
        net, traits: the model.
        problem: the inputs, with their region.
        correct: which clean inputs are classified correctly, bool [B].
        seed: random seed.
        labels_given: whether the labels are the caller's; if not, clean accuracy says nothing.
        only_labels: whether the outputs have very few different values, like labels or votes.
    """

    net: Frozen
    traits: NetworkTraits
    problem: Problem
    correct: Tensor
    seed: int
    labels_given: bool
    only_labels: bool = False
    agreement: GradientAgreement | None = field(init=False, default=None)
    later: GradientAgreement | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if bool(self.correct.any()):
            self.agreement = self._agreement(self._correct(), twice=not self.traits.stateful)

    @property
    def has_gradient(self) -> bool:
        """Whether the model has a derivative."""
        return self.agreement is None or self.agreement.has_gradient

    @property
    def leads(self) -> bool:
        """Whether gradients lead at the clean inputs, where the first attack failed, and at both together."""
        return leads(self.agreement) and leads(self.later) and leads(pooled(self.agreement, self.later))

    def probe_failures(self, tried: Tensor, found: Result) -> None:
        """Compare gradients with finite differences at the inputs [n] that the first attack failed to fool."""
        rows = (~found.success).nonzero()[:, 0]
        if self.later is None and len(rows) >= FEWEST:
            self.later = self._agreement(replace(take(self.problem, tried[rows]), x0=found.x[rows]))

    def cause(self) -> FlatCause | None:
        """Why gradients are zero or vanish; None if they do not."""
        for each in (self.agreement, self.later):
            if each is not None and bool((each.zero | each.vanishing).any()):
                return flat_cause(self.net, self._correct(), self.traits.scores, self.seed, self._draws())
        return None

    def unbounded(self) -> UnboundedAttack | None:
        """The attack without a bound on the distance; None for a model without a derivative."""
        if not self.has_gradient:
            return None
        return unbounded_attack(self.net, self.problem, self.correct, self.traits, self.seed)

    def rescaled(self) -> RescaledInputs | None:
        """The change of the inputs with the highest accuracy; None unless clean accuracy is low."""
        if not self.labels_given or float(self.correct.double().mean()) >= LOW:
            return None
        return rescaled_inputs(self.net, self.problem)

    def spread(self) -> float:
        """The spread of a random model's margins; 0 for others."""
        if not self.traits.random:
            return 0.0
        return draw_spread(self.net, self.problem, self.traits.scores, keyed(self.seed, PROBING))

    def _correct(self) -> Problem:
        return take(self.problem, self.correct.nonzero()[:, 0])

    def _agreement(self, part: Problem, twice: bool = False) -> GradientAgreement:
        return gradient_agreement(self.net, part, self.traits.scores, self._draws(), twice)

    def _draws(self) -> Draws:
        return keyed(self.seed, PROBING) if self.traits.stochastic else unseeded


def late_successes(found: Result | None) -> int:
    """Number of inputs that an attack fooled in the last tenth of the passes that it spends on an input.

    0 if it fooled all of them, since then nothing is left for more steps.
    """
    if found is None or bool(found.success.all()):
        return 0
    budget = found.forwards[~found.success].max()
    return int((found.success & (found.forwards >= torch.ceil(0.9 * budget))).sum())
