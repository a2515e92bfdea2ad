"""The code that makes a result again, as it is shown in the page."""

from __future__ import annotations

from typing import Any

import gradio as gr


def code_view(name: str) -> Any:
    """An empty, hidden view of Python code; without line numbers, which wrapped lines would not match.

    Args:
        name: its id in the page.
    """
    return gr.Code(
        language="python",
        lines=1,
        wrap_lines=True,
        show_line_numbers=False,
        interactive=False,
        label="Code that makes it again",
        visible=False,
        elem_id=name,
    )
