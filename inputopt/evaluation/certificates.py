"""Certificates of an evaluation: proven before the attacks where that is cheap, and after them for what they left."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt.bounds.ball import Ball
from inputopt.bounds.certify import NORMS, proven, work_of
from inputopt.bounds.network_graph import UnsupportedNetworkError
from inputopt.bounds.stages import Work
from inputopt.bounds.tracing import graph_of
from inputopt.bounds.work_estimate import open_activations
from inputopt.nets.frozen import Frozen
from inputopt.search.network_traits import NetworkTraits
from inputopt.search.problem import Problem

MOST_OPERATIONS = 2e7
"""Largest cost of one forward, in floating-point operations, of a network that bounds are computed for."""

MOST_WORK = {"standard": 3e8, "thorough": torch.inf}
"""Most floating-point operations of CROWN for one input, by preset: in "standard" about those of its attacks on an
input that stays robust. Intervals tell them in advance; networks that were trained for certificates need a tenth."""

BUDGETS = {"quick": None, "standard": 300, "thorough": 3000}
"""Linear bounds for each input after the attacks, by preset (see `certify`); None for no certificates."""


@dataclass(frozen=True)
class CertifiedInputs:
    """Which inputs of an evaluation are certified.

    Attributes:
        certified: bool [B]; all False if there are no certificates.
        reason: why there are none, as a sentence; empty if there are.
        within: the inputs whose bounds are within the work of the preset, bool [B].
        work: what further bounds need; None if there are no certificates.
        budget: linear bounds for each input after the attacks.
    """

    certified: Tensor
    within: Tensor
    reason: str = ""
    work: Work | None = None
    budget: int = 0

    @property
    def described(self) -> str:
        """How certificates were computed, or why there are none, as a sentence."""
        if self.work is None:
            return self.reason
        skipped = int((~self.within).sum())
        text = f"Bounds in {self.work.ball.norm}, up to {self.budget:,} for each input."
        if not skipped:
            return text
        return f"{text} {skipped} of {len(self.within)} inputs need more work than their attacks; use certify."

    def finished(self, robust: Tensor) -> Tensor | None:
        """Spend the budget on inputs that are robust after all attacks, bool [B], and not yet certified.

        Returns:
            Whether each input is certified, bool [B]; never where it is not robust. None if there are no certificates.
        """
        if self.work is None:
            return None
        certified = self.certified & robust
        left = (robust & ~certified & self.within).nonzero()[:, 0]
        if len(left) and self.budget:
            certified[left] = proven(self.work.take(left), self.budget).least > 0
        return certified


def certify_inputs(net: Frozen, problem: Problem, norm: str, preset: str, traits: NetworkTraits) -> CertifiedInputs:
    """Certify the inputs of an evaluation by intervals and CROWN, without optimisation.

    Args:
        net: the network.
        problem: the inputs, with the region that attacks search.
        norm: the norm of the evaluation.
        preset: "quick" computes no certificates.
        traits: traits of the network.

    Returns:
        The certified inputs, which need no attack. Networks that are random, too large or not supported have none, and
        the result says why.
    """
    none = torch.zeros_like(problem.label, dtype=torch.bool)
    budget = BUDGETS.get(preset)
    reason = _reason_against(net, problem, norm, traits)
    if budget is None or reason:
        return CertifiedInputs(none, none, reason or "The quick preset computes no certificates.")
    try:
        graph = graph_of(net, problem.x0)
    except UnsupportedNetworkError as error:
        return CertifiedInputs(none, none, str(error))
    ball = ball_of_region(problem, norm)
    operations = 2 * open_activations(graph, ball) * net.operations(problem.x0[:1])
    within = operations <= MOST_WORK[preset]
    if not bool(within.any()):
        return CertifiedInputs(
            none, within, "Bounds need more work than the attacks; use the thorough preset or certify."
        )
    work = work_of(net, graph, ball, problem.x0, problem.label)
    certified, rows = none.clone(), within.nonzero()[:, 0]
    certified[rows] = proven(work.take(rows), 0).least > 0
    return CertifiedInputs(certified, within, "", work, budget)


def _reason_against(net: Frozen, problem: Problem, norm: str, traits: NetworkTraits) -> str:
    """Why no certificates are computed, as a sentence; empty if they can be."""
    if norm not in NORMS:
        return f"There are no certificates in {norm}; they are computed in {', '.join(NORMS)}."
    if traits.stochastic or traits.batch_dependent:
        return "The network's logits vary between calls or with the batch, so bounds do not hold for it."
    if net.operations(problem.x0[:1]) > MOST_OPERATIONS:
        return "The network is too large for bounds to be computed in the time of an evaluation."
    return ""


def ball_of_region(problem: Problem, norm: str) -> Ball:
    """The region that attacks search, with its box rounded outward by one unit in the last place."""
    x, region = problem.x0, problem.region
    infinity = torch.full((), torch.inf, dtype=x.dtype, device=x.device)
    low = torch.nextafter(region.low.expand(x.shape), -infinity)
    high = torch.nextafter(region.high.expand(x.shape), infinity)
    return Ball(norm, x.double(), region.eps.double(), low.double(), high.double())
