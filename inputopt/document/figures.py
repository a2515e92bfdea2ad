"""The figures that the document prints, as strings: what is compared must be the printed digits.

The post contradicts itself in places. There `printed` is what its own formulas give (and what is compared), and
`contradicted` what it prints instead.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class Figure:
    """One printed number: of which example, what it is, and where the document contradicts itself, how."""

    example: str
    figure: str
    printed: str
    contradicted: str = ""
    note: str = ""

    def agrees(self, derived: float) -> bool:
        """Whether `derived`, rounded to the printed digits, is what is printed.

        >>> Figure("1", "first cost", "0.2380").agrees(0.23797), Figure("1", "first cost", "0.238").agrees(0.2386)
        (True, False)
        """
        return self.as_printed(derived) == self.printed

    def as_printed(self, derived: float) -> str:
        """`derived` with as many decimals as the document prints."""
        decimals = len(self.printed.partition(".")[2])
        return f"{derived:.{decimals}f}"


def figures() -> tuple[Figure, ...]:
    """Every figure that the document prints, in its order."""
    text = (files("inputopt.document") / "figures.json").read_text(encoding="utf-8")
    return tuple(Figure(**row) for row in json.loads(text))
