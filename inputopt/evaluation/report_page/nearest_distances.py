"""Minimal distances of a seeded sample of the evaluated inputs, for the curve and the most fragile examples."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inputopt.attacks.minimal_norm.hop_skip_jump import HopSkipJump
from inputopt.attacks.minimal_norm.portfolio import MinimalNorm
from inputopt.attacks.regions import ball_region
from inputopt.evaluation.remedies.repaired_distances import repaired_distances
from inputopt.evaluation.report import Report
from inputopt.evaluation.robustness_curve import RobustnessCurve
from inputopt.evaluation.threat import Threat
from inputopt.nets.frozen import Frozen
from inputopt.nets.model_errors import NoGradientError
from inputopt.search.inputs import InputoptWarning, check_problem
from inputopt.search.norms import find_norm
from inputopt.search.result import Result

QUERIES = 300
"""Budget of forwards plus backwards per input: far fewer than an evaluation spends on an input that withstands it."""

DECISIONS = 1000
"""Forwards per input of HopSkipJump, where there is no gradient to follow."""

FLAT = ("hard_labels", "no_gradient")
"""Indicators of networks without a gradient, whose boundary HopSkipJump finds from predicted classes."""


@dataclass(frozen=True)
class NearestDistances:
    """Minimal distances of n inputs.

    Attributes:
        distance: 0 for inputs misclassified as they are, infinite where no attack succeeded, [n]; on the CPU, as all.
        source: how they were measured, in one sentence.
        rows: positions of these inputs among the evaluated ones, int64 [n]; None if they are not known.
        x: the nearest misclassified inputs found, [n, ...]; None if they are not known.
    """

    distance: Tensor
    source: str
    rows: Tensor | None = None
    x: Tensor | None = None


def sampled_rows(count: int, most: int, seed: int) -> Tensor:
    """Ascending positions of `most` of `count` inputs, drawn without replacement; all if there are no more."""
    if count <= most:
        return torch.arange(count)
    return torch.from_numpy(np.sort(np.random.default_rng(seed).choice(count, most, replace=False)))


def of_curve(curve: RobustnessCurve) -> NearestDistances:
    """The distances of a curve that was measured before."""
    names = ", ".join(curve.results)
    return NearestDistances(curve.lowest.cpu(), f"Minimal distances of {len(curve.lowest):,} inputs by {names}.")


def measured(report: Report, net: Frozen, x0: Tensor, most: int) -> NearestDistances:
    """Distances by `MinimalNorm`, or those of the evaluation's own adversarial examples where these are nearer.

    If remedies lowered the figure, `MinimalNorm` is also run along the repaired gradients; on networks without a
    gradient `HopSkipJump` is run too, in the norms that it has.

    Args:
        report: the report; its seed draws the sample and seeds the attack.
        net: the network.
        x0: all evaluated inputs [B, ...].
        most: number of inputs in the sample.
    """
    settings, seed = report.settings, int(report.settings["seed"])
    norm = find_norm(settings["norm"])
    rows = sampled_rows(len(x0), most, seed)
    started, part = time.perf_counter(), x0[rows]
    label = None if report.label is None else report.label[rows]
    runs = _runs(report, part, label, net, rows)
    candidates = [(found.x, found.distance) for found in runs.values()]
    candidates.append((report.x[rows], torch.where(_fooled(report)[rows], norm.size(report.x[rows] - part), torch.inf)))
    repaired = report.robust_accuracy < (report.robust_accuracy_before_adapting or 0)
    further = repaired_distances(_threat(settings, net, part, label, rows), _attack(report)) if repaired else None
    if further is not None:
        candidates.append((further.x, further.distance))
    seconds = time.perf_counter() - started
    distances = torch.stack([each.to(candidates[0][1]) for _, each in candidates])
    distance, which_found = distances.min(0)
    each_row = torch.arange(len(rows), device=which_found.device)
    x = torch.stack([points for points, _ in candidates])[which_found, each_row]
    which = f"all {len(x0):,} inputs" if len(rows) == len(x0) else f"{len(rows):,} of {len(x0):,} inputs (seed {seed})"
    source = (
        f"Minimal distances of {which} by {' and '.join(runs)}"
        f"{', along repaired gradients too' if repaired else ''}, or by the evaluation's own "
        f"adversarial examples where these are nearer; measured in {seconds:.1f} s."
    )
    return NearestDistances(distance.cpu(), source, rows, x.cpu())


def _attack(report: Report) -> MinimalNorm:
    settings = report.settings
    levels, samples = settings.get("levels"), settings.get("eot_samples", 1)
    return MinimalNorm(settings["norm"], queries=QUERIES, levels=levels, eot_samples=samples)


def _runs(report: Report, x: Tensor, label: Tensor | None, net: Frozen, ids: Tensor) -> dict[str, Result]:
    """What the attacks found, by their name and budget.

    Raises:
        NoGradientError: the network has no gradient, and the norm no attack by classes alone.
    """
    attack, seed, found = _attack(report), int(report.settings["seed"]), dict[str, Result]()
    by_classes = attack.norm in HopSkipJump.norms and any(each.id in FLAT for each in report.indicators)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputoptWarning)  # the report's indicators say more
        try:
            found[f"MinimalNorm with {QUERIES} queries each"] = attack(net, x, label, seed=seed, ids=ids)
        except NoGradientError:
            if not by_classes:
                raise
        if by_classes:
            hops = HopSkipJump(attack.norm, DECISIONS, levels=attack.levels, eot_samples=attack.eot_samples)
            found[f"HopSkipJump with {DECISIONS:,} queries each"] = hops(net, x, label, seed=seed, ids=ids)
    return found


def _threat(settings: dict[str, Any], net: Frozen, x: Tensor, label: Tensor | None, ids: Tensor) -> Threat:
    """The evaluation's threat on some of its inputs."""
    problem, traits = check_problem(net, x, label, ids)
    eps, norm = settings["eps"], settings["norm"]
    radius = torch.tensor(eps)[ids] if isinstance(eps, list) else eps
    problem = replace(problem, region=ball_region(net, problem, find_norm(norm), radius, None))
    levels, samples = settings.get("levels"), settings.get("eot_samples", 1)
    return Threat(net, problem, traits, norm, int(settings["seed"]), levels, samples)


def of_evaluation(report: Report, x0: Tensor) -> NearestDistances:
    """Distances of the evaluation's own adversarial examples, infinite elsewhere: for examples, and not for a curve."""
    size = find_norm(report.settings["norm"]).size(report.x - x0)
    distance = torch.where(_fooled(report), size, torch.inf)
    return NearestDistances(distance.cpu(), "", torch.arange(len(x0)), report.x.cpu())


def _fooled(report: Report) -> Tensor:
    """Inputs that are classified correctly until an attack succeeds, bool [B]."""
    moved: Any = ~report.robust
    return moved if report.clean is None else moved & report.clean
