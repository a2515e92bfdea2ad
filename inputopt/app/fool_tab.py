"""The Fool tab: an image, drawn or uploaded, is changed live until a network misclassifies it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import gradio as gr

from inputopt.app.chosen_image import Chosen, example
from inputopt.app.code_view import code_view
from inputopt.app.drawing_pad import WIPE, drawing_pad
from inputopt.app.fool_views import LiveView, Shown, result_text, result_views, shown_input, views_of
from inputopt.app.fooling import (
    DIGITS,
    DISTANCES,
    MODES,
    MOST_STEPS,
    NORMS,
    PHOTOS,
    FoolSettings,
    classes,
    code,
    load_frozen,
    saved,
    search,
)
from inputopt.app.image_views import download, png_bytes
from inputopt.app.live_search import Ended, Run, Session
from inputopt.app.loaded import Loaded
from inputopt.app.messages import failed, progress, said
from inputopt.app.stop_button import stop_button, stoppable
from inputopt.app.uploads import read_drawing, read_upload
from inputopt.nets.frozen import Frozen
from inputopt.pictures.picture import to_image
from inputopt.search.norms import NormName

ANY = "any other class"
INTRO = (
    "The weights are fixed, and the image is changed along dCost/dInput until the network predicts another class. The "
    "image that you download is rounded to 8 bits, read back and tested."
)
EMPTY = "Draw a digit or upload an image, and press Start."


def add_fool_tab() -> None:
    """Add the tab's components and events to the surrounding Blocks."""
    FoolTab()


