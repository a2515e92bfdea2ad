"""Remedies applied: attacks with repaired gradients and without gradients, on the inputs that are still robust."""

from __future__ import annotations

import time
from dataclasses import replace

import torch

from inputopt.attacks.multi_targeted import MultiTargeted, Round
from inputopt.attacks.pgd import PGD
from inputopt.evaluation.attack_row import AttackRow
from inputopt.evaluation.protocols import Stage
from inputopt.evaluation.remedies.attack_network import AttackNetwork
from inputopt.evaluation.remedies.choice import attack_networks
from inputopt.evaluation.remedies.local_search import LocalSquare
from inputopt.evaluation.remedies.remedy import Adapted, Remedy
from inputopt.evaluation.remedies.threat import Threat
from inputopt.evaluation.remedies.trials import attack_on, rows_of_trial
from inputopt.evaluation.state import EvaluationState, margin_reduced

SQUARES, MORE_SQUARES = 400, 1600
"""Steps of the random search, and those that follow where the first ones came closer to the boundary."""


def adapt(threat: Threat, state: EvaluationState) -> Adapted:
    """Apply remedies until no input is robust or none is left.

    Args:
        threat: the network, the inputs and how they may change.
        state: the state after the protocol's attacks.
    """
    tried = rows_of_trial(state.clean_margin > 0)
    if not bool(state.robust.any()) or not len(tried):
        return Adapted(state)
    rows: list[AttackRow] = []
    remedies: list[Remedy] = []
    for network in attack_networks(threat, tried):
        before = state
        state, more = _attacked(threat, state, network)
        fooled = int(before.robust.sum()) - int(state.robust.sum())
        rows += more
        remedies.append(Remedy(network.name, fooled, _share(before), _share(state)))
    return Adapted(state, tuple(rows), tuple(remedies))


def _attacked(
    threat: Threat, state: EvaluationState, network: AttackNetwork
) -> tuple[EvaluationState, list[AttackRow]]:
    """Run all attacks on one attack network."""
    state = replace(state, margin=torch.full_like(state.margin, torch.inf))  # those of another network differ
    nearest, rows = threat.problem.x0.clone(), []
    for stage in _stages(threat):
        tried, name = (state.robust & stage.where(state)).nonzero()[:, 0], f"{network.name}: {stage.name}"
        if threat.progress is not None:
            threat.progress(name, len(tried))
        started, before = time.perf_counter(), state.margin
        found = attack_on(network, stage.attack, threat, tried, nearest) if len(tried) else None
        seconds = time.perf_counter() - started
        state = state.after(tried, found, threat.problem.label[tried])
        if found is None:
            rows.append(AttackRow(name, 0, (), 0, 0, seconds))
            continue
        closer = (state.margin < before)[tried]
        nearest = nearest.index_copy(0, tried[closer], found.x[closer])
        forwards, backwards = int(found.forwards.sum()), int(found.backwards.sum())
        rows.append(AttackRow(name, len(tried), tuple(tried[found.success].tolist()), forwards, backwards, seconds))
    return state, rows


def _stages(threat: Threat) -> list[Stage]:
    """The attacks on an attack network, in order."""
    stages = [Stage("PGD, 40 steps", PGD(steps=40)), Stage("all classes", MultiTargeted(rounds=(Round(9, 12),)))]
    if not threat.traits.stochastic:
        nearest = MultiTargeted(rounds=(Round(3, 60, (2.0,)),))
        stages += [
            Stage("likeliest classes, from a larger ball", nearest),
            Stage(f"random search, {SQUARES:,} steps", LocalSquare(steps=SQUARES)),
            Stage(f"random search, {MORE_SQUARES:,} steps", LocalSquare(steps=MORE_SQUARES), margin_reduced),
        ]
    return [
        replace(
            stage,
            attack=replace(
                stage.attack, norm=threat.norm, levels=threat.levels, stop_on_success=not threat.traits.stochastic
            ),
        )
        for stage in stages
        if threat.norm in stage.attack.norms
    ]


def _share(state: EvaluationState) -> float:
    return float((1 - state.fooled).double().mean())
