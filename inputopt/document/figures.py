"""The figures that the document prints, as strings, because the printed digits are compared.

The post contradicts itself in places. There `printed` is the value that its own formulas give, which is compared, and
`contradicted` is the value that it prints instead.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class Figure:
    """One printed number: its example, name and digits, and the contradicting value with a note if there is one."""

    example: str
    figure: str
    printed: str
    contradicted: str = ""
    note: str = ""

    def agrees(self, derived: float) -> bool:
        """Whether `derived`, rounded to the printed digits, equals the printed number.

        >>> Figure("1", "first cost", "0.2380").agrees(0.23797), Figure("1", "first cost", "0.238").agrees(0.2386)
        (True, False)
        """
        return self.as_printed(derived) == self.printed

    def as_printed(self, derived: float) -> str:
        """`derived` rounded to as many decimals as the document prints."""
        decimals = len(self.printed.partition(".")[2])
        return f"{derived:.{decimals}f}"


def figures() -> tuple[Figure, ...]:
    """All figures that the document prints, in its order."""
    text = (files("inputopt.document") / "figures.json").read_text(encoding="utf-8")
    return tuple(Figure(**row) for row in json.loads(text))
