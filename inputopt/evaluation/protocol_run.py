"""A protocol run on the inputs of an evaluation: one attack after another, each on the inputs that are still robust."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inputopt.attacks.attack import run_in_batches
from inputopt.attacks.batches import renumbered
from inputopt.evaluation.attack_row import AttackRow
from inputopt.evaluation.glossary import explain_attack
from inputopt.evaluation.measurements import Measurements, late_successes
from inputopt.evaluation.protocols import (
    PresetName,
    Stage,
    decision_protocol,
    find_protocol,
    full_search,
    gradient_free_protocol,
    one_by_one_protocol,
    without_shortcuts,
)
from inputopt.evaluation.state import EvaluationState
from inputopt.evaluation.threat import Threat
from inputopt.search.result import Result, concatenated
from inputopt.search.rows import take

Notify = Callable[[Sequence[AttackRow], Tensor], None]
"""Called after each attack with the rows so far and which inputs are still robust, bool [B]."""


@dataclass(frozen=True)
class ProtocolRun:
    """What a protocol did.

    Attributes:
        state: the state after the last attack.
        rows: a row per attack, in order.
        late: number of inputs that the last gradient attack fooled in the last tenth of its steps.
    """

    state: EvaluationState
    rows: tuple[AttackRow, ...]
    late: int


def run_protocol(
    threat: Threat,
    state: EvaluationState,
    preset: PresetName,
    measured: Measurements,
    certified: Tensor,
    notify: Notify,
) -> ProtocolRun:
    """Run the attacks of a preset, and the full search where gradients were measured not to lead.

    Args:
        threat: the network, the inputs and how they may change.
        state: the state before the first attack.
        preset: name of the preset.
        measured: probes of the network; the inputs that the first attack fails to fool are probed too.
        certified: inputs that need no attack, bool [B].
        notify: called after each attack.
    """
    stages, further = _stages(threat, preset, measured)
    rows: list[AttackRow] = []
    late = 0
    while True:
        if further and not measured.leads:
            stages, further = [*without_shortcuts(stages), *further], []
        if not stages:
            break
        stage, *stages = stages
        tried = (state.robust & ~certified & stage.where(state)).nonzero()[:, 0]
        started = time.perf_counter()
        found = _attacked(stage, threat, tried)
        state = state.after(tried, found, threat.problem.label[tried])
        rows.append(row_of(stage, tried, found, time.perf_counter() - started))
        notify(rows, state.robust)
        if found is not None and not stage.attack.gradient_free:
            measured.probe_failures(tried, found)
            late = 0 if threat.traits.stochastic else late_successes(found)
    return ProtocolRun(state, tuple(rows), late)


def _stages(threat: Threat, preset: PresetName, measured: Measurements) -> tuple[list[Stage], list[Stage]]:
    """The stages of a preset for this network, and those that follow where gradients do not lead."""
    norm, classes = threat.norm, threat.traits.classes
    if not measured.has_gradient:
        return gradient_free_protocol(preset, norm), []
    if threat.traits.batch_dependent:
        return one_by_one_protocol(preset, norm, classes), []
    by_class = decision_protocol(preset, norm) if measured.only_labels else []
    further = full_search(preset, norm, classes, probabilities=threat.traits.probabilities)
    return find_protocol(preset, norm), [*further, *by_class]


def _attacked(stage: Stage, threat: Threat, tried: Tensor) -> Result | None:
    """The result of the attack on the inputs at positions `tried`, as if called on them alone; None without inputs."""
    if threat.progress is not None:
        threat.progress(stage.name, len(tried))
    if not len(tried):
        return None
    # the mean over draws counts for a random model, which a search lowers up to its last step
    stop = not threat.traits.stochastic
    attack = replace(stage.attack, levels=threat.levels, eot_samples=threat.eot_samples, stop_on_success=stop)
    parts = torch.split(tried, 1) if threat.traits.batch_dependent else [tried]
    found = [
        # dependence on the batch was checked for the clean inputs
        run_in_batches(
            attack,
            threat.net,
            renumbered(take(threat.problem, part)),
            threat.traits,
            threat.seed,
            None,
            stage.loss,
            check_batch=False,
        )
        for part in parts
    ]
    return concatenated(found)


def row_of(stage: Stage, tried: Tensor, found: Result | None, seconds: float) -> AttackRow:
    """The row of a stage that ran on the positions `tried`; `found` is None if there were none."""
    attack, meaning = type(stage.attack).__name__, str(explain_attack(stage.attack))
    if found is None:
        return AttackRow(stage.name, 0, (), 0, 0, seconds, attack, meaning)
    fooled = tuple(tried[found.success].tolist())
    forwards, backwards = int(found.forwards.sum()), int(found.backwards.sum())
    return AttackRow(stage.name, len(tried), fooled, forwards, backwards, seconds, attack, meaning)
