"""Figures of an evaluation while it runs, as plain numbers for experiment trackers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from inputopt.evaluation.attack_row import AttackRow
from inputopt.evaluation.report import Report

Callback = Callable[[dict[str, float]], Any]
"""Receives the figures of a stage; its result is ignored."""


def ignore(figures: dict[str, float]) -> None:
    """The callback of an evaluation without one."""


def stage_figures(rows: Sequence[AttackRow], robust: Tensor) -> dict[str, float]:
    """The figures after the attacks so far.

    Args:
        rows: the attacks so far; none for the figures before the first.
        robust: whether each input is still classified correctly, bool [B].

    Returns:
        "stage" (0 before the first attack), "robust_accuracy" so far, "tried" and "fooled" by the last attack, and the
        totals of "forwards", "backwards" and "seconds".
    """
    last = rows[-1] if rows else AttackRow("", 0, (), 0, 0, 0.0)
    return {
        "stage": float(len(rows)),
        "robust_accuracy": float(robust.double().mean()),
        "tried": float(last.tried),
        "fooled": float(len(last.fooled)),
        **_totals(rows),
    }


def final_figures(report: Report) -> dict[str, float]:
    """The figures of the finished report; its stage follows that of the last attack.

    Returns:
        "stage", "clean_accuracy" and "robust_accuracy" with the ends of their intervals, "indicators" (their number),
        totals as for `stage_figures`, and "certified_accuracy" if there is one.
    """
    figures = {
        "stage": float(len(report.attacks) + 1),
        "clean_accuracy": report.clean_accuracy,
        "clean_accuracy_low": report.clean_interval[0],
        "clean_accuracy_high": report.clean_interval[1],
        "robust_accuracy": report.robust_accuracy,
        "robust_accuracy_low": report.interval[0],
        "robust_accuracy_high": report.interval[1],
        "indicators": float(len(report.indicators)),
        **_totals(report.attacks),
    }
    if report.certified_accuracy is not None:
        figures["certified_accuracy"] = report.certified_accuracy
    return figures


def _totals(rows: Sequence[AttackRow]) -> dict[str, float]:
    return {name: float(sum(getattr(row, name) for row in rows)) for name in ("forwards", "backwards", "seconds")}
