"""Robustness evaluation: a protocol of attacks, a final check of every image, and indicators of a wrong figure."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from inputopt import checks
from inputopt.attacks.attack import Model, bounded, called
from inputopt.attacks.batches import logits_in_batches
from inputopt.attacks.config import AttackConfig, lengths, mask_of_numbers
from inputopt.attacks.reevaluation import CHECKED
from inputopt.attacks.run import check_levels
from inputopt.evaluation.attack_row import AttackRow
from inputopt.evaluation.final_check import FinalCheck, judge
from inputopt.evaluation.indicators import Evidence, Indicator, indicators
from inputopt.evaluation.indicators.zero_gradient import share_of_zero_gradients
from inputopt.evaluation.protocols import find_protocol
from inputopt.evaluation.report import Report
from inputopt.evaluation.state import EvaluationState
from inputopt.nets.ambient import ambient
from inputopt.nets.frozen import Frozen, frozen
from inputopt.search.inputs import check_problem
from inputopt.search.network_traits import NetworkTraits, same_answers_alone
from inputopt.search.norms import find_norm
from inputopt.search.problem import Problem
from inputopt.search.result import Result
from inputopt.search.rows import take


@ambient()
def evaluate(
    model: Model,
    x: Tensor,
    y: Any = None,
    norm: str = "linf",
    eps: float | Tensor = 0.1,
    preset: str = "standard",
    seed: int = 0,
    ids: Any = None,
    *,
    levels: int | None = None,
    mask: Tensor | None = None,
    eot_samples: int = 1,
    progress: Callable[[str, int], None] | None = None,
) -> Report:
    """Run a protocol of attacks, each on the inputs that are still standing, and judge the final images once more.

    Args:
        model: a network, frozen or not; if not, its inputs are taken to lie in [0, 1].
        x: inputs [B, ...] in the bounds, a floating-point tensor or array.
        y: their classes, [B]; the network's own predictions if not given.
        norm: "l0", "l1", "l2" or "linf".
        eps: the distance, a number or one for each input.
        preset: "quick" (seconds), "standard" (at least as strong as AutoAttack's standard protocol) or "thorough".
        seed: what all randomness is drawn from, together with the ids.
        ids: what each input's randomness is keyed by; the position if not given.
        levels, mask, eot_samples: as for every attack.
        progress: called with each attack's name and how many inputs are still standing.

    Returns:
        For a network that answers at random, accuracies are means over examples and fresh draws.

    Raises:
        ValueError, TypeError: anything that does not fit, before any attack.
    """
    chosen = find_norm(norm)
    stages = [
        replace(stage, attack=replace(stage.attack, levels=levels, eot_samples=eot_samples))
        for stage in find_protocol(preset, chosen.name)
    ]
    distance, where = lengths("eps", eps), None if mask is None else mask_of_numbers("mask", mask)
    net, seed = frozen(model), checks.seed(seed)
    problem, known = check_problem(net, x, y, ids)
    check_levels(levels, net, problem.x0, chosen)
    problem = replace(problem, region=bounded(net, problem, chosen, distance, where))
    if known.varies:  # what counts is the mean over draws, which a search brings down until its last step
        stages = [replace(stage, attack=replace(stage.attack, stop_on_success=False)) for stage in stages]
    zero_gradients = share_of_zero_gradients(net, problem)
    logits = logits_in_batches(net, problem)
    if not known.varies and not same_answers_alone(net, problem.x0, logits, CHECKED):
        known = replace(known, batch_dependent=True)  # in batches larger than those of the first look
    state, rows = EvaluationState.at_start(net, problem, logits, known, seed), []
    nonfinite_clean = state.nonfinite
    for stage in stages:
        tried = (state.robust & stage.where(state)).nonzero()[:, 0]
        if progress is not None:
            progress(stage.name, len(tried))
        started = time.perf_counter()
        found = _attacked(stage.attack, net, problem, tried, known, seed)
        state = state.after(tried, found, problem.label[tried])
        rows.append(_row(stage.name, tried, found, time.perf_counter() - started))
    final = judge(net, problem, state, known, seed)
    evidence = Evidence(
        known, eot_samples, zero_gradients, rows, nonfinite_clean, state.nonfinite, final.changed, final.alone
    )
    settings = {
        "norm": norm,
        "eps": distance.tolist() if isinstance(distance, Tensor) else distance,
        "preset": preset,
        "seed": seed,
        "levels": levels,
        "masked": where is not None,
        "eot_samples": eot_samples,
        "labels": "given" if y is not None else "the model's own predictions",
        "model": net.described(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    return _report(final, problem, state, rows, indicators(evidence), settings)


def _attacked(
    attack: AttackConfig, net: Frozen, problem: Problem, tried: Tensor, known: NetworkTraits, seed: int
) -> Result | None:
    """The attack on the examples `tried`, as it would be called on them; None if there are none."""
    if not len(tried):
        return None
    part = take(problem, tried)
    part = replace(part, example=torch.arange(len(tried), device=tried.device))
    return called(attack, net, part, known, seed, None, check_alone=False)  # as the clean inputs were


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


def _row(name: str, standing: Tensor, found: Result | None, seconds: float) -> AttackRow:
    if found is None:
        return AttackRow(name, 0, (), 0, 0, seconds)
    fooled = tuple(standing[found.success].tolist())
    return AttackRow(name, len(standing), fooled, int(found.forwards.sum()), int(found.backwards.sum()), seconds)
