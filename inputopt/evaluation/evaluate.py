"""How many of these inputs can be fooled within this distance?"""

from __future__ import annotations

import platform
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from inputopt import checks
from inputopt.attacks.base import bounded
from inputopt.attacks.setting import canvas_of
from inputopt.evaluation.doubts import doubts_after, doubts_before
from inputopt.evaluation.protocols import find_protocol
from inputopt.evaluation.report import AttackRow, Report
from inputopt.evaluation.standing import Standing
from inputopt.nets.frozen import Frozen, frozen
from inputopt.search.inputs import check_problem
from inputopt.search.norms import find_norm
from inputopt.search.problem import Result


def evaluate(
    model: Frozen | nn.Module | Callable[[Tensor], Tensor],
    x: Tensor,
    y: Any,
    norm: str = "linf",
    eps: float | Tensor = 0.1,
    preset: str = "standard",
    seed: int = 0,
    ids: Any = None,
    *,
    levels: int | None = None,
    mask: Tensor | None = None,
    samples: int = 1,
    progress: Callable[[str, int], None] | None = None,
) -> Report:
    """Run a protocol of attacks, each on the inputs that are still standing.

    Args:
        model: a network, frozen or not; if not, its inputs are taken to lie in [0, 1].
        x: inputs [B, ...] in the bounds.
        y: their classes, [B].
        norm: "l0", "l1", "l2" or "linf".
        eps: the distance, a number or one for each input.
        preset: "quick" (seconds), "standard" (at least as strong as AutoAttack's standard protocol) or "thorough".
        seed: what all chance is drawn from, together with the ids.
        ids: what each input's randomness is keyed by; the position if not given.
        levels, mask, samples: as for every attack.
        progress: called with each attack's name and how many inputs are still standing.

    Raises:
        ValueError, TypeError: anything that does not fit, before any attack.
    """
    net = frozen(model)
    stages = find_protocol(preset, find_norm(norm).name)
    checks.whole("samples", samples)
    problem = bounded(net, check_problem(net, x, y, ids), find_norm(norm), eps, mask)
    canvas_of(levels, net, problem.x0, find_norm(norm))
    assert problem.eps is not None
    doubts = doubts_before(net, problem)
    standing = Standing.at_start(net, problem)
    clean, rows = float(standing.robust.double().mean()), []
    for stage in stages:
        tried = (standing.robust & stage.where(standing)).nonzero()[:, 0]
        if progress is not None:
            progress(stage.name, len(tried))
        started = time.perf_counter()
        found: Result | None = None
        if len(tried):
            part = mask[tried] if mask is not None and mask.shape == x.shape else mask
            attack = replace(stage.attack, eps=problem.eps[tried], levels=levels, mask=part, samples=samples)
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                found = attack(net, x[tried], problem.label[tried], seed=seed, ids=problem.ids[tried])
            doubts += [str(warning.message) for warning in said]
        standing = standing.after(tried, found, problem.label[tried])
        rows.append(_row(stage.name, tried, found, time.perf_counter() - started))
    settings = {
        "norm": norm,
        "eps": eps.tolist() if isinstance(eps, Tensor) else eps,
        "preset": preset,
        "seed": seed,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    doubts = list(dict.fromkeys([*doubts, *doubts_after(rows)]))
    robust = float(standing.robust.double().mean())
    return Report(clean, robust, standing.robust, standing.x, tuple(rows), tuple(doubts), settings)


def _row(name: str, standing: Tensor, found: Result | None, seconds: float) -> AttackRow:
    if found is None:
        return AttackRow(name, 0, (), 0, 0, seconds)
    fooled = tuple(standing[found.success].tolist())
    return AttackRow(name, len(standing), fooled, int(found.forwards.sum()), int(found.backwards.sum()), seconds)
