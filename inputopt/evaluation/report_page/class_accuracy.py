"""Accuracy of each class, clean and under attack, with intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from inputopt.evaluation.confidence import Interval, wilson
from inputopt.evaluation.report import Report

MOST_CLASSES = 20
"""With more classes, only those with the lowest robust accuracy are listed."""


@dataclass(frozen=True)
class ClassAccuracy:
    """The figures of one class: shares of its `count` inputs."""

    name: str
    count: int
    clean: float
    robust: float
    certified: float | None

    def interval(self, share: float) -> Interval:
        """The 95 % Wilson interval of one of the shares."""
        return wilson(share, self.count)


def class_accuracies(report: Report, name_of: Callable[[int], str]) -> tuple[list[ClassAccuracy], int]:
    """The classes in order, or with many classes the weakest first; and the number of classes that have inputs.

    Empty if the report has no labels. For a random network, an input counts as correct if most draws are.
    """
    if report.label is None or report.clean is None:
        return [], 0
    found = []
    for label in sorted(set(report.label.tolist())):
        rows = report.label == label
        robust, count = _share(report.robust, rows), int(rows.sum())
        certified = None if report.certified is None else _share(report.certified, rows)
        clean = _share(report.clean, rows)
        found.append(ClassAccuracy(name_of(label), count, clean, robust, certified))
    if len(found) <= MOST_CLASSES:
        return found, len(found)
    return sorted(found, key=lambda each: (each.robust, each.clean))[:MOST_CLASSES], len(found)


def _share(flags: Tensor, rows: Tensor) -> float:
    return float(flags[rows].double().mean())
