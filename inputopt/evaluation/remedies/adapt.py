"""Remedies applied: attacks with repaired gradients and without gradients, on the inputs that are still robust."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from inputopt.attacks.multi_targeted import MultiTargeted, Round
from inputopt.attacks.pgd import PGD
from inputopt.evaluation.attack_row import AttackRow
from inputopt.evaluation.indicators import Indicator
from inputopt.evaluation.protocol_run import row_of
from inputopt.evaluation.protocols import Stage
from inputopt.evaluation.remedies.applied import REJECT, asks_for_remedies
from inputopt.evaluation.remedies.attack_network import AttackNetwork, traits_of
from inputopt.evaluation.remedies.choice import attack_networks, likely_networks
from inputopt.evaluation.remedies.local_search import LocalSquare
from inputopt.evaluation.remedies.rejection import attack_despite_rejection
from inputopt.evaluation.remedies.remedy import Adapted, Remedy
from inputopt.evaluation.remedies.trials import attack_on, rows_of_trial
from inputopt.evaluation.state import EvaluationState, margin_reduced
from inputopt.evaluation.threat import Threat
from inputopt.search.rows import take

SQUARES, MORE_SQUARES = 400, 1600
"""Steps of the random search, and those that follow where the first ones came closer to the boundary."""

REDUCED = 0.98
"""Share of the smallest margin below which the first random search must come, for the longer one to follow."""

MOST_DRAWS = 0.95
"""Share of the draws of a random network from which on an image needs no further attack."""


NotifyRemedy = Callable[[Sequence[AttackRow], Tensor, int], None]
"""Called after each attack with the rows so far, which inputs are still robust, bool [B], and the remedy's number."""


def silent(rows: Sequence[AttackRow], robust: Tensor, remedy: int) -> None:
    """Reports nothing."""


def adapt(threat: Threat, state: EvaluationState, found: Sequence[Indicator], notify: NotifyRemedy = silent) -> Adapted:
    """Apply the remedies that indicators ask for, until no input is robust or none is left.

    Args:
        threat: the network, the inputs and how they may change.
        state: the state after the protocol's attacks.
        found: the indicators of the evaluation so far.
        notify: called after each attack of a remedy; remedies are numbered from 1.
    """
    tried, fired = rows_of_trial(state.clean_margin > 0), {each.id for each in found}
    if not len(tried) or not asks_for_remedies(found):
        return Adapted(state)
    rows: list[AttackRow] = []
    remedies: list[Remedy] = []
    networks = attack_networks(threat, tried) if bool(state.robust.any()) else []
    for number, network in enumerate(networks, start=1):
        found_before = state

        def record(row: AttackRow, robust: Tensor, remedy: int = number) -> None:
            rows.append(row)
            notify(rows, robust, remedy)

        state, nearest = _attacked(threat, state, network, _with_gradients(threat), record)
        if number == 1 and not threat.traits.stochastic:
            state, _ = _attacked(threat, state, network, _without_gradients(threat), record, nearest)
        fooled = int(found_before.robust.sum()) - int(state.robust.sum())
        remedies.append(Remedy(network.name, fooled, _share(found_before), _share(state), len(state.robust)))
    rejection = None
    if REJECT in fired:
        rejection = attack_despite_rejection(threat, likely_networks(threat, tried), state)
    return Adapted(state, tuple(rows), tuple(remedies), rejection)


def _attacked(
    threat: Threat,
    state: EvaluationState,
    network: AttackNetwork,
    stages: Sequence[Stage],
    record: Callable[[AttackRow, Tensor], None],
    nearest: Tensor | None = None,
) -> tuple[EvaluationState, Tensor]:
    """Run attacks on one attack network; also returns the points nearest to the boundary, from which searches start.

    `record` is called with each attack's row and the inputs that are then robust; `nearest`: the points of attacks on
    the same network before, [B, ...].
    """
    if nearest is None:  # margins of another network differ
        margin, scores = torch.full_like(state.margin, torch.inf), traits_of(network, threat.traits).scores
        state, nearest = replace(state, margin=margin, scores=scores), threat.problem.x0.clone()
    for stage in stages:
        tried = (_unfinished(threat, state) & stage.where(state)).nonzero()[:, 0]
        name = f"{network.name}: {stage.name}"
        if threat.progress is not None:
            threat.progress(name, len(tried))
        started, before = time.perf_counter(), state.margin
        # outputs of the original are the same, and quicker
        original = stage.attack.gradient_free and not network.logits and not threat.traits.batch_dependent
        runs = AttackNetwork("", threat.net, changed=False) if original else network
        found = attack_on(runs, stage.attack, threat, tried, nearest) if len(tried) else None
        seconds = time.perf_counter() - started
        if found is None:
            state = state.after(tried, None, threat.problem.label[tried])
            record(row_of(replace(stage, name=name), tried, None, seconds), state.robust)
            continue
        new = tuple(tried[found.success & state.robust[tried]].tolist())
        row = replace(row_of(replace(stage, name=name), tried, found, seconds), fooled=new)
        if threat.traits.stochastic:  # an image that fools the model in more draws replaces one that does in fewer
            better = found.success_rate > state.fooled[tried]
            tried, found = tried[better], take(found, better)
        state = state.after(tried, found, threat.problem.label[tried])
        state = replace(state, margin_reduced=state.margin < REDUCED * before)
        closer = (state.margin < before)[tried]
        nearest = nearest.index_copy(0, tried[closer], found.x[closer])
        record(row, state.robust)
    return state, nearest


def _unfinished(threat: Threat, state: EvaluationState) -> Tensor:
    """The inputs to attack, bool [B]: robust ones; of a random network those that some draws classify correctly."""
    return state.fooled < MOST_DRAWS if threat.traits.stochastic else state.robust


def _with_gradients(threat: Threat) -> list[Stage]:
    """The attacks on an attack network that follow its gradient, in order."""
    if threat.traits.stochastic:
        stages = [
            Stage("PGD, 40 steps", PGD(steps=40)),
            Stage("likeliest classes", MultiTargeted(rounds=(Round(3, 30),))),
            Stage("PGD, 60 steps", PGD(steps=60)),
        ]
    else:
        stages = [
            Stage("PGD, 40 steps", PGD(steps=40)),
            Stage("all classes", MultiTargeted(rounds=(Round(9, 12),))),
            Stage("likeliest classes, from a larger ball", MultiTargeted(rounds=(Round(3, 60, (2.0,)),))),
        ]
    return _in_threat(stages, threat)


def _without_gradients(threat: Threat) -> list[Stage]:
    """Random searches from the nearest points that gradients led to."""
    stages = [
        Stage(f"random search, {SQUARES:,} steps", LocalSquare(steps=SQUARES)),
        Stage(f"random search, {MORE_SQUARES:,} steps", LocalSquare(steps=MORE_SQUARES), margin_reduced),
    ]
    return _in_threat(stages, threat)


def _in_threat(stages: list[Stage], threat: Threat) -> list[Stage]:
    """The stages that are defined in the norm, with it filled in."""
    stop = not threat.traits.stochastic
    return [
        replace(stage, attack=replace(stage.attack, norm=threat.norm, levels=threat.levels, stop_on_success=stop))
        for stage in stages
        if threat.norm in stage.attack.norms
    ]


def _share(state: EvaluationState) -> float:
    return float((1 - state.fooled).double().mean())
