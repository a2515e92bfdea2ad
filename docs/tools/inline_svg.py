"""The directive `chart`: an SVG of docs/made inline, so that it takes the page's colours, with a caption."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective


class Chart(SphinxDirective):
    """`chart NAME` with the option `alt`, what a screen reader says, and the caption as its content."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar = {"alt": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """A container with the SVG and the caption."""
        path = Path(self.env.srcdir) / "made" / f"{self.arguments[0]}.svg"
        self.env.note_dependency(str(path))
        label = escape(self.options["alt"], quote=True)
        svg = path.read_text(encoding="utf-8")
        html = f'<div class="chart-picture" role="img" aria-label="{label}" tabindex="0">{svg}</div>'
        container = nodes.container(classes=["chart"])
        container += nodes.raw("", html, format="html")
        self.state.nested_parse(self.content, self.content_offset, container)
        return [container]
