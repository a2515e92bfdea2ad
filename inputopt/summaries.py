"""Short text and HTML representations of results, for the console and for notebooks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Table:
    """Rows of cells under column heads, all plain text."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Summary:
    """What the representations of an object show.

    Attributes:
        kind: name of its class.
        facts: (name, value) of what is known about it; an empty name for a value that explains itself.
        details: further facts, shown in HTML only.
        tables: tables, shown in HTML only.
        notes: sentences, shown in HTML only.
        images: (PNG data URI, caption), shown in HTML only.
    """

    kind: str
    facts: Sequence[tuple[str, str]]
    details: Sequence[tuple[str, str]] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()
    images: Sequence[tuple[str, str]] = ()

    def text(self) -> str:
        """One line: the class and the facts."""
        return f"<{self.kind}: " + ", ".join(f"{name} {value}".strip() for name, value in self.facts) + ">"

    def html(self) -> str:
        """A block of HTML in which all text is escaped."""
        parts = [f"<b>{escape(self.kind)}</b>"]
        parts.append("<div>" + "".join(_figure(source, caption) for source, caption in self.images) + "</div>")
        parts.append(_table([], [[name, value] for name, value in (*self.facts, *self.details)]))
        parts += [_table(table.heads, table.rows) for table in self.tables]
        parts += [f"<p>{escape(note)}</p>" for note in self.notes]
        return f'<div style="overflow-x: auto">{"".join(parts)}</div>'


class Summarised(ABC):
    """Base of classes whose `repr` and HTML representation are made from a `Summary`."""

    @abstractmethod
    def _summary(self, images: bool) -> Summary:
        """The summary; `images`: whether its images are needed."""

    def __repr__(self) -> str:
        return self._summary(images=False).text()

    def _repr_html_(self) -> str:
        return self._summary(images=True).html()


def settings_text(settings: Mapping[str, object], most: int = 60) -> str:
    """Settings as "name=value, ...", each value cut at `most` characters; those that are None are left out.

    >>> settings_text({"steps": 40, "norm": "linf", "mask": None})
    'steps=40, norm=linf'
    """
    values = ((name, str(value)) for name, value in settings.items() if value is not None)
    return ", ".join(f"{name}={text if len(text) <= most else text[: most - 3] + '...'}" for name, text in values)


def shape_text(shape: Sequence[int]) -> str:
    """A shape as text.

    >>> shape_text((3, 28, 28))
    '3 x 28 x 28'
    """
    return " x ".join(map(str, shape)) or "a number"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "<tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in heads) + "</tr>" if heads else ""
    style = ' style="text-align: left"'
    body = "".join("<tr>" + "".join(f"<td{style}>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>{head}{body}</table>"


def _figure(source: str, caption: str) -> str:
    image = f'<img src="{escape(source)}" alt="{escape(caption)}">'
    style = "display: inline-block; margin: 4px; vertical-align: top; max-width: 240px"
    return f'<figure style="{style}">{image}<figcaption>{escape(caption)}</figcaption></figure>'
