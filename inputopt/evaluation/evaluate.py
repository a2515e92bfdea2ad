"""Robustness evaluation: a protocol of attacks, a final check of every image, and indicators of a wrong figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from inputopt import checks
from inputopt.attacks.attack import Model
from inputopt.attacks.batches import logits_in_batches
from inputopt.attacks.config import flag, lengths, mask_of_numbers, optional, whole
from inputopt.attacks.reevaluation import CHECKED
from inputopt.attacks.regions import ball_region
from inputopt.attacks.run import check_levels
from inputopt.evaluation.attack_row import AttackRow
from inputopt.evaluation.certificates import CertifiedInputs, certify_inputs
from inputopt.evaluation.final_check import FinalCheck, check_final_images, logits_one_by_one
from inputopt.evaluation.indicators import Evidence, Indicator, indicators
from inputopt.evaluation.indicators.hard_labels import only_labels
from inputopt.evaluation.measurements import Measurements
from inputopt.evaluation.probes.normalised_range import largest_normalised
from inputopt.evaluation.protocol_run import ProtocolRun, run_protocol
from inputopt.evaluation.protocols import PRESETS, PresetName
from inputopt.evaluation.remedies.adapt import NotifyRemedy
from inputopt.evaluation.remedies.adapt import adapt as apply_remedies
from inputopt.evaluation.remedies.applied import asks_for_remedies, with_applied
from inputopt.evaluation.report import Report
from inputopt.evaluation.run_environment import run_environment
from inputopt.evaluation.stage_figures import Callback, final_figures, ignore, stage_figures
from inputopt.evaluation.state import EvaluationState
from inputopt.evaluation.threat import Threat
from inputopt.nets.default_modes import default_modes
from inputopt.nets.frozen import Frozen, frozen
from inputopt.search.eps_range import check_eps, eps_or_default
from inputopt.search.inputs import Inputs, check_problem
from inputopt.search.network_traits import NetworkTraits, same_logits_alone
from inputopt.search.norms import NormName, find_norm
from inputopt.search.problem import Problem
from inputopt.versions import now, recorded_versions


@default_modes()
def evaluate(
    model: Model,
    x: Inputs,
    y: Any = None,
    norm: NormName = "linf",
    eps: float | Inputs | None = None,
    preset: PresetName = "standard",
    seed: int = 0,
    ids: Any = None,
    *,
    levels: int | None = None,
    mask: Inputs | None = None,
    eot_samples: int = 1,
    adapt: bool | None = None,
    progress: Callable[[str, int], None] | None = None,
    callback: Callback | None = None,
) -> Report:
    """Measure robust accuracy with a protocol of attacks, each run on the inputs that are still robust.

    The final images are evaluated once more, independently of the attacks.

    Args:
        model: a network, frozen or not; if not, its inputs are assumed to lie in [0, 1].
        x: inputs [B, ...] within the bounds, a floating-point tensor or array.
        y: labels [B]; default: the network's predictions.
        norm: "l0", "l1", "l2" or "linf".
        eps: radius of the ball: a number, or one per input; by default 0.1 in Linf, 0.5 in L2, 12 in L1, 24 in L0;
            in other norms than L0 for inputs in [0, 1], and times the width of other bounds.
        preset: "quick" (seconds), "standard" (without `levels` at least as strong as AutoAttack's standard protocol) or
            "thorough".
        seed: random seed, combined with the ids.
        ids: int64 [B], which key the random numbers of each input; default: the position in the batch.
        levels, mask, eot_samples: as for `AttackConfig`.
        adapt: whether the remedies that indicators name are applied too: attacks with repaired gradients, with as many
            random draws as needed, and without gradients; default: in the preset "thorough".
        progress: called with each attack's name and the number of inputs that it is run on.
        callback: called with a dict of floats before the first attack, after each, those of remedies included, and at
            the end; for experiment trackers, see `stage_figures` and `final_figures`.

    Returns:
        The report. For stochastic networks, accuracies are means over inputs and random draws.

    Raises:
        ValueError, TypeError: an invalid argument, before any attack.
    """
    chosen, adapt = find_norm(norm), preset == "thorough" if adapt is None else flag("adapt", adapt)
    checks.one_of("preset", preset, PRESETS)
    net, seed, levels = frozen(model), checks.seed(seed), optional(whole(2))("levels", levels)
    distance = lengths("eps", eps_or_default(eps, norm, net.unit))
    where = None if mask is None else mask_of_numbers("mask", mask)
    problem, traits = check_problem(net, x, y, ids)
    check_levels(levels, net, problem.x0, chosen)
    check_eps(distance, chosen, net, problem.x0, levels)
    problem = replace(problem, region=ball_region(net, problem, chosen, distance, where))
    logits, traits = _clean_logits(net, problem, traits)
    threat = Threat(net, problem, traits, norm, seed, levels, eot_samples, progress)
    clean, tell = EvaluationState.at_start(net, problem, logits, traits, seed), callback or ignore
    tell(stage_figures([], clean.robust))
    proofs = certify_inputs(net, problem, norm, preset, traits)
    measured = Measurements(net, traits, problem, clean.robust, seed, y is not None, only_labels(logits))

    def notify(rows: Sequence[AttackRow], robust: Tensor, remedy: int = 0) -> None:
        tell(stage_figures(rows, robust, remedy))

    run = run_protocol(threat, clean, preset, measured, proofs.certified, notify)
    final = check_final_images(net, problem, run.state, traits, seed)
    found = indicators(_evidence(threat, logits, clean, measured, run, final))
    outcome = _adapted(threat, run, final, found, notify) if adapt else Outcome(run.state, run.rows, final, found)
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
        "certificates": proofs.described,
        **run_environment(problem),
    }
    report = _report(problem, outcome, proofs, settings)
    tell(final_figures(report))
    return report


@dataclass(frozen=True)
class Outcome:
    """What the attacks of an evaluation left.

    Attributes:
        state: the state after the last attack.
        rows: a row per attack, in order.
        final: the check of the final images.
        indicators: reasons to doubt the figure.
        before: robust accuracy before remedies; None if none was applied.
        robust_if_rejected: which inputs withstand where a rejection counts as that, bool [B]; None if not measured.
    """

    state: EvaluationState
    rows: tuple[AttackRow, ...]
    final: FinalCheck
    indicators: tuple[Indicator, ...]
    before: float | None = None
    robust_if_rejected: Tensor | None = None


def _clean_logits(net: Frozen, problem: Problem, traits: NetworkTraits) -> tuple[Tensor, NetworkTraits]:
    """The logits of the clean inputs, [B, n], and the traits with whether logits depend on the batch."""
    logits = logits_in_batches(net, problem)
    if not traits.stochastic and not same_logits_alone(net, problem.x0, logits, CHECKED):
        traits = replace(traits, batch_dependent=True)  # in larger batches than `check_problem` uses
    return (logits_one_by_one(net, problem) if traits.batch_dependent else logits), traits


def _evidence(
    threat: Threat, logits: Tensor, clean: EvaluationState, measured: Measurements, run: ProtocolRun, final: FinalCheck
) -> Evidence:
    return Evidence(
        traits=threat.traits,
        label=threat.problem.label,
        logits=logits,
        correct=clean.robust,
        fooled_class=run.state.fooled_class,
        nonfinite_clean=clean.nonfinite,
        nonfinite_met=run.state.nonfinite,
        eot_samples=threat.eot_samples,
        agreement=measured.agreement,
        later=measured.later,
        cause=measured.cause(),
        unbounded=measured.unbounded(),
        rescaled=measured.rescaled(),
        spread=measured.spread(),
        rows=run.rows,
        late=run.late,
        unconfirmed=final.changed,
        batch_dependent=final.one_by_one,
        changed_alone=final.changed_alone,
        sparse=threat.norm == "l0",
        largest_input=largest_normalised(threat.net),
    )


def _adapted(
    threat: Threat, run: ProtocolRun, final: FinalCheck, found: tuple[Indicator, ...], notify: NotifyRemedy
) -> Outcome:
    """The outcome after the remedies that the indicators ask for."""
    if not asks_for_remedies(found):
        return Outcome(run.state, run.rows, final, found)
    state = run.state if threat.traits.stochastic else run.state.reopened(final.robust > 0.5)
    adapted = apply_remedies(
        threat, state, found, lambda rows, robust, remedy: notify((*run.rows, *rows), robust, remedy)
    )
    before = float(final.robust.double().mean())
    if adapted.rows:
        final = check_final_images(threat.net, threat.problem, adapted.state, threat.traits, threat.seed)
    lowered = float(final.robust.double().mean()) < before
    seen = with_applied(found, adapted, lowered, left=bool(state.robust.any()))
    accepted = None if adapted.rejection is None else adapted.rejection.robust
    return Outcome(adapted.state, (*run.rows, *adapted.rows), final, seen, before, accepted)


def _report(problem: Problem, outcome: Outcome, proofs: CertifiedInputs, settings: dict[str, Any]) -> Report:
    final = outcome.final
    clean, accuracy = (float(share.double().mean()) for share in (final.clean, final.robust))
    fooled = (final.robust < final.clean).reshape(-1, *(1,) * (problem.x0.ndim - 1))
    robust = final.robust > 0.5
    return Report(
        clean,
        accuracy,
        robust,
        torch.where(fooled, outcome.state.x, problem.x0),
        outcome.rows,
        outcome.indicators,
        settings,
        final.interval,
        certified=proofs.finished(robust),
        robust_accuracy_before_adapting=outcome.before,
        clean_interval=final.clean_interval,
        clean=final.clean > 0.5,
        label=problem.label,
        robust_if_rejected=outcome.robust_if_rejected,
    )
