"""The Dream tab: what a layer or a channel finds in a photo is amplified, octave by octave, with a live preview."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import gradio as gr
from PIL import Image

from inputopt.app.channel_picker import WHOLE, channel_buttons, channel_picker
from inputopt.app.chosen_image import Chosen, example
from inputopt.app.code_view import code_view
from inputopt.app.dreaming import (
    FIRST_LAYER,
    PER_PAGE,
    PHOTO_LAYERS,
    DreamSettings,
    channel_pictures,
    code,
    dream_network,
    layers_of,
    page_of,
    prepared_photo,
    preview,
    run_dream,
)
from inputopt.app.fooling import DIGITS, PHOTOS
from inputopt.app.image_views import View, download, png_bytes, show_images
from inputopt.app.live_search import Ended, Run, Session
from inputopt.app.loaded import Loaded, example_photo
from inputopt.app.messages import failed, progress, said
from inputopt.app.stop_button import stop_button, stoppable
from inputopt.app.uploads import read_upload
from inputopt.nets.frozen import Frozen
from inputopt.pictures.dream_settings import ON_PHOTOS, ON_TINY
from inputopt.pictures.picture import to_image

INTRO = (
    "DeepDream: the weights are fixed, and the photo is changed so that the activations of a layer or of one channel "
    "grow. Show the channels to choose one by its picture."
)
SHOW = f"Show channels as pictures ({PER_PAGE} at a time)"


def add_dream_tab() -> None:
    """Add the tab's components and events to the surrounding Blocks."""
    DreamTab()


