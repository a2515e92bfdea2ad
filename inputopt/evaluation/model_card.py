"""A report as a block of a model card: Hugging Face's model-index as YAML front matter, and Markdown."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from inputopt.evaluation.confidence import Interval
from inputopt.evaluation.report import Report
from inputopt.evaluation.report_text import and_levels, eps_text, inputs_text, json_value, percent, threat_model


def card_of(report: Report, name: str | None, dataset: str | None, dataset_id: str | None, task: str | None) -> str:
    """The block of a report; see `Report.model_card`."""
    settings = report.settings
    model = settings.get("model", {})
    title = str(name or model.get("name") or model.get("class") or "model")
    data = str(dataset or settings.get("data") or "unnamed data")
    shape = settings.get("shape", [])
    kind = task or {1: "tabular-classification", 3: "image-classification"}.get(len(shape), "other")
    lines = [
        "---",
        "tags:",
        "- adversarial-robustness",
        "metrics:",
        "- accuracy",
        "model-index:",
        f"- name: {scalar(title)}",
        "  results:",
        "  - task:",
        f"      type: {scalar(kind)}",
        "    dataset:",
        f"      name: {scalar(data)}",
        f"      type: {scalar(dataset_id or data)}",
        "    metrics:",
    ]
    for label, value, interval, arguments in _figures(report):
        lines += [
            "    - type: accuracy",
            f"      value: {scalar(value)}",
            f"      name: {scalar(label)}",
            "      args:",
            f"        interval: [{scalar(round(interval[0], 6))}, {scalar(round(interval[1], 6))}]",
            *(f"        {key}: {scalar(each)}" for key, each in arguments.items()),
        ]
    return "\n".join([*lines, "---", "", *_markdown(report, title), ""])


def scalar(value: Any) -> str:
    """A JSON value as YAML on one line; control characters are escaped, since YAML does not allow them as they are.

    >>> print(scalar('a: "b"'), scalar([1, None]))
    "a: \\"b\\"" [1, null]
    """
    text = json.dumps(json_value(value), ensure_ascii=False)
    if isinstance(value, float):
        return text if "." in text else text.replace("e", ".0e")  # YAML 1.1 takes 1e-05 for a word
    return "".join(sign if sign.isprintable() else f"\\u{ord(sign):04x}" for sign in text)


def _figures(report: Report) -> list[tuple[str, float, Interval, dict[str, Any]]]:
    """Name, value, interval and arguments of each accuracy."""
    settings = report.settings
    sample = {"inputs": len(report.robust)}
    found: list[tuple[str, float, Interval, dict[str, Any]]] = [
        ("Clean accuracy", report.clean_accuracy, report.clean_interval, sample)
    ]
    keys = ("norm", "eps", "preset", "seed", "levels", "eot_samples")
    attack = {key: settings[key] for key in keys if settings.get(key) is not None} | sample
    if isinstance(attack.get("eps"), list):
        attack["eps"] = eps_text(attack["eps"])
    attack["indicators"] = [each.id for each in report.indicators]
    found.append(("Robust accuracy (upper bound by attacks)", report.robust_accuracy, report.interval, attack))
    if report.robust_accuracy_if_rejected is not None and report.interval_if_rejected is not None:
        label = "Robust accuracy if a rejected input counts as withstood (upper bound by attacks)"
        found.append((label, report.robust_accuracy_if_rejected, report.interval_if_rejected, attack))
    if report.certified_accuracy is not None and report.certified_interval is not None:
        ball = {key: attack[key] for key in ("norm", "eps") if key in attack} | sample
        label = "Certified accuracy (lower bound by proof)"
        found.append((label, report.certified_accuracy, report.certified_interval, ball))
    return found


def _markdown(report: Report, title: str) -> list[str]:
    settings = report.settings
    lines = [f"## Adversarial robustness of {plain_markdown(title)}", ""]
    inputs = plain_markdown(inputs_text(settings, len(report.robust)))
    if "norm" in settings:
        ball = f"{plain_markdown(str(threat_model(settings)))}, eps {eps_text(settings['eps'])}{and_levels(settings)}"
        lines += [f"Measured with inputopt, preset {settings.get('preset')}, in {ball}, on {inputs}.", ""]
    else:
        lines += [f"Measured with inputopt on {inputs}.", ""]
    lines += ["| | accuracy | 95 % interval |", "|---|---|---|"]
    for label, value, interval, _ in _figures(report):
        lines.append(f"| {label} | {percent(value)} | {percent(interval[0])} to {percent(interval[1])} |")
    lines.append("")
    if not report.indicators:
        return [*lines, "No indicator gave a reason to doubt the robust accuracy."]
    for title, is_open in (("Reasons to doubt the robust accuracy:", True), ("What the evaluation acted on:", False)):
        found = [each for each in report.indicators if each.is_open == is_open]
        if found:
            lines += [title, "", *(f"- `{each.id}`: {plain_markdown(str(each))}" for each in found), ""]
    return lines[:-1]


def plain_markdown(text: str) -> str:
    r"""Text without a meaning in Markdown or HTML, on one line.

    >>> plain_markdown("<b> *x* | y")
    '&lt;b&gt; \\*x\\* \\| y'
    """
    text = escape(" ".join(text.split()), quote=False)
    return "".join(f"\\{sign}" if sign in "\\`*_[]|" else sign for sign in text)
