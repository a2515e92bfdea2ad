"""A claim of robust accuracy in the form in which RobustBench asks for new models (Croce et al., 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inputopt.evaluation.report_text import eps_text
from inputopt.wilson_interval import Interval, percent

LABELS = {
    "paper_title": "Paper Title",
    "paper_url": "Paper URL",
    "paper_authors": "Paper authors",
    "architecture": "Architecture",
    "threat_model": "Threat Model",
    "eps": "eps",
    "clean_accuracy": "Clean accuracy",
    "robust_accuracy": "Robust accuracy",
    "additional_data": "Additional data",
    "evaluation_method": "Evaluation method",
    "checkpoint_and_code": "Checkpoint and code",
}
"""The form's words for each field of `Report.claim`."""


def claim_text(claim: Mapping[str, Any], intervals: Mapping[str, Interval] | None = None) -> str:
    """The claim as the lines of the form; fields that are not known stay empty.

    Args:
        claim: the fields, as from `Report.claim`.
        intervals: the 95 % intervals of accuracies, as fractions, by field.

    >>> print(claim_text({"eps": 0.1, "robust_accuracy": 61.04, "additional_data": False, "paper_url": None}))
    - **eps**: 0.1
    - **Robust accuracy**: 61.04 %
    - **Additional data**: false
    - **Paper URL**:
    """
    ends = intervals or {}
    return "\n".join(f"- **{LABELS[name]}**: {_written(name, value, ends)}".rstrip() for name, value in claim.items())


def _written(name: str, value: Any, intervals: Mapping[str, Interval]) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if name.endswith("accuracy"):
        ends = " to ".join(map(percent, intervals[name])) if name in intervals else ""
        return f"{value:.2f} %{f' (95 % interval: {ends})' if ends else ''}"
    return eps_text(value) if name == "eps" else " ".join(str(value).split())
