"""Remedies applied: attacks with repaired gradients and without gradients, on the inputs that are still robust."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from inputopt.evaluation.attack_row import AttackRow
from inputopt.evaluation.indicators import Indicator
from inputopt.evaluation.protocol_run import row_of
from inputopt.evaluation.random_accuracy import COMPARING, share_correct
from inputopt.evaluation.remedies.applied import REJECT, asks_for_remedies
from inputopt.evaluation.remedies.attack_network import AttackNetwork, traits_of
from inputopt.evaluation.remedies.choice import attack_networks, likely_networks, other_widths
from inputopt.evaluation.remedies.draws import likeliest_classes
from inputopt.evaluation.remedies.rejection import attack_despite_rejection
from inputopt.evaluation.remedies.remedy import Adapted, Remedy
from inputopt.evaluation.remedies.remedy_stages import RemedyStage, along_gradients, without_gradients
from inputopt.evaluation.remedies.trials import attack_on, rows_of_trial
from inputopt.evaluation.state import EvaluationState
from inputopt.evaluation.threat import Threat
from inputopt.search.rows import take

COMPARED = 200
"""Most draws on which two images of a random network are compared."""

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
    tried, fired = rows_of_trial(state.clean_correct), {each.id for each in found}
    if not len(tried) or not asks_for_remedies(found):
        return Adapted(state)
    rows: list[AttackRow] = []
    remedies: list[Remedy] = []
    nearest: Tensor | None = None
    parts = _plan(threat, tried) if bool(state.robust.any()) else []
    for number, (name, network, stages, continued) in enumerate(parts, start=1):
        if not bool(_unfinished(threat, state).any()):
            break
        before = state

        def record(row: AttackRow, robust: Tensor, remedy: int = number) -> None:
            rows.append(row)
            notify(rows, robust, remedy)

        state, nearest = _attacked(threat, state, network, stages, record, nearest if continued else None)
        fooled = int(before.robust.sum()) - int(state.robust.sum())
        remedies.append(Remedy(name, fooled, _share(before), _share(state), len(state.robust)))
    rejection = None
    if REJECT in fired:
        rejection = attack_despite_rejection(threat, likely_networks(threat, tried), state)
    return Adapted(state, tuple(rows), tuple(remedies), rejection)


Part = tuple[str, AttackNetwork, list[RemedyStage], bool]
"""(name of the remedy, network, attacks on it, whether they start from the nearest points of the part before)."""


def _plan(threat: Threat, tried: Tensor) -> list[Part]:
    """What is attacked in turn: the best network, its variants, a random search from there, then the other networks."""
    networks, along = attack_networks(threat, tried), along_gradients(threat)
    if not networks or threat.traits.stochastic:
        return [(network.name, network, along, False) for network in networks]
    first, *others = networks
    parts: list[Part] = [(first.name, first, along, False)]
    parts += [(each.name, each, along, True) for each in other_widths(first, threat, tried)]
    parts.append((f"{first.name}, then a random search", first, without_gradients(threat), True))
    return parts + [(each.name, each, along, False) for each in others]


def _attacked(
    threat: Threat,
    state: EvaluationState,
    network: AttackNetwork,
    stages: Sequence[RemedyStage],
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
        if threat.traits.stochastic:
            state = replace(state, fooled=fooled_share(threat, state.x).to(state.fooled))
    targets = likeliest_classes(threat) if any(each.place is not None for each in stages) else None
    for number, each in enumerate(stages):
        stage = each.stage
        tried = (_unfinished(threat, state) & (stage.where(state) | threat.traits.stochastic)).nonzero()[:, 0]
        name = f"{network.name}: {stage.name}"
        if threat.progress is not None:
            threat.progress(name, len(tried))
        started, before = time.perf_counter(), state.margin
        # outputs of the original are the same, and quicker
        original = stage.attack.gradient_free and not network.logits and not threat.traits.batch_dependent
        runs = AttackNetwork("", threat.net, changed=False) if original else network
        target = None if targets is None or each.place is None else targets[:, each.place]
        seed = threat.seed + number
        found = attack_on(runs, stage.attack, threat, tried, nearest, stage.loss, target, seed) if len(tried) else None
        seconds = time.perf_counter() - started
        if found is None:
            state = state.after(tried, None, threat.problem.label[tried])
            record(row_of(replace(stage, name=name), tried, None, seconds), state.robust)
            continue
        new = tuple(tried[found.success & state.robust[tried]].tolist())
        row = replace(row_of(replace(stage, name=name), tried, found, seconds), fooled=new)
        if threat.traits.stochastic:  # an image that fools the model in more draws replaces one that does in fewer
            rate = fooled_share(threat, state.x.index_copy(0, tried, found.x))[tried]
            better = rate > state.fooled[tried]
            found = replace(found, success_rate=rate.to(found.success_rate), success=rate > 0.5)
            tried, found = tried[better], take(found, better)
        state = state.after(tried, found, threat.problem.label[tried])
        state = replace(state, margin_reduced=state.margin < before)
        closer = (state.margin < before)[tried]
        nearest = nearest.index_copy(0, tried[closer], found.x[closer])
        record(row, state.robust)
    return state, nearest


def fooled_share(threat: Threat, x: Tensor) -> Tensor:
    """Share of draws in which a random network misclassifies each of the inputs x, the same draws at every call, [B].

    The search's own few draws would favour the image that was lucky in them.
    """
    return 1 - share_correct(threat.net, replace(threat.problem, x0=x), threat.seed, COMPARING, COMPARED).shares


def _unfinished(threat: Threat, state: EvaluationState) -> Tensor:
    """The inputs to attack, bool [B]: robust ones; of a random network those that some draws classify correctly."""
    return state.fooled < MOST_DRAWS if threat.traits.stochastic else state.robust


def _share(state: EvaluationState) -> float:
    return float((1 - state.fooled).double().mean())
