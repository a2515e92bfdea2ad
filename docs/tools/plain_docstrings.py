"""Docstrings as reStructuredText: they are plain text with single backticks for code, which reST reads otherwise."""

from __future__ import annotations

import re
from typing import Any

CODE = re.compile(r"(`+[^`]+`+)")
SPECIAL = re.compile(r"([|*\\]|(?<=[\w|])_)")


def to_rest(text: str) -> str:
    """One line: code between double backticks, and what reST would take for markup escaped."""
    parts = CODE.split(text)
    return "".join(f"``{part.strip('`')}``" if n % 2 else _escaped(part) for n, part in enumerate(parts))


def _escaped(text: str) -> str:
    return SPECIAL.sub(r"\\\1", text)


def process(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Sphinx's autodoc-process-docstring: rewrite the lines in place, except for doctests."""
    text = "\n".join(lines)
    text = re.sub(r"\*\*([^*\n]+)\*\*", r"\1", text)  # bold words stay words
    doctest, made = False, []
    for line in text.split("\n"):
        doctest = line.lstrip().startswith(">>>") or (doctest and bool(line.strip()))
        made.append(line if doctest else to_rest(line))
    lines[:] = made
