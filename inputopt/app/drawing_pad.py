"""A canvas to draw a digit on, with mouse, finger or keyboard; each stroke sends the drawing to the server."""

from __future__ import annotations

from typing import Any

import gradio as gr

SIDE = 280

HTML = f"""
<div class="io-pad">
  <p id="io-pad-help">Use a digit of your own: draw it with the mouse or a finger. By keyboard: arrow keys move, Space
  lifts or lowers the pen.</p>
  <div class="io-sheet">
    <canvas width="{SIDE}" height="{SIDE}" tabindex="0" role="img" aria-label="Canvas to draw a digit on"
            aria-describedby="io-pad-help"></canvas>
    <span class="io-hint" aria-hidden="true">Draw a digit here</span>
  </div>
  <button type="button">Clear the canvas</button>
</div>
"""

WIPE = "() => { document.querySelector('#fool-pad canvas')?.dispatchEvent(new Event('wipe')); }"
"""Clears the canvas, as a function for the page: another image than the drawing was chosen."""

SCRIPT = """
const canvas = element.querySelector('canvas'), pen = canvas.getContext('2d'), side = canvas.width;
const hint = element.querySelector('.io-hint');
let down = false, x = side / 2, y = side / 2, inked = false;
function clear() {
  pen.fillStyle = '#000';
  pen.fillRect(0, 0, side, side);
  inked = hint.hidden = false;
}
function line(toX, toY) {
  pen.strokeStyle = '#fff';
  pen.lineWidth = side / 13;
  pen.lineCap = pen.lineJoin = 'round';
  pen.beginPath();
  pen.moveTo(x, y);
  pen.lineTo(toX, toY);
  pen.stroke();
  x = toX;
  y = toY;
  inked = hint.hidden = true;
}
function at(event) {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width * side, (event.clientY - box.top) / box.height * side];
}
function send() {
  if (inked) trigger('drawn', {picture: canvas.toDataURL('image/png')});
}
canvas.addEventListener('pointerdown', event => {
  canvas.setPointerCapture(event.pointerId);
  [x, y] = at(event);
  down = true;
  line(x, y);
});
canvas.addEventListener('pointermove', event => { if (down && event.buttons) line(...at(event)); });
for (const end of ['pointerup', 'pointercancel'])
  canvas.addEventListener(end, () => { if (down) { down = false; send(); } });
const moves = {ArrowUp: [0, -8], ArrowDown: [0, 8], ArrowLeft: [-8, 0], ArrowRight: [8, 0]};
canvas.addEventListener('keydown', event => {
  if (event.key === ' ') {
    event.preventDefault();
    down = !down;
    if (down) line(x, y); else send();
  } else if (event.key in moves) {
    event.preventDefault();
    const [toX, toY] = [x + moves[event.key][0], y + moves[event.key][1]].map(v => Math.min(Math.max(v, 8), side - 8));
    if (down) line(toX, toY); else [x, y] = [toX, toY];
  }
});
element.querySelector('button').addEventListener('click', clear);
canvas.addEventListener('wipe', clear);
clear();
"""


def drawing_pad() -> Any:
    """The canvas as a component, whose event `drawn` carries the drawing as `picture`, a PNG as a data address."""
    return gr.HTML(html_template=HTML, js_on_load=SCRIPT, label="Draw a digit", elem_id="fool-pad")
