"""Robustness evaluation: a protocol of attacks, a final check of every image, and indicators of a wrong figure."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from inputopt import checks
from inputopt.attacks.attack import Model, run_in_batches
from inputopt.attacks.batches import logits_in_batches, renumbered
from inputopt.attacks.config import AttackConfig, flag, lengths, mask_of_numbers
from inputopt.attacks.reevaluation import CHECKED
from inputopt.attacks.regions import ball_region
from inputopt.attacks.run import check_levels
from inputopt.evaluation.attack_row import AttackRow
from inputopt.evaluation.final_check import FinalCheck, check_final_images, logits_one_by_one
from inputopt.evaluation.indicators import Evidence, Indicator, indicators
from inputopt.evaluation.measurements import Measurements, late_successes
from inputopt.evaluation.protocols import (
    PresetName,
    find_protocol,
    full_search,
    gradient_free_protocol,
    one_by_one_protocol,
    without_shortcuts,
)
from inputopt.evaluation.remedies.adapt import adapt as apply_remedies
from inputopt.evaluation.remedies.applied import asks_for_remedies, with_applied
from inputopt.evaluation.remedies.threat import Threat
from inputopt.evaluation.report import Report
from inputopt.evaluation.state import EvaluationState
from inputopt.nets.default_modes import default_modes
from inputopt.nets.frozen import Frozen, frozen
from inputopt.search.inputs import Inputs, check_problem
from inputopt.search.network_traits import NetworkTraits, same_logits_alone
from inputopt.search.norms import NormName, find_norm
from inputopt.search.problem import Problem
from inputopt.search.result import Result, concatenated
from inputopt.search.rows import take
from inputopt.versions import now, recorded_versions


@default_modes()
def evaluate(
    model: Model,
    x: Inputs,
    y: Any = None,
    norm: NormName = "linf",
    eps: float | Inputs = 0.1,
    preset: PresetName = "standard",
    seed: int = 0,
    ids: Any = None,
    *,
    levels: int | None = None,
    mask: Inputs | None = None,
    eot_samples: int = 1,
    adapt: bool | None = None,
    progress: Callable[[str, int], None] | None = None,
) -> Report:
    """Measure robust accuracy with a protocol of attacks, each run on the inputs that are still robust.

    The final images are evaluated once more, independently of the attacks.

    Args:
        model: a network, frozen or not; if not, its inputs are assumed to lie in [0, 1].
        x: inputs [B, ...] within the bounds, a floating-point tensor or array.
        y: labels [B]; default: the network's predictions.
        norm: "l0", "l1", "l2" or "linf".
        eps: radius of the ball: a number, or one per input.
        preset: "quick" (seconds), "standard" (at least as strong as AutoAttack's standard protocol) or "thorough".
        seed: random seed, combined with the ids.
        ids: int64 [B], which key the random numbers of each input; default: the position in the batch.
        levels, mask, eot_samples: as for `AttackConfig`.
        adapt: whether the remedies that indicators name are applied too: attacks with repaired gradients, with as many
            random draws as needed, and without gradients; default: in the preset "thorough".
        progress: called with each attack's name and the number of inputs that it is run on.

    Returns:
        The report. For stochastic networks, accuracies are means over inputs and random draws.

    Raises:
        ValueError, TypeError: an invalid argument, before any attack.
    """
    chosen, adapt = find_norm(norm), preset == "thorough" if adapt is None else flag("adapt", adapt)
    stages = find_protocol(preset, norm)
    distance, where = lengths("eps", eps), None if mask is None else mask_of_numbers("mask", mask)
    net, seed = frozen(model), checks.seed(seed)
    problem, traits = check_problem(net, x, y, ids)
    check_levels(levels, net, problem.x0, chosen)
    problem = replace(problem, region=ball_region(net, problem, chosen, distance, where))
    logits = logits_in_batches(net, problem)
    if not traits.stochastic and not same_logits_alone(net, problem.x0, logits, CHECKED):
        traits = replace(traits, batch_dependent=True)  # in larger batches than `check_problem` uses
    if traits.batch_dependent:
        logits = logits_one_by_one(net, problem)
    state, rows, late = EvaluationState.at_start(net, problem, logits, traits, seed), [], 0
    clean = state
    measured = Measurements(net, traits, problem, state.robust, seed, y is not None)
    further = full_search(preset, norm, traits.classes)
    if traits.batch_dependent:
        stages, further = one_by_one_protocol(preset, norm, traits.classes), []
    if not measured.has_gradient:
        stages, further = gradient_free_protocol(preset, norm), []
    while True:
        if further and not measured.leads:
            stages, further = [*without_shortcuts(stages), *further], []
        if not stages:
            break
        stage, *stages = stages
        # the mean over draws counts for a random model, which a search lowers up to its last step
        config = replace(
            stage.attack, levels=levels, eot_samples=eot_samples, stop_on_success=not traits.stochastic
        )  # fmt: skip
        tried = (state.robust & stage.where(state)).nonzero()[:, 0]
        if progress is not None:
            progress(stage.name, len(tried))
        started = time.perf_counter()
        found = _attacked(config, net, problem, tried, traits, seed)
        state = state.after(tried, found, problem.label[tried])
        rows.append(_row(stage.name, tried, found, time.perf_counter() - started))
        if found is not None and not stage.attack.gradient_free:
            measured.probe_failures(tried, found)
            late = late_successes(found) if config.stop_on_success else 0
    final = check_final_images(net, problem, state, traits, seed)
    evidence = Evidence(
        traits=traits,
        label=problem.label,
        logits=logits,
        correct=clean.robust,
        fooled_class=state.fooled_class,
        nonfinite_clean=clean.nonfinite,
        nonfinite_met=state.nonfinite,
        eot_samples=eot_samples,
        agreement=measured.agreement,
        later=measured.later,
        cause=measured.cause(),
        unbounded=measured.unbounded(),
        rescaled=measured.rescaled(),
        spread=measured.spread(),
        rows=rows,
        late=late,
        unconfirmed=final.changed,
        batch_dependent=final.one_by_one,
        changed_alone=final.changed_alone,
        sparse=norm == "l0",
    )
    settings = {
        "norm": norm,
        "eps": distance.tolist() if isinstance(distance, Tensor) else distance,
        "preset": preset,
        "seed": seed,
        "levels": levels,
        "masked": where is not None,
        "eot_samples": eot_samples,
        "adapt": adapt,
        "labels": "given" if y is not None else "the model's own predictions",
        "model": {**net.described(), "class": net.kind},
        "count": len(problem.x0),
        "shape": list(problem.x0.shape[1:]),
        "date": now(),
        "versions": recorded_versions(),
    }
    report = _report(final, problem, state, rows, indicators(evidence), settings)
    threat = Threat(net, problem, traits, norm, seed, levels, progress)
    return _with_remedies(report, threat, state) if adapt and asks_for_remedies(report.indicators) else report


def _with_remedies(report: Report, threat: Threat, state: EvaluationState) -> Report:
    """The report after the remedies that its indicators ask for, from the state after the protocol."""
    adapted = apply_remedies(threat, state, report.indicators)
    reasons, before = with_applied(report.indicators, adapted), report.robust_accuracy
    if not adapted.rows:
        return replace(report, indicators=reasons, robust_accuracy_before_adapting=before)
    final = check_final_images(threat.net, threat.problem, adapted.state, threat.traits, threat.seed)
    rows = [*report.attacks, *adapted.rows]
    after = _report(final, threat.problem, adapted.state, rows, reasons, report.settings)
    return replace(after, robust_accuracy_before_adapting=before)


def _attacked(
    attack: AttackConfig, net: Frozen, problem: Problem, tried: Tensor, traits: NetworkTraits, seed: int
) -> Result | None:
    """The result of the attack on the inputs at positions `tried`, as if called on them alone; None without inputs."""
    if not len(tried):
        return None
    parts = torch.split(tried, 1) if traits.batch_dependent else [tried]
    # `check_batch` is not needed: the clean inputs were checked
    found = [
        run_in_batches(attack, net, renumbered(take(problem, part)), traits, seed, None, check_batch=False)
        for part in parts
    ]
    return concatenated(found)


def _report(
    final: FinalCheck,
    problem: Problem,
    state: EvaluationState,
    rows: list[AttackRow],
    found: tuple[Indicator, ...],
    settings: dict[str, Any],
) -> Report:
    clean, accuracy = (float(share.double().mean()) for share in (final.clean, final.robust))
    fooled = (final.robust < final.clean).reshape(-1, *(1,) * (problem.x0.ndim - 1))
    x = torch.where(fooled, state.x, problem.x0)
    return Report(clean, accuracy, final.robust > 0.5, x, tuple(rows), found, settings, final.interval)


def _row(name: str, tried: Tensor, found: Result | None, seconds: float) -> AttackRow:
    if found is None:
        return AttackRow(name, 0, (), 0, 0, seconds)
    fooled = tuple(tried[found.success].tolist())
    return AttackRow(name, len(tried), fooled, int(found.forwards.sum()), int(found.backwards.sum()), seconds)
