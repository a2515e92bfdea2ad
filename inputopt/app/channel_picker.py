"""Buttons with pictures of channels: a channel is chosen by what it looks for."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import gradio as gr
from PIL import Image

from inputopt.app.image_views import PIXELS, data_address

WHOLE = -1
"""Stands for the whole layer in the event."""

SCRIPT = """
element.addEventListener('click', event => {
  const button = event.target.closest('button[data-channel]');
  if (button) trigger('chosen', {channel: Number(button.dataset.channel)});
});
"""


def channel_picker(value: str) -> Any:
    """The buttons as a component, whose event `chosen` carries the `channel`."""
    return gr.HTML(value, js_on_load=SCRIPT, label="What to amplify", elem_id="dream-channels")


def channel_buttons(layer: str, chosen: int | None, pictures: Mapping[int, Image.Image]) -> str:
    """A button for the whole layer and one for each channel with a picture; the chosen one is marked.

    Args:
        layer: name of the layer.
        chosen: the chosen channel; None for the whole layer.
        pictures: pictures by channel.
    """
    buttons = [_button(WHOLE, chosen is None, f"whole layer {layer}", "")]
    for channel, image in pictures.items():
        kind = ' class="io-pixels"' if max(image.size) <= PIXELS else ""
        picture = f'<img{kind} src="{data_address(image)}" alt="Picture of what the channel responds to"/>'
        buttons.append(_button(channel, channel == chosen, f"channel {channel}", picture))
    return f'<div class="io-channels" role="group" aria-label="What to amplify">{"".join(buttons)}</div>'


def _button(channel: int, pressed: bool, text: str, picture: str) -> str:
    state = "true" if pressed else "false"
    return (
        f'<button type="button" data-channel="{channel}" aria-pressed="{state}">{picture}'
        f"<span>{escape(text)}</span></button>"
    )