class FoolTab:
    """The components of the tab, and what happens when they are used. All that changes is in Gradio's states."""

    def __init__(self) -> None:
        chosen, status, views = _first_view()
        self.loaded = gr.State(Loaded())
        self.session = gr.State(Session(chosen), delete_callback=Session.stop)
        gr.Markdown(INTRO)
        with gr.Row():
            with gr.Column(scale=1, min_width=300):
                self.network = gr.Dropdown([*DIGITS, *PHOTOS], value=DIGITS[1], label="Network to fool")
                self.pad = drawing_pad()
                with gr.Row(equal_height=True):
                    self.example = gr.Button("Another digit", elem_id="fool-example", min_width=130)
                    upload = gr.UploadButton(
                        "Upload an image", file_types=["image"], elem_id="fool-upload", min_width=130
                    )
                self._add_settings()
                with gr.Row():
                    start = gr.Button("Start", variant="primary", elem_id="fool-start", min_width=130)
                    self.stop = stop_button(self.session, "fool-stop")
                self._add_more_settings()
            with gr.Column(scale=2, min_width=320):
                self.status = gr.HTML(status, label="What happened", elem_id="fool-status")
                self.views = gr.HTML(views, label="Images and class probabilities", elem_id="fool-views")
                self.downloads = gr.HTML("", label="Downloads", elem_id="fool-downloads")
                self.code = code_view("fool-code")
        self._connect(upload, start)

    def _add_settings(self) -> None:
        self.mode = gr.Radio([(text, mode) for mode, text in MODES.items()], value="within", label="Search")
        self.norm = gr.Dropdown([(text, norm) for norm, text in NORMS.items()], value="linf", label="Norm")
        self.eps = gr.Slider(0, 0.5, value=0.15, step=0.001, label="Largest distance (eps)", elem_id="fool-eps")
        self.target = gr.Dropdown([ANY, *classes(DIGITS[0])], value=ANY, label="Target")

    def _add_more_settings(self) -> None:
        with gr.Accordion("More settings", open=False):
            self.steps = gr.Number(100, label="Steps", minimum=1, maximum=MOST_STEPS, precision=0)
            self.seed = gr.Number(0, label="Seed of the search", precision=0)
            self.keep_going = gr.Checkbox(True, label="Go on after the first success, to the last step")
            self.slow = gr.Checkbox(False, label="Slow motion: show every step")

    def _connect(self, upload: Any, start: Any) -> None:
        quick: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        where = [self.session, self.loaded, self.network]
        chosen = [self.status, self.views, self.downloads, self.code, self.stop]
        components = [*chosen, self.pad, self.example, self.eps, self.target]
        # change, not input: Gradio sends input twice for one click, and the second answer would undo later entries
        self.network.change(self._network, [*where, self.norm], components, **quick)
        self.norm.change(self._norm, [self.network, self.norm], self.eps, **quick)
        applicable = [self.norm, self.eps, self.target, self.steps, self.keep_going]
        self.mode.input(self._mode, self.mode, applicable, **quick)
        self.example.click(self._example, where, chosen, **quick)
        upload.upload(self._upload, [upload, *where], chosen, **quick)
        for taken in (self.example.click, upload.upload):
            taken(None, js=WIPE, **quick)
        self.pad.drawn(self._drawn, where, chosen, **quick)
        settings = [self.mode, self.norm, self.eps, self.target, self.steps, self.seed, self.keep_going, self.slow]
        start.click(self._start, [*where, *settings], chosen, **quick)

    def _network(self, session: Session, loaded: Loaded, network: str, norm: NormName) -> dict[Any, Any]:
        """Another network: the image is kept if it can be used, and the distances change."""
        digits = network in DIGITS
        button = gr.Button("Another digit" if digits else "Example photo")
        components: dict[Any, Any] = {self.pad: gr.HTML(visible=digits), self.example: button}
        components[self.eps] = self._norm(network, norm)
        try:
            names = [ANY, *(f"{place} {name}" if not digits else name for place, name in enumerate(classes(network)))]
            components[self.target] = gr.Dropdown(names, value=ANY)
            chosen = session.chosen
            if chosen is None or (chosen.image.mode == "L") != digits:
                chosen = example(loaded, network)
            found = self._chosen(chosen.image, chosen.source, session, loaded, network)
        except Exception as error:
            return components | {self.status: failed(error)}
        return components | found

    def _norm(self, network: str, norm: NormName) -> Any:
        most, usual = next(distances for group, distances in DISTANCES.items() if network in group)[norm]
        return gr.Slider(maximum=most, value=usual, step=1 if norm == "l0" else most / 500)

    def _mode(self, mode: str) -> dict[Any, Any]:
        """Another search: show the settings that it has."""
        within, nearest = mode == "within", mode == "nearest"
        return {
            self.norm: gr.Dropdown(visible=within or nearest),
            self.eps: gr.Slider(visible=within),
            self.target: gr.Dropdown(visible=mode != "ascend"),
            self.steps: gr.Number(label="Forward and backward passes" if nearest else "Steps"),
            self.keep_going: gr.Checkbox(visible=within),
        }

    def _chosen(self, image: Any, source: str, session: Session, loaded: Loaded, network: str) -> dict[Any, Any]:
        """Show an image and what the network makes of it.

        A search that is started meanwhile begins with it, and one that is running ends.
        """
        session.chosen = chosen = Chosen(image, source)
        run = session.clear()
        text, views = views_of(loaded.network(network, load_frozen), network, chosen)
        if run.replaced:  # a search has been started meanwhile, and shows this image
            return {self.status: gr.skip()}
        return {self.status: text, self.views: views, self.stop: gr.Button(interactive=False)} | self._nothing()

    def _nothing(self) -> dict[Any, Any]:
        """No downloads and no code, because there is no result yet."""
        return {self.downloads: "", self.code: gr.Code(visible=False)}

    def _example(self, session: Session, loaded: Loaded, network: str) -> dict[Any, Any]:
        try:
            chosen = example(loaded, network)
            return self._chosen(chosen.image, chosen.source, session, loaded, network)
        except Exception as error:
            return {self.status: failed(error)}

    def _upload(self, path: str, session: Session, loaded: Loaded, network: str) -> dict[Any, Any]:
        try:
            return self._chosen(read_upload(path), "your image", session, loaded, network)
        except Exception as error:
            return {self.status: failed(error)}

    def _drawn(self, session: Session, loaded: Loaded, network: str, event: gr.EventData) -> dict[Any, Any]:
        try:
            image = read_drawing(str(event._data.get("picture")))
            if image is not None:
                return self._chosen(image, "your drawing", session, loaded, network)
            session.chosen = None
            return self._nothing()
        except Exception as error:
            return {self.status: failed(error)}

    def _start(self, session: Session, loaded: Loaded, network: str, *settings: Any) -> Iterator[dict[Any, Any]]:
        yield from stoppable(session, self.stop, lambda run: self._search(run, loaded, network, *settings))

    def _search(self, run: Run, loaded: Loaded, network: str, *chosen: Any) -> Iterator[dict[Any, Any]]:
        """Run the search and show it live."""
        try:
            settings, slow = _settings(network, *chosen)
            net, session = loaded.network(network, load_frozen), run.session
            session.chosen = start = session.chosen or example(loaded, network)
            shown = shown_input(net, network, start)
            live = LiveView(shown, settings, net)
            yield self._nothing()
            for item in run.live(partial(search, net, settings, shown.x0), live, slow=slow):
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
        downloads = download("adversarial.png", fooled.png, "Download the result (PNG)")
        if settings.mode != "static":
            downloads += download("input.png", png_bytes(to_image(shown.x0[0])), "Download the input (PNG)")
        made = code(settings, fooled, int(end.result.label[0]))
        return {
            self.status: said(result_text(settings, shown, fooled, end)),
            self.views: result_views(shown, fooled),
            self.downloads: downloads,
            self.code: gr.Code(value=made, visible=not end.stopped),  # a stopped search cannot be made again
        }


def _first_view() -> tuple[Chosen | None, str, str]:
    """The first digit that a visitor sees, as (image, sentence, views); nothing where the digits are not installed."""
    loaded = Loaded()
    try:
        chosen = example(loaded, DIGITS[1])
    except ModuleNotFoundError:
        return None, said(EMPTY), ""
    return (chosen, *views_of(loaded.network(DIGITS[1], load_frozen), DIGITS[1], chosen))


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
