"""Whether an attack without a bound on the distance succeeds, as it must if gradients lead (Carlini et al., 2019)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inputopt.attacks.attack import run_in_batches
from inputopt.attacks.pgd import PGD
from inputopt.attacks.regions import ball_region
from inputopt.evaluation.probes.gradient_agreement import spaced
from inputopt.nets.frozen import Frozen
from inputopt.search.network_traits import NetworkTraits
from inputopt.search.norms import LINF
from inputopt.search.problem import Problem, Region
from inputopt.search.rows import take

EXAMPLES = 16
"""Number of inputs attacked; they are fooled in the first steps on sound networks, so that this costs little."""

STEPS = 20
"""Steps of PGD across the whole box."""


@dataclass(frozen=True)
class UnboundedAttack:
    """Result of the unbounded attack on n of the inputs.

    Attributes:
        rows: positions of the inputs, int64 [n].
        success: whether the attack succeeded, bool [n].
    """

    rows: Tensor
    success: Tensor


def unbounded_attack(
    net: Frozen, problem: Problem, correct: Tensor, traits: NetworkTraits, seed: int
) -> UnboundedAttack:
    """Run PGD in the whole box on a few of the inputs that are classified correctly.

    Args:
        net, traits: the model.
        problem: the inputs.
        correct: which inputs are classified correctly, bool [B].
        seed: random seed.
    """
    candidates = correct.nonzero()[:, 0]
    rows = candidates[spaced(len(candidates), EXAMPLES, candidates.device)] if len(candidates) else candidates
    low, high = net.box(problem.x0)
    if not len(rows) or not bool((high - low).isfinite().all()):
        none = rows[:0]
        return UnboundedAttack(none, none.bool())
    part = take(replace(problem, region=_whole_box(net, problem)), rows)
    part = replace(part, example=torch.arange(len(rows), device=rows.device))
    attack = PGD("linf", eps=net.unit, steps=STEPS)
    found = run_in_batches(attack, net, part, traits, seed, None, check_batch=False)
    return UnboundedAttack(rows, found.success)


def _whole_box(net: Frozen, problem: Problem) -> Region:
    low, high = (bound.expand(problem.x0.shape) for bound in net.box(problem.x0))
    bounds = replace(problem.region, low=torch.minimum(low, problem.x0), high=torch.maximum(high, problem.x0))
    return ball_region(net, replace(problem, region=bounds), LINF, net.unit, problem.region.mask)
