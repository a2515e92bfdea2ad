"""The Fool tab: an image, drawn or uploaded, is changed live until a network misclassifies it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr
import torch
from PIL import Image
from torch import Tensor

from inputopt.app.drawing_pad import drawing_pad
from inputopt.app.fooling import (
    DIGITS,
    DISTANCES,
    MODES,
    MOST_STEPS,
    PHOTOS,
    Fooled,
    FoolSettings,
    classes,
    code,
    load_frozen,
    prepared,
    saved,
    search,
)
from inputopt.app.image_views import View, difference, download, png_bytes, show_images, show_probabilities
from inputopt.app.live_search import Ended, Session
from inputopt.app.loaded import Loaded, example_photo
from inputopt.app.messages import failed, progress, said
from inputopt.app.uploads import read_drawing, read_upload
from inputopt.nets.class_probabilities import probabilities
from inputopt.nets.frozen import Frozen
from inputopt.pictures.picture import to_image
from inputopt.search.norms import NormName
from inputopt.search.result import Result

ANY = "any other class"
INTRO = (
    "The weights are fixed, and the image is changed along dCost/dInput until the network predicts another class. The "
    "image that you download is rounded to 8 bits, read back and tested."
)
EMPTY = "Draw a digit or upload an image, and press Start."


@dataclass(frozen=True)
class Shown:
    """What the views of one search have in common: the network's class names, and the image it began with."""

    names: tuple[str, ...]
    x0: Tensor
    before: Tensor

    def views(self, x: Tensor, now: Tensor, what: str) -> str:
        """The images and probabilities at an image x [1, C, H, W] with class probabilities `now` [n]."""
        change, factor = difference(x[0], self.x0[0], (0.0, 1.0))
        images = [
            View(to_image(self.x0[0]), f"Start: {self.top(self.before)}"),
            View(to_image(x[0]), f"{what}: {self.top(now)}"),
            View(change, f"Difference, magnified {factor:.3g} times" if factor != 1 else "Difference: none yet"),
        ]
        return show_images(images) + show_probabilities(self.names, self.before, now)

    def top(self, probabilities: Tensor) -> str:
        """The class with the highest probability."""
        return f"{self.names[int(probabilities.argmax())]} ({100 * float(probabilities.max()):.1f} %)"


def add_fool_tab() -> None:
    """Add the tab's components and events to the surrounding Blocks."""
    FoolTab()


