"""What is needed to run an evaluation again: the command line, Python code, and every recorded setting."""

from __future__ import annotations

import json
import shlex
from typing import Any

from inputopt.evaluation.report import Report
from inputopt.evaluation.report_text import eps_text, inputs_text

DEFAULTS: dict[str, Any] = {"levels": None, "eot_samples": 1}
"""Arguments of `evaluate` that the code leaves out at these values."""


def command_line(report: Report) -> str | None:
    """The command that made the report, quoted for a shell; None if it was made in Python."""
    command = report.settings.get("command")
    return None if command is None else shlex.join(["inputopt", *map(str, command)])


def python_code(report: Report) -> str | None:
    """Code that makes the report again from the same model, inputs and labels; None without settings."""
    settings = report.settings
    if "preset" not in settings:
        return None
    eps = settings["eps"]
    arguments = {"norm": settings["norm"], "eps": eps, "preset": settings["preset"], "seed": settings["seed"]}
    arguments |= {name: settings[name] for name, usual in DEFAULTS.items() if settings.get(name, usual) != usual}
    if settings.get("adapt", arguments["preset"] == "thorough") != (arguments["preset"] == "thorough"):
        arguments["adapt"] = settings["adapt"]  # not the preset's default
    given = [f"{name}={literal(value)}" for name, value in arguments.items() if not isinstance(value, list)]
    if isinstance(eps, list):
        given.insert(1, "eps=eps")
    if settings.get("masked"):
        given.append("mask=mask")
    lines = ["import inputopt", "", *_model_lines(settings.get("model", {}))]
    if isinstance(eps, list):
        lines.append(f"eps = ...  # one for each input or element, {eps_text(eps)}")
    if settings.get("masked"):
        lines.append("mask = ...  # the elements that may change")
    hashes = settings.get("hashes", {})
    of = f"{inputs_text(settings, len(report.robust))} of shape {settings.get('shape')}"
    lines += [f"x, y = ...  # {' '.join(of.split())}", ""]
    labels = ", y" if settings.get("labels") == "given" else ""
    lines += ["report = inputopt.evaluate(", f"    net, x{labels},", *(f"    {each}," for each in given), ")"]
    if hashes:
        lines += ['assert report.settings["hashes"] == {']
        lines += [*(f"    {literal(name)}: {literal(value)}," for name, value in hashes.items()), "}"]
    return "\n".join(lines)


def _model_lines(model: dict[str, Any]) -> list[str]:
    name, weights = model.get("name"), model.get("weights")
    of_code = name is None or ":" in name  # a name such as package.module:function
    load = "..." if of_code else f"inputopt.load({literal(name)})"
    comment = f"  # {' '.join(str(name or model.get('class')).split())}" if of_code else ""
    lines = [f"model = {load}{comment}"]
    usual = {"bounds": [0.0, 1.0], "mean": 0.0, "std": 1.0}
    scaling = [f"{key}={_literal(model[key], key)}" for key, value in usual.items() if model.get(key, value) != value]
    lines.append(f"net = inputopt.Frozen({', '.join(['model', *scaling])})")
    if weights:
        lines.append(f'assert net.described()["weights"] == {literal(weights)}')
    return lines


def literal(value: Any) -> str:
    """A value as Python code, text in double quotes where it is ASCII.

    >>> print(literal("linf"), literal(0.1))
    "linf" 0.1
    """
    return json.dumps(value) if isinstance(value, str) and value.isascii() else repr(value)


def _literal(value: Any, key: str) -> str:
    """A number, list or pair as Python code."""
    text = repr(tuple(value) if key == "bounds" else value)
    return text.replace("inf", "float('inf')")


def setting_rows(report: Report) -> list[tuple[str, str]]:
    """Every recorded setting as (name, value), nested ones as "model: weights"; the command is shown apart."""
    rows = []
    for name, value in report.settings.items():
        if name == "command":
            continue
        nested = value.items() if isinstance(value, dict) else [(None, value)]
        for key, each in nested:
            title = name if key is None else f"{name}: {key}"
            rows.append((title.replace("_", " "), _shown(each)))
    return rows


def _shown(value: Any) -> str:
    if isinstance(value, list) and len(value) > 8:
        try:
            return eps_text(value)
        except (TypeError, ValueError):
            return f"{len(value)} values"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)
