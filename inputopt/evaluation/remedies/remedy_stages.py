"""The attacks of the remedies, in order: along repaired gradients, on random networks, and without gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import softplus

from inputopt.attacks.multi_targeted import MultiTargeted, Round
from inputopt.attacks.pgd import PGD
from inputopt.evaluation.protocols import Stage
from inputopt.evaluation.remedies.local_search import LocalSquare
from inputopt.evaluation.state import margin_reduced
from inputopt.evaluation.threat import Threat
from inputopt.search.objectives.logits import attack_cross_entropy, best_other, logit_of
from inputopt.search.objectives.objective import Objective
from inputopt.search.problem import Problem

SQUARES, MORE_SQUARES = 400, 1600
"""Steps of the random search, and those that follow where the first ones came closer to the boundary."""

TARGETS = 3
"""Largest number of classes that are targeted in turn on a random network."""

STEEPNESS = 2.0
"""Slope of the bounded loss, per standard deviation of a draw's logits."""

CROSS_ENTROPY = Objective(lambda outputs, x, problem: softplus(attack_cross_entropy(outputs, x, problem)))
"""Cross-entropy itself, for means over random draws: a draw that is fooled already counts less than others."""


def _bounded(outputs: Tensor, x: Tensor, problem: Problem) -> Tensor:
    other = best_other(outputs, problem.label) if problem.target is None else logit_of(outputs, problem.target)
    spread = outputs.detach().std(1).clamp_min(torch.finfo(outputs.dtype).tiny)
    return torch.sigmoid(STEEPNESS * (logit_of(outputs, problem.label) - other) / spread)


BOUNDED = Objective(_bounded)
"""A smooth form of the share of draws that are classified correctly.

Draws that are fooled already count less, and so do those that are far from it, which may be out of reach: with an
unbounded loss, a robust member of a random ensemble takes all steps, and the others are not fooled either.
"""


@dataclass(frozen=True)
class RemedyStage:
    """One attack of the remedies.

    Attributes:
        stage: name, attack, which of the inputs it is run on, and its loss.
        place: which of the likeliest wrong classes is the target, 0 for the likeliest; None for an untargeted attack.
    """

    stage: Stage
    place: int | None = None


def along_gradients(threat: Threat) -> list[RemedyStage]:
    """The attacks on an attack network that follow its gradient."""
    if threat.traits.stochastic:
        return _in_threat(_on_random_networks(threat), threat)
    stages = [
        Stage("PGD, 40 steps", PGD(steps=40)),
        Stage("all classes", MultiTargeted(rounds=(Round(9, 60),))),
        Stage("likeliest classes, from a larger ball", MultiTargeted(rounds=(Round(3, 60, (2.0,)),))),
    ]
    return _in_threat([RemedyStage(stage) for stage in stages], threat)


def _on_random_networks(threat: Threat) -> list[RemedyStage]:
    """Restarts with several losses; an image is replaced by one that more draws misclassify."""
    targets = min(TARGETS, threat.traits.classes - 1)
    return [
        RemedyStage(Stage("PGD, 40 steps", PGD(steps=40), loss=CROSS_ENTROPY)),
        RemedyStage(Stage("PGD, 40 steps, bounded loss", PGD(steps=40), loss=BOUNDED)),
        RemedyStage(Stage("PGD, 60 steps, bounded loss", PGD(steps=60), loss=BOUNDED)),
        *(
            RemedyStage(Stage(f"class {place + 1} by logit, bounded loss", PGD(steps=40), loss=BOUNDED), place)
            for place in range(targets)
        ),
    ]


def without_gradients(threat: Threat) -> list[RemedyStage]:
    """Random searches from the nearest points that gradients led to."""
    stages = [
        Stage(f"random search, {SQUARES:,} steps", LocalSquare(steps=SQUARES)),
        Stage(f"random search, {MORE_SQUARES:,} steps", LocalSquare(steps=MORE_SQUARES), margin_reduced),
    ]
    return _in_threat([RemedyStage(stage) for stage in stages], threat)


def _in_threat(stages: Sequence[RemedyStage], threat: Threat) -> list[RemedyStage]:
    """The stages that are defined in the norm, with it filled in."""
    found = []
    for each in stages:
        attack = each.stage.attack
        if threat.norm in attack.norms:
            stop = not threat.traits.stochastic
            attack = replace(attack, norm=threat.norm, levels=threat.levels, stop_on_success=stop)
            found.append(replace(each, stage=replace(each.stage, attack=attack)))
    return found
