"""Parts of drawings: elements with escaped values, and round numbers for axes."""

from __future__ import annotations

import math

from markupsafe import Markup, escape


def element(name: str, content: str | Markup = "", **attributes: object) -> Markup:
    """An SVG or HTML element; underscores of attribute names become hyphens, `class_` becomes class.

    >>> element("text", "a < b", x=1.5, class_="axis", text_anchor="end")
    Markup('<text x="1.5" class="axis" text-anchor="end">a &lt; b</text>')
    """
    pairs = ((key.rstrip("_").replace("_", "-"), _short(value)) for key, value in attributes.items())
    inside = "".join(f' {key}="{escape(value)}"' for key, value in pairs)
    return Markup(f"<{name}{inside}>{escape(content)}</{name}>")


def joined(*parts: Markup) -> Markup:
    """Elements one after the other."""
    return Markup("").join(parts)


def _short(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def ticks(limit: float, most: int = 6) -> list[float]:
    """Round numbers from 0 to `limit`, at most `most` of them after 0.

    >>> ticks(0.42)
    [0.0, 0.1, 0.2, 0.3, 0.4]
    """
    if not limit > 0:
        return [0.0]
    power = 10.0 ** math.floor(math.log10(limit / most))
    step = next(power * each for each in (1, 2, 5, 10) if power * each * most >= limit * (1 - 1e-9))
    return [float(f"{index * step:.12g}") for index in range(int(limit / step * (1 + 1e-9)) + 1)]