class DreamTab:
    """The components of the tab, and what happens when they are used. All that changes is in Gradio's states."""

    def __init__(self) -> None:
        first = PHOTOS[0]
        self.photo, self.channel, self.page = gr.State(None), gr.State(None), gr.State(-1)
        self.loaded, self.session = gr.State(Loaded()), gr.State(Session(), delete_callback=Session.stop)
        gr.Markdown(INTRO)
        with gr.Row():
            with gr.Column(scale=1, min_width=300):
                self.network = gr.Dropdown([*PHOTOS, *DIGITS], value=first, label="Network to dream with")
                with gr.Row(equal_height=True):
                    taken = gr.Button("Example photo", elem_id="dream-example", min_width=130)
                    upload = gr.UploadButton(
                        "Upload a photo", file_types=["image"], elem_id="dream-upload", min_width=130
                    )
                self.layer = gr.Dropdown(
                    list(PHOTO_LAYERS), value=FIRST_LAYER[first], label="Layer", elem_id="dream-layer"
                )
                self.channels = channel_picker(channel_buttons(FIRST_LAYER[first], None, {}))
                self.more = gr.Button(SHOW, elem_id="dream-more")
                self.octaves = gr.Slider(1, 8, value=3, step=1, label="Octaves (image sizes)", elem_id="dream-octaves")
                self.steps = gr.Slider(1, 100, value=10, step=1, label="Steps per octave", elem_id="dream-steps")
                self.size = gr.Slider(
                    0.001,
                    0.05,
                    value=0.015,
                    step=0.001,
                    label="Step size",
                    info="Mean change of a pixel per step, as a share of the range",
                )
                self.seed = gr.Number(0, label="Seed of the dream", precision=0)
                with gr.Row():
                    start = gr.Button("Dream", variant="primary", elem_id="dream-start", min_width=130)
                    self.stop = stop_button(self.session, "dream-stop")
            with gr.Column(scale=2, min_width=320):
                shown = Chosen(example_photo(), "the example photo")
                text = said("Press Dream to dream on the example photo, or upload your own first.")
                self.status = gr.HTML(text, label="What happened", elem_id="dream-status")
                self.views = gr.HTML(_input_view(shown, first), label="Photo and dream", elem_id="dream-views")
                self.downloads = gr.HTML("", label="Downloads", elem_id="dream-downloads")
                self.code = code_view("dream-code")
        self._connect(taken, upload, start)

    def _connect(self, taken: Any, upload: Any, start: Any) -> None:
        quick: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        what = [self.loaded, self.network, self.layer]
        shown = [self.photo, self.status, self.views, self.downloads, self.code]
        chooser = [self.channel, self.page, self.channels, self.more]
        where, chosen = [self.session, self.loaded, self.network], [*shown, self.stop]
        # change, not input: Gradio sends input twice for one click, and the second answer would undo later entries
        self.network.change(
            self._network,
            where,
            [*chosen, *chooser, self.layer, self.octaves, self.steps],
            **quick,
        )
        self.layer.change(self._layer, [self.layer], chooser, **quick)
        taken.click(self._example, where, chosen, **quick)
        upload.upload(self._upload, [upload, self.session, self.network], chosen, **quick)
        making = [self.session, *what, self.channel, self.page]
        self.more.click(self._more, making, [self.status, self.stop, *chooser], **quick)
        self.channels.chosen(self._choose, [self.loaded, self.network, self.layer, self.page], chooser, **quick)
        settings = [self.channel, self.octaves, self.steps, self.size, self.seed]
        start.click(self._start, [self.session, self.photo, *what, *settings], chosen, **quick)

    def _network(self, session: Session, loaded: Loaded, network: str) -> dict[Any, Any]:
        """Another network: its layers, and an image of the kind that it takes."""
        try:
            layers = _layers(loaded, network)
            photo = example(loaded, network)
        except Exception as error:
            return {self.status: failed(error)}
        digits = network in DIGITS
        return self._with(photo, session, network) | {
            self.layer: gr.Dropdown(list(layers), value=FIRST_LAYER[network]),
            self.octaves: gr.Slider(value=ON_TINY.octaves if digits else 3, interactive=not digits),
            self.steps: gr.Slider(value=(ON_TINY if digits else ON_PHOTOS).steps),
            **self._layer(FIRST_LAYER[network]),
        }

    def _layer(self, layer: str) -> dict[Any, Any]:
        buttons = channel_buttons(layer, None, {})
        return {self.channel: None, self.page: -1, self.channels: buttons, self.more: gr.Button(SHOW)}

    def _with(self, photo: Chosen, session: Session, network: str) -> dict[Any, Any]:
        """Show an image to dream on; a dream that is running ends, and no longer changes the page."""
        session.clear()
        text = said("Choose a layer or a channel, and press Dream.")
        shown = {self.photo: photo, self.status: text, self.views: _input_view(photo, network)}
        return shown | self._nothing() | {self.stop: gr.Button(interactive=False)}

    def _nothing(self) -> dict[Any, Any]:
        return {self.downloads: "", self.code: gr.Code(visible=False)}

    def _example(self, session: Session, loaded: Loaded, network: str) -> dict[Any, Any]:
        try:
            return self._with(example(loaded, network), session, network)
        except Exception as error:
            return {self.status: failed(error)}

    def _upload(self, path: str, session: Session, network: str) -> dict[Any, Any]:
        try:
            return self._with(Chosen(read_upload(path), "your image"), session, network)
        except Exception as error:
            return {self.status: failed(error)}

    def _more(self, session: Session, *chosen: Any) -> Iterator[dict[Any, Any]]:
        yield from stoppable(session, self.stop, lambda run: self._pictures(run, *chosen))

    def _pictures(
        self, run: Run, loaded: Loaded, network: str, layer: str, channel: int | None, page: int
    ) -> Iterator[dict[Any, Any]]:
        """Make the pictures of the next page of channels, or take those that were made already."""
        try:
            channels = page_of(_layers(loaded, network)[layer], page + 1)
            key = _page_key(network, layer, channels)
            if loaded.known(key) is None:
                net = _frozen(loaded, network)
                first, last = channels[0], channels[-1]
                yield {self.status: progress(f"Visualising channels {first} to {last} of {layer}.")}
                for item in run.live(partial(channel_pictures, net, network, layer, channels), _index):
                    if isinstance(item, Ended):
                        if item.stopped:
                            yield {self.status: said("Stopped; the channels were not finished.")}
                            return
                        loaded.get(key, partial(_numbered, channels, item.result))
                    else:
                        yield {self.status: progress(f"Visualising channels {first} to {last}: step {item.steps}.")}
            pictures = loaded.known(key)
            yield {
                self.status: said("Choose a channel by its picture, or go on to the next channels."),
                self.page: page + 1,
                self.channels: channel_buttons(layer, channel, pictures),
                self.more: gr.Button(f"Show the next {PER_PAGE} channels"),
            }
        except Exception as error:
            yield {self.status: failed(error)}

    def _choose(self, loaded: Loaded, network: str, layer: str, page: int, event: gr.EventData) -> dict[Any, Any]:
        number = int(event._data.get("channel", WHOLE))
        chosen = None if number == WHOLE else number
        pictures: dict[int, Image.Image] = {}
        if page >= 0:
            pictures = loaded.known(_page_key(network, layer, page_of(_layers(loaded, network)[layer], page))) or {}
        return {self.channel: chosen, self.channels: channel_buttons(layer, chosen, pictures)}

    def _start(self, session: Session, *chosen: Any) -> Iterator[dict[Any, Any]]:
        yield from stoppable(session, self.stop, lambda run: self._dream(run, *chosen))

    def _dream(
        self,
        run: Run,
        photo: Chosen | None,
        loaded: Loaded,
        network: str,
        layer: str,
        channel: int | None,
        *chosen: Any,
    ) -> Iterator[dict[Any, Any]]:
        """Dream, and show the picture live."""
        try:
            octaves, steps, size, seed = chosen
            if seed is None:
                raise ValueError("The seed is missing; fill it in.")
            settings = DreamSettings(network, layer, channel, int(octaves), int(steps), float(size), int(seed))
            photo = example(loaded, network) if photo is None else photo
            image, net = prepared_photo(network, photo.image), _frozen(loaded, network)
            yield {self.photo: photo, self.status: progress("The first step takes longest.")} | self._nothing()
            for item in run.live(partial(run_dream, net, settings, image), partial(preview, net, image)):
                if isinstance(item, Ended):
                    yield self._ended(settings, image, item)
                else:
                    text = f"Evaluation {item.steps} of {settings.all_steps}; {item.fps:.0f} frames a second."
                    yield {self.status: progress(text), self.views: _views(settings, image, item.shown)}
        except Exception as error:
            yield {self.status: failed(error)}

    def _ended(self, settings: DreamSettings, photo: Image.Image, end: Ended) -> dict[Any, Any]:
        if end.result is None:
            return {self.status: said("Stopped before the first step.")}
        image = to_image(end.result.x, end.result.bounds)
        downloads = download("dream.png", png_bytes(image, end.result.recipe), "Download the dream (PNG)")
        downloads += download("photo.png", png_bytes(photo), "Download the photo (PNG)")
        what = "Stopped: this is the dream so far" if end.stopped else "The dream is finished"
        return {
            self.status: said(f"{what}, after {end.steps} evaluations in {end.seconds:.1f} s."),
            self.views: _views(settings, photo, image),
            self.downloads: downloads,
            self.code: gr.Code(value=code(settings), visible=not end.stopped),
        }


def _input_view(chosen: Chosen, network: str) -> str:
    """The image that will be dreamt on, with its source."""
    return show_images([View(prepared_photo(network, chosen.image), f"Input, {chosen.source}")])


def _views(settings: DreamSettings, photo: Image.Image, image: Image.Image) -> str:
    what = settings.layer if settings.channel is None else f"channel {settings.channel} of {settings.layer}"
    return show_images([View(image, f"Dream of {what}"), View(photo, "Photo")])


def _index(step: Any) -> int:
    return int(step.index)


def _numbered(channels: range, pictures: list[Image.Image]) -> dict[int, Image.Image]:
    return dict(zip(channels, pictures, strict=True))


def _page_key(network: str, layer: str, channels: range) -> tuple[Any, ...]:
    return ("channels", network, layer, channels)


def _frozen(loaded: Loaded, network: str) -> Frozen:
    return loaded.get(("dream", network), partial(dream_network, network))


def _layers(loaded: Loaded, network: str) -> dict[str, int]:
    """The network's layers with their numbers of channels."""
    net = _frozen(loaded, network)
    return loaded.get(("layers", network), partial(layers_of, net, network))