class FoolTab:
    """The components of the tab, and what happens when they are used. All that changes is in Gradio's states."""

    def __init__(self) -> None:
        image, status, views = _first_view()
        self.loaded = gr.State(Loaded())
        self.session = gr.State(Session(image), delete_callback=Session.stop)
        gr.Markdown(INTRO)
        with gr.Row():
            with gr.Column(scale=1, min_width=300):
                self.network = gr.Dropdown([*DIGITS, *PHOTOS], value=DIGITS[1], label="Network to fool")
                self.pad = drawing_pad()
                with gr.Row():
                    self.example = gr.Button("Another digit", elem_id="fool-example", min_width=130)
                    upload = gr.UploadButton(
                        "Upload an image", file_types=["image"], elem_id="fool-upload", min_width=130
                    )
                self.mode = gr.Radio([(text, mode) for mode, text in MODES.items()], value="within", label="Search")
                with gr.Row():
                    self.norm = gr.Dropdown(["linf", "l2", "l1", "l0"], value="linf", label="Norm", min_width=110)
                    self.target = gr.Dropdown([ANY, *classes(DIGITS[0])], value=ANY, label="Target", min_width=110)
                self.eps = gr.Slider(0, 0.5, value=0.15, step=0.001, label="Distance", elem_id="fool-eps")
                with gr.Row():
                    start = gr.Button("Start", variant="primary", elem_id="fool-start", min_width=130)
                    stop = gr.Button("Stop", variant="stop", elem_id="fool-stop", min_width=130)
                with gr.Accordion("More settings", open=False):
                    self.steps = gr.Number(
                        100, label="Steps (for the nearest image: passes)", minimum=1, maximum=MOST_STEPS, precision=0
                    )
                    self.seed = gr.Number(0, label="Seed of the search", precision=0)
                    self.keep_going = gr.Checkbox(True, label="Within a distance: go on after the first success")
                    self.slow = gr.Checkbox(False, label="Slow motion: show every step")
            with gr.Column(scale=2, min_width=320):
                self.status = gr.HTML(status, label="What happened", elem_id="fool-status")
                self.views = gr.HTML(views, label="Images and class probabilities", elem_id="fool-views")
                self.downloads = gr.HTML("", label="Downloads", elem_id="fool-downloads")
                self.code = gr.Code(
                    language="python",
                    wrap_lines=True,
                    interactive=False,
                    label="Code that makes it again",
                    visible=False,
                    elem_id="fool-code",
                )
        self._connect(upload, start, stop)

    def _connect(self, upload: Any, start: Any, stop: Any) -> None:
        quick: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        where = [self.session, self.loaded, self.network]
        chosen = [self.status, self.views, self.downloads, self.code]
        components = [*chosen, self.pad, self.example, self.eps, self.target]
        self.network.input(self._network, [*where, self.norm], components, **quick)
        self.norm.input(self._norm, [self.network, self.norm], self.eps, **quick)
        self.example.click(self._example, where, chosen, **quick)
        upload.upload(self._upload, [upload, *where], chosen, **quick)
        self.pad.drawn(self._drawn, where, chosen, **quick)
        settings = [self.mode, self.norm, self.eps, self.target, self.steps, self.seed, self.keep_going, self.slow]
        start.click(self._start, [*where, *settings], chosen, **quick)
        stop.click(Session.stop, self.session, None, **quick)

    def _network(self, session: Session, loaded: Loaded, network: str, norm: NormName) -> dict[Any, Any]:
        """Another network: the image is kept if it can be used, and the distances change."""
        digits = network in DIGITS
        example = gr.Button("Another digit" if digits else "Use the example photo")
        components: dict[Any, Any] = {self.pad: gr.HTML(visible=digits), self.example: example}
        components[self.eps] = self._norm(network, norm)
        try:
            names = [ANY, *(f"{place} {name}" if not digits else name for place, name in enumerate(classes(network)))]
            components[self.target] = gr.Dropdown(names, value=ANY)
            image = session.image
            if image is None or (image.mode == "L") != digits:
                image = _example_of(loaded, network)
            found = self._chosen(image, session, loaded, network)
        except Exception as error:
            return components | {self.status: failed(error)}
        return components | found

    def _norm(self, network: str, norm: NormName) -> Any:
        most, usual = next(distances for group, distances in DISTANCES.items() if network in group)[norm]
        return gr.Slider(maximum=most, value=usual, step=1 if norm == "l0" else most / 500)

    def _chosen(self, image: Image.Image, session: Session, loaded: Loaded, network: str) -> dict[Any, Any]:
        """Show an image and what the network makes of it; a search that is started meanwhile begins with it."""
        session.image = image
        text, views = _views_of(loaded.network(network, load_frozen), network, image)
        return {self.status: text, self.views: views} | self._nothing()

    def _nothing(self) -> dict[Any, Any]:
        """No downloads and no code, because there is no result yet."""
        return {self.downloads: "", self.code: gr.Code(visible=False)}

    def _example(self, session: Session, loaded: Loaded, network: str) -> dict[Any, Any]:
        try:
            return self._chosen(_example_of(loaded, network), session, loaded, network)
        except Exception as error:
            return {self.status: failed(error)}

    def _upload(self, path: str, session: Session, loaded: Loaded, network: str) -> dict[Any, Any]:
        try:
            return self._chosen(read_upload(path), session, loaded, network)
        except Exception as error:
            return {self.status: failed(error)}

    def _drawn(self, session: Session, loaded: Loaded, network: str, event: gr.EventData) -> dict[Any, Any]:
        try:
            image = read_drawing(str(event._data.get("picture")))
            if image is not None:
                return self._chosen(image, session, loaded, network)
            session.image = None
            return self._nothing()
        except Exception as error:
            return {self.status: failed(error)}

    def _start(self, session: Session, loaded: Loaded, network: str, *chosen: Any) -> Iterator[dict[Any, Any]]:
        """Run the search and show it live."""
        try:
            settings, slow = _settings(network, *chosen)
            net, names = loaded.network(network, load_frozen), classes(network)
            session.image = session.image or _example_of(loaded, network)
            x = prepared(network, session.image)
            shown = _shown(net, names, x)
            live = LiveView(shown, settings, net)
            yield self._nothing()
            for item in session.live(partial(search, net, settings, x), live, slow=slow):
                if isinstance(item, Ended):
                    yield self._ended(net, settings, live.shown, item)
                else:
                    text = f"Step {item.steps:,}; {item.fps:.0f} frames a second."
                    yield {self.status: progress(text), self.views: item.shown}
        except Exception as error:
            yield {self.status: failed(error)}

    def _ended(self, net: Frozen, settings: FoolSettings, shown: Shown, end: Ended) -> dict[Any, Any]:
        """Show the result as it is read back from its file, with the downloads and the code."""
        if end.result is None:
            return {self.status: said("Stopped before the first step.")}
        fooled = saved(net, settings, shown.x0, end.result)
        views = shown.views(fooled.x, probabilities(fooled.logits[None])[0], "Result")
        downloads = download("adversarial.png", fooled.png, "Download the result (PNG)")
        if settings.mode != "static":
            downloads += download("input.png", png_bytes(to_image(shown.x0[0])), "Download the input (PNG)")
        text = _text(settings, shown, fooled, end)
        made = code(settings, fooled, int(end.result.label[0]))
        shown_code = gr.Code(value=made, visible=not end.stopped)  # a stopped search cannot be made again
        return {self.status: said(text), self.views: views, self.downloads: downloads, self.code: shown_code}


