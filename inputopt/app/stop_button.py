"""The Stop button of a tab, which can be pressed only while something runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from inputopt.app.live_search import Run, Session


def stop_button(session: Any, name: str) -> Any:
    """The button, which stops the search of a session.

    Args:
        session: the state that holds the `Session`.
        name: id of the button in the page.
    """
    button = gr.Button("Stop", variant="stop", interactive=False, elem_id=name, min_width=130)
    button.click(Session.stop, session, None, show_progress="hidden", api_visibility="private")
    return button


def stoppable(
    session: Session, button: Any, updates: Callable[[Run], Iterator[dict[Any, Any]]]
) -> Iterator[dict[Any, Any]]:
    """Enable the button, pass on the updates of the page that a run makes, and disable the button at their end.

    A run that a later one of the same session has replaced changes neither the page nor the button any more.
    """
    run = session.begin()
    try:
        yield {button: gr.Button(interactive=True)}
        for update in updates(run):
            if run.replaced:
                return
            yield update
        if not run.replaced:
            yield {button: gr.Button(interactive=False)}
    finally:
        run.ended.set()
