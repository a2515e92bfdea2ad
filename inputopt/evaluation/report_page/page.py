"""The HTML page of a report: what it says and draws, and its template filled in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from inputopt.evaluation.attack_row import AttackRow
from inputopt.evaluation.confidence import Interval, wilson
from inputopt.evaluation.indicators import INDICATORS
from inputopt.evaluation.indicators.indicator import STATES
from inputopt.evaluation.leaderboard_claim import claim_text
from inputopt.evaluation.report import Report
from inputopt.evaluation.report_page.bracket_drawing import bracket_drawing, parts_of
from inputopt.evaluation.report_page.class_accuracy import class_accuracies
from inputopt.evaluation.report_page.curve_drawing import CurvePoint, axis_limit, curve_drawing, points_at
from inputopt.evaluation.report_page.fragile_examples import fragile_examples
from inputopt.evaluation.report_page.nearest_distances import NearestDistances, measured, of_curve, of_evaluation
from inputopt.evaluation.report_page.page_request import PageRequest
from inputopt.evaluation.report_page.rerun_code import command_line, python_code, setting_rows
from inputopt.evaluation.report_page.svg_marks import ticks
from inputopt.evaluation.report_page.verdict import verdict_sentences
from inputopt.evaluation.report_text import NORM_NAMES, and_levels, eps_text, inputs_text, percent

WIDE, NARROW = 920.0, 340.0
"""Widths of a drawing for desktops and paper, and for phones."""

GRADIENTS = "Most minimal-norm attacks follow gradients: the reasons to doubt above apply to the curve as well."

COUNTED = ("forwards", "backwards", "seconds")


@dataclass(frozen=True)
class Progress:
    """An attack and the accuracy after it.

    Attributes:
        row: what the attack did.
        left: fraction of all inputs that no attack so far has fooled.
        interval: its 95 % interval.
    """

    row: AttackRow
    left: float
    interval: Interval


@dataclass(frozen=True)
class Drawing:
    """The same drawing for a wide and for a narrow page."""

    wide: Markup
    narrow: Markup


@dataclass(frozen=True)
class CurveSection:
    """The curve: its drawing, the sentence on how it was measured, and its numbers; or why there is none."""

    drawing: Drawing | None
    source: str
    points: list[CurvePoint]


def page_of(report: Report, request: PageRequest) -> str:
    """The page as HTML."""
    nearest, failure = _nearest(report, request)
    curve = _curve_section(report, nearest, failure)
    known = nearest
    if (known is None or known.rows is None) and request.x0 is not None:
        known = of_evaluation(report, request.x0)
    twins = []
    if known is not None and request.net is not None and request.x0 is not None:
        twins = fragile_examples(request.net, request.x0, report.label, known, request.name_of, request.examples)
    classes, class_count = class_accuracies(report, request.name_of)
    settings = report.settings
    folder = files("inputopt.evaluation.report_page")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"percent": _percent, "ends": _ends, "unbroken": _unbroken, "factor": _factor}
    template = environment.from_string((folder / "page.html").read_text(encoding="utf-8"))
    return template.render(
        style=Markup((folder / "page.css").read_text(encoding="utf-8")),
        report=report,
        title=request.title or _title(settings),
        ball=_ball(settings),
        norm=NORM_NAMES.get(settings.get("norm", ""), settings.get("norm", "")),
        eps=eps_text(settings["eps"]) if "eps" in settings else "",
        date=_date(settings.get("date")),
        inputs=inputs_text(settings, len(report.robust)),
        verdict=verdict_sentences(report),
        doubted=any(each.is_open for each in report.indicators),
        states=STATES,
        parts=parts_of(report),
        bracket=Drawing(bracket_drawing(report, WIDE), bracket_drawing(report, NARROW)),
        curve=curve,
        checked=[check.__name__ for check in INDICATORS],
        attacks=_progress(report),
        totals={
            name: sum(getattr(row, name) for row in report.attacks) for name in ("forwards", "backwards", "seconds")
        },
        fooled=sum(len(row.fooled) for row in report.attacks),
        glossary={row.name: row.meaning for row in report.attacks if row.meaning},
        twins=twins,
        input_name=request.input_name,
        numbered=not request.inputs,
        classes=classes,
        class_count=class_count,
        command=command_line(report),
        code=python_code(report),
        settings=setting_rows(report),
        claim=claim_text(report.claim(), {"clean_accuracy": report.clean_interval, "robust_accuracy": report.interval}),
        card=report.model_card(request.title),
    )


def _nearest(report: Report, request: PageRequest) -> tuple[NearestDistances | None, str]:
    """Minimal distances, measured if needed; None with the reason if there are none."""
    if request.curve is not None:
        return of_curve(request.curve), ""
    if request.net is None or request.x0 is None or not request.curve_examples or "norm" not in report.settings:
        return None, ""
    if report.settings.get("masked"):
        return None, "The evaluation was restricted to a mask, which is not recorded; the curve is left out."
    try:
        return measured(report, request.net, request.x0, request.curve_examples), ""
    except ValueError as error:  # such as a model without a derivative, which other attacks of a protocol can search
        return None, f"No curve was measured: {error}"


def _curve_section(report: Report, nearest: NearestDistances | None, failure: str) -> CurveSection | None:
    if nearest is None:
        return CurveSection(None, failure, []) if failure else None
    eps, norm = report.settings.get("eps"), report.settings.get("norm", "")
    eps = eps if isinstance(eps, (int, float)) else None
    marks = []
    if eps is not None:
        marks.append(("robust", CurvePoint(eps, report.robust_accuracy, report.interval)))
        if report.certified_accuracy is not None and report.certified_interval is not None:
            marks.append(("certified", CurvePoint(eps, report.certified_accuracy, report.certified_interval)))
    sizes = ((WIDE, 380.0), (NARROW, 300.0))
    wide, narrow = (curve_drawing(nearest.distance, norm, eps, marks, *size) for size in sizes)
    places = sorted({*ticks(axis_limit(nearest.distance, eps), 10), *([eps] if eps is not None else [])})
    source = f"{nearest.source} {GRADIENTS}" if report.indicators else nearest.source
    return CurveSection(Drawing(wide, narrow), source, points_at(nearest.distance, places))


def _progress(report: Report) -> list[Progress]:
    """Each attack with the share of inputs that have withstood all attacks so far."""
    count, found = len(report.robust), []
    left = count if report.clean is None else int(report.clean.sum())
    for row in report.attacks:
        left = max(0, left - len(row.fooled))
        found.append(Progress(row, left / count, wilson(left / count, count)))
    return found


def _title(settings: dict[str, Any]) -> str:
    model = settings.get("model", {})
    return str(model.get("name") or model.get("class") or "a model")


def _ball(settings: dict[str, Any]) -> str:
    """The norm, eps and preset in a few words."""
    if "norm" not in settings:
        return ""
    norm = NORM_NAMES.get(settings["norm"], settings["norm"])
    preset = f", preset {settings['preset']}" if "preset" in settings else ""
    return f"{norm}, eps {eps_text(settings['eps'])}{and_levels(settings)}{preset}"


def _date(text: str | None) -> str:
    """A day such as "27 November 2026"."""
    if not text:
        return ""
    day = datetime.fromisoformat(text)
    return f"{day.day} {day:%B %Y}"


def _percent(share: float) -> str:
    return _unbroken(percent(share))


def _ends(interval: Interval) -> str:
    """An interval as percentages."""
    return _unbroken(f"{percent(interval[0])} to {percent(interval[1])}")


def _factor(value: float) -> str:
    """A factor with two digits, or whole.

    >>> _factor(4.86), _factor(1027.4)
    ('4.9', '1,027')
    """
    return f"{value:.2g}" if value < 10 else f"{value:,.0f}"


def _unbroken(text: str) -> str:
    """The text without line breaks between numbers and their per cent signs.

    >>> _unbroken("50.0 % of 4 inputs")
    '50.0\\xa0% of 4 inputs'
    """
    return text.replace(" %", "\xa0%")
