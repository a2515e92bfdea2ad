"""The page's theme and style sheet: system fonts only, and colours that work in light and in dark mode."""

from __future__ import annotations

from typing import Any

import gradio as gr

SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "Liberation Mono", "monospace")


def theme() -> Any:
    """Gradio's default theme with fonts that are installed already, so that no page fetches any."""
    chosen = {  # a chosen radio button, and an empty one, must be seen in both modes
        "checkbox_label_background_fill_selected": "*primary_100",
        "checkbox_label_background_fill_selected_dark": "*primary_900",
        "checkbox_label_border_color_selected": "*primary_600",
        "checkbox_label_border_color_selected_dark": "*primary_300",
        "checkbox_label_text_color_selected": "*primary_950",
        "checkbox_label_text_color_selected_dark": "white",
        "checkbox_border_color": "*neutral_500",
        "checkbox_border_color_dark": "*neutral_400",
        "checkbox_background_color_dark": "*neutral_900",
    }
    legible = {"body_text_color_subdued": "*neutral_500", "block_info_text_color": "*neutral_500"}
    base = gr.themes.Default(primary_hue="blue", font=list(SANS), font_mono=list(MONO))
    return base.set(**chosen, **legible, button_large_text_size="*text_md")


CSS = """
:root { --io-blue: #1d4ed8; --io-orange: #b45309; --io-green: #047857; --io-pink: #be185d; --io-violet: #6d28d9; }
.dark { --io-blue: #93c5fd; --io-orange: #fdba74; --io-green: #6ee7b7; --io-pink: #f9a8d4; --io-violet: #c4b5fd; }
.gradio-container, .gradio-container > .main { max-width: 1280px !important; margin: 0 auto !important; }
.io-message { margin: 4px 0; font-size: 15px; }
.io-error { border-left: 4px solid #dc2626; padding: 6px 10px; background: var(--block-background-fill); }
.io-scroll { overflow-x: auto; contain: inline-size; }
.io-scroll:focus-visible, .io-pad canvas:focus-visible { outline: 3px solid var(--io-blue); outline-offset: 2px; }
#learn-network { container-type: inline-size; }
.io-network { width: 100%; max-height: 620px; display: block; }
.io-network text, .io-chart text { fill: var(--body-text-color); font-size: 11.5px; stroke: none; }
.io-network text { paint-order: stroke; stroke: var(--body-background-fill); stroke-width: 3px; }
.io-network .io-output { font-size: 13px; font-weight: 600; }
.io-network .io-neuron { fill: var(--block-background-fill); stroke: var(--body-text-color); stroke-width: 1.5; }
.io-network .io-label, .io-network .io-backing { fill: var(--body-background-fill); opacity: .88; }
.io-network line.io-positive { stroke: var(--io-blue); } .io-network line.io-negative { stroke: var(--io-orange); }
.io-network line.io-gradient { stroke: var(--io-green); stroke-dasharray: 5 4; }
.io-network text.io-gradient-text { fill: var(--io-green); }
span.io-positive { color: var(--io-blue); } span.io-negative { color: var(--io-orange); }
span.io-gradient { color: var(--io-green); }
.io-legend { font-size: 13px; margin: 6px 0; } .io-legend span { margin-right: 14px; }
.io-charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(280px, 1fr)); gap: 12px; }
.io-chart { margin: 0; } .io-chart svg { width: 100%; display: block; } .io-chart .io-title { font-weight: 600; }
.io-chart text { font-size: 13px; } .io-chart .io-grid { stroke: var(--border-color-primary); }
.io-chart polyline { fill: none; stroke-width: 2.2; }
.io-chart polyline.io-line0 { stroke: var(--io-blue); }
.io-chart polyline.io-line1 { stroke: var(--io-orange); stroke-dasharray: 7 4; }
.io-chart polyline.io-line2 { stroke: var(--io-green); stroke-dasharray: 2 4; }
.io-chart polyline.io-line3 { stroke: var(--io-pink); stroke-dasharray: 8 3 2 3; }
.io-chart polyline.io-line4 { stroke: var(--io-violet); stroke-dasharray: 12 6; }
.io-chart polyline.io-line5 { stroke: var(--body-text-color); stroke-dasharray: 2 3 8 3; }
.io-chart text.io-line0, .io-chart circle.io-line0 { fill: var(--io-blue); }
.io-chart text.io-line1, .io-chart circle.io-line1 { fill: var(--io-orange); }
.io-chart text.io-line2, .io-chart circle.io-line2 { fill: var(--io-green); }
.io-chart text.io-line3, .io-chart circle.io-line3 { fill: var(--io-pink); }
.io-chart text.io-line4, .io-chart circle.io-line4 { fill: var(--io-violet); }
.io-table { border-collapse: collapse; font-size: 13.5px; width: 100%; }
.io-table, .io-table tr { border: none !important; }
.io-table th, .io-table td { padding: 3px 10px !important; border: none !important; text-align: right;
                             border-bottom: 1px solid var(--border-color-primary) !important; }
.io-table th:first-child { text-align: left !important; font-weight: 500; }
.io-table caption { text-align: left; padding: 6px 0; }
.io-table .io-yes { color: var(--io-green); } .io-table .io-no { color: var(--io-orange); }
.io-details summary { cursor: pointer; padding: 6px 0; font-size: 14px; }
.io-images { display: grid; grid-template-columns: repeat(auto-fit, minmax(130px, 1fr)); gap: 14px; }
.io-images.io-photos { grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); }
.io-images figure { margin: 0; } .io-images figcaption { font-size: 14px; padding-top: 4px; }
.io-images img { width: 100%; max-width: 420px; display: block; border: 1px solid var(--border-color-primary); }
.io-images img.io-pixels { image-rendering: pixelated; }
.io-table.io-bars { max-width: 760px; margin: 10px 0; } .io-bars caption { font-weight: 600; }
.io-bars .io-plot { width: 100%; min-width: 90px; } .io-bars th { vertical-align: bottom; white-space: nowrap; }
.io-bars td:not(.io-plot) { white-space: nowrap; font-variant-numeric: tabular-nums; }
.io-bar { display: block; height: 8px; min-width: 1px; background: var(--io-orange); }
.io-bar1 { background: var(--io-blue); }
i.io-bar { flex: none; width: 12px; height: 12px; margin-right: 6px; }
.io-bars thead span { display: inline-flex; align-items: center; }
.io-download { display: inline-block; padding: 8px 16px; margin: 4px 8px 4px 0; border-radius: 6px; font-weight: 600;
               background: var(--button-secondary-background-fill);
               color: var(--button-secondary-text-color) !important;
               border: 1px solid var(--border-color-primary); text-decoration: none; }
.io-pad canvas { border: 1px solid var(--border-color-primary); touch-action: none; width: 100%; max-width: 280px;
                 aspect-ratio: 1; background: #000; display: block; cursor: crosshair; }
.io-pad button { margin-top: 6px; padding: 6px 14px;
                 border: 1px solid var(--border-color-primary); border-radius: 6px; }
.io-channels { display: grid; grid-template-columns: repeat(auto-fill, minmax(84px, 1fr)); gap: 8px; }
.io-channels button { border: 2px solid var(--border-color-primary); border-radius: 6px; padding: 4px; font-size: 13px;
                      min-height: 44px; }
.io-channels button[aria-pressed=true] { border-color: var(--io-blue); box-shadow: 0 0 0 2px var(--io-blue); }
.io-channels button:focus-visible { outline: 3px solid var(--io-blue); outline-offset: 3px; }
.io-channels img { width: 100%; display: block; } .io-channels img.io-pixels { image-rendering: pixelated; }
.io-sheet { position: relative; max-width: 280px; }
.io-hint { position: absolute; inset: 0; display: grid; place-items: center; color: #d4d4d8; font-size: 16px;
           pointer-events: none; }
.io-hint[hidden] { display: none; }
.gradio-container input[type=range]::-webkit-slider-thumb { background: var(--io-blue); box-shadow: 0 0 0 2px #fff; }
.gradio-container input[type=range]::-moz-range-thumb { background: var(--io-blue); border: 2px solid #fff; }
.gradio-container input[type=range]:focus-visible { outline: 3px solid var(--io-blue); outline-offset: 4px; }
.gradio-container input[role=combobox] { text-overflow: ellipsis; padding-right: 26px; }
.io-pad p { font-size: 13px; margin: 4px 0; }
@media (max-width: 600px) { .io-table { font-size: 12.5px; } .io-table th, .io-table td { padding: 3px !important; }
                            .io-bars th { white-space: normal; } .io-chart text { font-size: 16px; } }
"""
