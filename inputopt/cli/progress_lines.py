"""Progress for a file or a pipe: a line each minute instead of a bar."""

from __future__ import annotations

import sys
import time
from typing import Any

LINE_SECONDS = 60.0
"""Seconds between lines; what takes less prints none."""


class ProgressLines:
    """A line on stderr each minute, with the interface of tqdm that the verbs use.

    Attributes:
        n: units done.
        total: units in all; None if it is not known.
    """

    def __init__(self, total: float | None = None, desc: str = "", unit: str = "step", **_: Any) -> None:
        self.n, self.total, self.unit, self.title = 0.0, total, unit, desc
        self.note = ""
        self.started = self.shown = time.monotonic()

    def __enter__(self) -> ProgressLines:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left to do."""

    def update(self, n: float = 1) -> None:
        """Add `n` units, and print a line if the last one is a minute old."""
        self.n += n
        now = time.monotonic()
        if now - self.shown >= LINE_SECONDS:
            self.shown = now
            print(self.line(now - self.started), file=sys.stderr, flush=True)

    def line(self, seconds: float) -> str:
        """The line after so many seconds.

        >>> bar = ProgressLines(total=40, desc="dream")
        >>> bar.update(10)
        >>> bar.line(90)
        'dream: 10 of 40 steps, 1 min 30 s so far, about 4 min 30 s left'
        """
        whole = "" if self.total is None else f" of {self.total:,.0f}"
        left = ""
        if self.total is not None and 0 < self.n <= self.total:
            left = f", about {_spoken(seconds * (self.total - self.n) / self.n)} left"
        note = f", {self.note}" if self.note else ""
        return f"{self.title}: {self.n:,.0f}{whole} {self.unit}s, {_spoken(seconds)} so far{left}{note}"

    def reset(self, total: float | None = None) -> None:
        """Begin again, with another total if one is given."""
        self.n, self.started = 0.0, time.monotonic()
        self.total = self.total if total is None else total

    def refresh(self) -> None:
        """Lines are printed by `update` alone."""

    def set_description(self, desc: str, refresh: bool = True) -> None:
        """Set what is being done."""
        self.title = desc

    def set_postfix_str(self, text: str, refresh: bool = True) -> None:
        """Set what is added to the line."""
        self.note = text


def _spoken(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
