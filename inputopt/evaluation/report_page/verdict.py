"""The verdict of a report in sentences."""

from __future__ import annotations

from typing import Any

from inputopt.evaluation.indicators.indicator import Effect
from inputopt.evaluation.report import Report
from inputopt.evaluation.report_text import eps_text, levels_text, percent, threat_model, unit_range, with_interval

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
    found += [*_remedies(report), *_rejections(report), *_not_affected(report), _doubt(report)]
    return found


def _remedies(report: Report) -> list[str]:
    """What the remedies changed, with the indicators that they were applied for."""
    before, interval = report.robust_accuracy_before_adapting, report.interval_before_adapting
    if before is None or interval is None:
        return []
    names = _named(report, "lowered", "unchanged")
    remedies = f"Remedies for {names}" if names else "Remedies"
    if report.robust_accuracy < before:
        return [f"{remedies} were applied and lowered it: before, it was {with_interval(before, interval)}."]
    return [f"{remedies} were tried and did not lower it."] if names else []


def _rejections(report: Report) -> list[str]:
    share, interval = report.robust_accuracy_if_rejected, report.interval_if_rejected
    if share is None or interval is None:
        return []
    return [
        f"If a rejected input counts as withstood, it is at most {with_interval(share, interval)}, measured by attacks "
        "that avoid the reject class."
    ]


def _not_affected(report: Report) -> list[str]:
    names = _named(report, "not affected")
    return [f"What {names} reports does not affect these attacks."] if names else []


def _named(report: Report, *effects: Effect) -> str:
    """The indicators whose remedy had one of these effects, such as "noisy loss and hard labels"; empty if none."""
    *first, last = ["", *(each.id.replace("_", " ") for each in report.indicators if each.effect in effects)]
    return " and ".join(filter(None, (", ".join(first[1:]), last)))


def _upper_bound(report: Report) -> str:
    settings = report.settings
    if "norm" not in settings:
        return f"At most {percent(report.robust_accuracy)} of the inputs are still classified correctly under attack."
    eps = f"{eps_text(settings['eps'], unit_range(settings))}{_of_range(settings)}"
    budget = BUDGETS.get(settings["norm"], f"they may change by up to {{eps}} ({threat_model(settings)})")
    return (
        f"At most {percent(report.robust_accuracy)} of the inputs are still classified correctly when "
        f"{budget.format(eps=eps)}{_of_levels(settings)}."
    )


def _of_range(settings: dict[str, Any]) -> str:
    """The range of the inputs, unless it is 0 to 1."""
    bounds = settings.get("model", {}).get("bounds")
    if unit_range(settings) or settings["norm"] == "l0" or any(isinstance(end, list) for end in bounds):
        return ""
    return f", of a range of {bounds[0]:g} to {bounds[1]:g},"


def _of_levels(settings: dict[str, Any]) -> str:
    text = levels_text(settings)
    return f" and they stay {text}" if text else ""


def _doubt(report: Report) -> str:
    if not report.indicators:
        return "No indicator gives a reason to doubt this figure."
    count, names = sum(each.is_open for each in report.indicators), _named(report, "not applied", "unchanged")
    if not count:
        return "The evaluation acted on every indicator that fired; what was measured and done is below."
    reasons = "One indicator gives" if count == 1 else f"{count} indicators give"
    return f"{reasons} reason to doubt this figure ({names}): read what follows before you quote it."
