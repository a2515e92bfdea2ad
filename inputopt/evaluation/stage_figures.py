"""Figures of an evaluation while it runs, as plain numbers for experiment trackers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from inputopt.evaluation.attack_row import AttackRow
from inputopt.evaluation.report import Report
from inputopt.wilson_interval import Interval, wilson

Callback = Callable[[dict[str, float]], Any]
"""Receives the figures of a stage; its result is ignored."""


def ignore(figures: dict[str, float]) -> None:
    """The callback of an evaluation without one."""


def stage_figures(rows: Sequence[AttackRow], robust: Tensor, remedy: int = 0) -> dict[str, float]:
    """The figures after the attacks so far.

    Args:
        rows: the attacks so far; none for the figures before the first.
        robust: whether each input is still classified correctly, bool [B].
        remedy: number of the remedy, from 1, that the last attack belongs to; 0 for attacks of the protocol.

    Returns:
        "stage" (0 before the first attack), "remedy", "robust_accuracy" so far with the ends of its 95 % interval
        ("robust_accuracy_low" and "robust_accuracy_high"), "tried" and "fooled" by the last attack, and the totals of
        "forwards", "backwards" and "seconds".
    """
    share = float(robust.double().mean())
    last = rows[-1] if rows else AttackRow("", 0, (), 0, 0, 0.0)
    return {
        "stage": float(len(rows)),
        "remedy": float(remedy),
        **with_ends("robust_accuracy", share, wilson(share, len(robust))),
        "tried": float(last.tried),
        "fooled": float(len(last.fooled)),
        **_totals(rows),
    }


def final_figures(report: Report) -> dict[str, float]:
    """The figures of the finished report; its stage follows that of the last attack.

    Returns:
        "stage", "clean_accuracy" and "robust_accuracy" with the ends of their intervals, "indicators" (their number),
        totals as for `stage_figures`, and "certified_accuracy" and "robust_accuracy_if_rejected" if they were measured.
    """
    figures = {
        "stage": float(len(report.attacks) + 1),
        **with_ends("clean_accuracy", report.clean_accuracy, report.clean_interval),
        **with_ends("robust_accuracy", report.robust_accuracy, report.interval),
        "indicators": float(len(report.indicators)),
        **_totals(report.attacks),
    }
    if report.certified_accuracy is not None and report.certified_interval is not None:
        figures |= with_ends("certified_accuracy", report.certified_accuracy, report.certified_interval)
    if report.robust_accuracy_if_rejected is not None and report.interval_if_rejected is not None:
        name = "robust_accuracy_if_rejected"
        figures |= with_ends(name, report.robust_accuracy_if_rejected, report.interval_if_rejected)
    return figures


def with_ends(name: str, share: float, interval: Interval) -> dict[str, float]:
    """An accuracy under its name, and the ends of its 95 % interval with "_low" and "_high" appended."""
    return {name: share, f"{name}_low": interval[0], f"{name}_high": interval[1]}


def _totals(rows: Sequence[AttackRow]) -> dict[str, float]:
    return {name: float(sum(getattr(row, name) for row in rows)) for name in ("forwards", "backwards", "seconds")}