class LiveView:
    """Makes the views of a step; from static, the first step's image is the start."""

    def __init__(self, shown: Shown, settings: FoolSettings, net: Frozen) -> None:
        self.shown, self._net, self._static = shown, net, settings.mode == "static"

    def __call__(self, step: Any) -> str:
        if self._static:
            self.shown, self._static = _shown(self._net, self.shown.names, step.x[:1].clone()), False
        return self.shown.views(step.x[:1], probabilities(step.outputs[:1])[0], "Now")


@torch.no_grad()
def _shown(net: Frozen, names: tuple[str, ...], x: Tensor) -> Shown:
    return Shown(names, x, probabilities(net(x))[0])


def _views_of(net: Frozen, network: str, image: Image.Image) -> tuple[str, str]:
    """What the network makes of an image: a sentence, and the image with the class probabilities."""
    names, x = classes(network), prepared(network, image)
    shown = _shown(net, names, x)
    views = show_images([View(to_image(x[0]), f"Input: {shown.top(shown.before)}")])
    text = f"The network predicts {shown.top(shown.before)}. Draw, upload or take another image, or press Start."
    return said(text), views + show_probabilities(names, shown.before, shown.before)


def _first_view() -> tuple[Image.Image | None, str, str]:
    """The first digit that a visitor sees, as (image, sentence, views); nothing where the digits are not installed."""
    loaded = Loaded()
    try:
        image = loaded.next_digit()
    except ModuleNotFoundError:
        return None, said(EMPTY), ""
    return (image, *_views_of(loaded.network(DIGITS[1], load_frozen), DIGITS[1], image))


def _settings(
    network: str,
    mode: str,
    norm: NormName,
    eps: float,
    target: str,
    steps: float | None,
    seed: float | None,
    keep_going: bool,
    slow: bool,
) -> tuple[FoolSettings, bool]:
    """The settings from the components, and whether to show every step."""
    if steps is None or seed is None:
        raise ValueError("A number is missing; fill in the steps and the seed.")
    wanted = None if target == ANY else int(target.split(" ")[0])
    return FoolSettings(network, mode, norm, float(eps), wanted, int(steps), int(seed), keep_going), slow


def _example_of(loaded: Loaded, network: str) -> Image.Image:
    return loaded.next_digit() if network in DIGITS else example_photo()


def _text(settings: FoolSettings, shown: Shown, fooled: Fooled, end: Ended) -> str:
    """What the search found, in words."""
    result: Result = end.result
    norm = settings.norm if settings.mode in ("within", "nearest") else "l2"
    distance = (
        f"{norm} distance {float(result.distance[0]):.3f}, {end.steps:,} evaluations, {end.fps:.0f} frames a second."
    )
    now, before = shown.top(probabilities(fooled.logits[None])[0]), shown.top(shown.before)
    if fooled.fools:
        check = "The PNG was read back and still fools the network."
        return f"{'Stopped. ' if end.stopped else ''}Fooled: {before} became {now}; {distance} {check}"
    if bool(result.success[0]):
        return f"Fooled, but rounding to 8 bits undid it, so the PNG does not fool the network; {distance}"
    what = "Stopped before it was fooled" if end.stopped else "Not fooled: allow a larger distance or more steps"
    return f"{what}; the network predicts {now}; {distance}"
