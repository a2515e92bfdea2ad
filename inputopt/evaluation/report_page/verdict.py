"""The verdict of a report in sentences."""

from __future__ import annotations

from inputopt.evaluation.report import Report
from inputopt.evaluation.report_text import eps_text, percent, threat_model, with_interval

BUDGETS = {
    "linf": "each of their values may change by up to {eps}",
    "l2": "they may change by up to {eps} in Euclidean distance (L2)",
    "l1": "the sum of all changes may reach {eps} (L1)",
    "l0": "up to {eps} of their values may change (L0)",
}
"""What an attacker may do in each norm."""


def verdict_sentences(report: Report) -> list[str]:
    """What the attacks found, what is proven, and whether there is a reason to doubt it."""
    found = [_upper_bound(report)]
    proven, range_of_proven = report.certified_accuracy, report.certified_interval
    if proven is not None and range_of_proven is not None:
        found.append(f"At least {with_interval(proven, range_of_proven)} are proven to be, whatever the attack.")
    before, interval = report.robust_accuracy_before_adapting, report.interval_before_adapting
    if before is not None and interval is not None:
        found.append(f"Before remedies were applied it was {with_interval(before, interval)}.")
    found.append(_doubt(report))
    return found


def _upper_bound(report: Report) -> str:
    settings = report.settings
    if "norm" not in settings:
        return f"At most {percent(report.robust_accuracy)} of the inputs are still classified correctly under attack."
    eps = eps_text(settings["eps"])
    budget = BUDGETS.get(settings["norm"], f"they may change by up to {{eps}} ({threat_model(settings)})")
    return (
        f"At most {percent(report.robust_accuracy)} of the inputs are still classified correctly when "
        f"{budget.format(eps=eps)}."
    )


def _doubt(report: Report) -> str:
    count = len(report.indicators)
    if not count:
        return "No indicator gives a reason to doubt this figure."
    if all(each.applied for each in report.indicators):
        return f"{_counted(count)} to doubt it; the evaluation acted on {'it' if count == 1 else 'them'}, see below."
    return f"{_counted(count)} to doubt this figure: read what follows before you quote it."


def _counted(count: int) -> str:
    return "One indicator gives reason" if count == 1 else f"{count} indicators give reason"
