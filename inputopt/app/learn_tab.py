"""The Learn tab: a small MLP, drawn with its gradients, trained step by step, with the document's figures beside it."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

import gradio as gr

from inputopt.app.learner import MOST_STEPS, TASKS, Learner, Plan, hidden_sizes, plan_of
from inputopt.app.line_chart import line_chart
from inputopt.app.live_search import Ended, Run, Session
from inputopt.app.messages import failed, progress, said
from inputopt.app.network_drawing import draw_network, layer_names
from inputopt.app.stop_button import stop_button, stoppable
from inputopt.document import SOURCES
from inputopt.document.figures import Figure
from inputopt.document.networks import EXAMPLES
from inputopt.nets.activations import ACTIVATIONS
from inputopt.nets.costs import COSTS, CostName

MOST_INPUTS = max(len(inputs[0]) for inputs, _ in TASKS.values())
PRESETS = [*((f"Document {name}: {each.title}", name) for name, each in EXAMPLES.items())]
PRESETS += [(f"Own network: {name}", name) for name in TASKS]
FIRST = "4"
POST = next(iter(SOURCES.values()))
INTRO = (
    "A small network with every number shown. Training moves the weights against dCost/dWeight and holds the inputs "
    "still; *Move the input* does the opposite with dCost/dInput, which is how networks are fooled on the next tab. "
    "The cost `mse` is half the sum of the squared errors. The document is a [blog post by Alan Wolfe]"
    f"({POST}): its networks start from its numbers, and the table compares the figures that it prints."
)


def add_learn_tab() -> None:
    """Add the tab's components and events to the surrounding Blocks."""
    LearnTab()


class LearnTab:
    """The components of the tab, and what happens when they are used. All that changes is in Gradio's states."""

    def __init__(self) -> None:
        start = Learner(plan_of(FIRST))
        example = start.plan.data[0][0]
        self.learner, self.session = gr.State(None), gr.State(Session(), delete_callback=Session.stop)
        gr.Markdown(INTRO)
        with gr.Row():
            with gr.Column(scale=1, min_width=300):
                self.preset = gr.Dropdown(PRESETS, value=FIRST, label="Network and training examples")
                self.hidden = gr.Textbox("2", label="Hidden layers", info="Neurons per hidden layer, such as 3, 2")
                with gr.Row():
                    self.activation = gr.Dropdown(list(ACTIVATIONS), value="sigmoid", label="Activation", min_width=130)
                    self.cost = gr.Dropdown(list(COSTS), value="mse", label="Cost", min_width=130)
                with gr.Row():
                    self.rate = gr.Number(0.5, label="Learning rate", minimum=0, step=0.1, min_width=130)
                    self.seed = gr.Number(0, label="Seed", precision=0, min_width=130)
                reset = gr.Button("Build (reset)", elem_id="learn-reset")
                one = gr.Button("One training step", variant="primary", elem_id="learn-one")
                self.steps = gr.Number(1000, label="Steps to run", minimum=1, maximum=MOST_STEPS, precision=0)
                with gr.Row():
                    run = gr.Button("Run", variant="primary", elem_id="learn-run", min_width=130)
                    self.stop = stop_button(self.session, "learn-stop")
                self.example = gr.Dropdown(_examples(start.plan), value=0, label="Training example shown")
                self.sliders = [
                    gr.Slider(
                        0,
                        1,
                        value=example[place] if place < len(example) else 0,
                        step=0.01,
                        label=f"Input {place}",
                        visible=place < len(example),
                        elem_id=f"learn-input-{place}",
                    )
                    for place in range(MOST_INPUTS)
                ]
                move = gr.Button("Move the input (one step down dCost/dInput)", elem_id="learn-move")
            with gr.Column(scale=2, min_width=320):
                self.status = gr.HTML(said(_state(start)), label="What happened", elem_id="learn-status")
                self.drawing = gr.HTML(_drawing(start, 0, example), label="The network", elem_id="learn-network")
                self.charts = gr.HTML(_charts(start), label="Error and gradient sizes", elem_id="learn-charts")
                self.figures = gr.HTML(_figures(start), label="Figures of the document", elem_id="learn-figures")
        self._connect(reset, one, run, move)

    def _connect(self, reset: Any, one: Any, run: Any, move: Any) -> None:
        settings = [self.preset, self.hidden, self.activation, self.cost, self.rate, self.seed]
        state, shown = [self.learner, self.session], [self.example, *self.sliders]
        pictures = [self.learner, self.status, self.drawing, self.charts, self.figures]
        quick: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        # change, not input: Gradio sends input twice for one click, and the second answer would undo later entries
        self.preset.change(self._choose, [self.preset, self.session], [*settings, *pictures, *shown], **quick)
        reset.click(self._build, [*settings, self.session], [*pictures, *shown], **quick)
        one.click(self._one, [*state, *shown], pictures, **quick)
        run.click(self._run, [self.session, self.learner, self.steps, *shown], [*pictures, self.stop], **quick)
        move.click(self._move, [self.learner, *shown], [self.status, self.drawing, *self.sliders], **quick)
        self.example.change(self._example, [self.learner, self.example], [self.drawing, *self.sliders], **quick)
        for slider in self.sliders:
            slider.input(self._drawn, [self.learner, *shown], self.drawing, trigger_mode="always_last", **quick)

    def _choose(self, preset: str, session: Session) -> dict[Any, Any]:
        """A preset was chosen: set the settings to it, and build it."""
        plan = plan_of(preset)
        hidden = ", ".join(map(str, plan.hidden))
        settings = {
            self.hidden: hidden,
            self.activation: plan.activation,
            self.cost: plan.cost,
            self.rate: plan.rate,
            self.seed: plan.seed,
        }
        return settings | self._build(preset, hidden, plan.activation, plan.cost, plan.rate, plan.seed, session)

    def _build(
        self, preset: str, hidden: str, activation: str, cost: CostName, rate: float, seed: int, session: Session
    ) -> dict[Any, Any]:
        try:
            session.stop()
            learner = Learner(Plan(preset, hidden_sizes(hidden), activation, cost, _number(rate), int(_number(seed))))
        except Exception as error:
            return {self.status: failed(error)}
        inputs = learner.plan.data[0][0]
        shown: dict[Any, Any] = {self.example: gr.Dropdown(_examples(learner.plan), value=0)}
        return self._all(learner, said(_state(learner)), 0, inputs) | shown | self._at(inputs)

    def _one(self, learner: Learner | None, session: Session, example: int, *inputs: float) -> dict[Any, Any]:
        try:
            learner = _started(learner)
            if session.running:
                raise ValueError("The network is being trained; press Stop first.")
            learner.train(1)
        except Exception as error:
            return {self.status: failed(error)}
        return self._all(learner, said(_state(learner)), example, inputs)

    def _run(self, session: Session, *chosen: Any) -> Iterator[dict[Any, Any]]:
        yield from stoppable(session, self.stop, lambda run: self._train(run, *chosen))

    def _train(
        self, run: Run, learner: Learner | None, steps: float, example: int, *inputs: float
    ) -> Iterator[dict[Any, Any]]:
        try:
            learner = here = _started(learner)
            count = int(_number(steps))

            def show(now: Any) -> dict[Any, Any]:
                text = progress(f"Update {now.index:,}: error {now.error:.6f}, cost {now.cost:.6f}.")
                return self._all(here, text, example, inputs)

            for item in run.live(lambda watch: here.train(count, watch), show):
                if isinstance(item, Ended):
                    why = f" Training ended early: {item.result}." if item.result != "all steps done" else ""
                    yield self._all(here, said(_state(here) + why), example, inputs)
                else:
                    yield item.shown
        except Exception as error:
            yield {self.status: failed(error)}

    def _move(self, learner: Learner | None, example: int, *inputs: float) -> dict[Any, Any]:
        learner = _started(learner)
        size = learner.plan.sizes[0]
        before, moved = learner.numbers(inputs[:size], example), learner.move_input(inputs[:size], example)
        after = learner.numbers(moved, example)
        text = f"The input moved: cost {before.cost:.6f} before, {after.cost:.6f} after. The weights did not change."
        return {self.status: said(text), self.drawing: draw_network(after)} | self._at(moved)

    def _example(self, learner: Learner | None, example: int) -> dict[Any, Any]:
        learner = _started(learner)
        inputs = learner.plan.data[0][example]
        return {self.drawing: _drawing(learner, example, inputs)} | self._at(inputs)

    def _drawn(self, learner: Learner | None, example: int, *inputs: float) -> str:
        return _drawing(_started(learner), example, inputs)

    def _all(self, learner: Learner, status: str, example: int, inputs: tuple[float, ...]) -> dict[Any, Any]:
        return {
            self.learner: learner,
            self.status: status,
            self.drawing: _drawing(learner, example, inputs),
            self.charts: _charts(learner),
            self.figures: _figures(learner),
        }

    def _at(self, inputs: tuple[float, ...]) -> dict[Any, Any]:
        """Set the sliders to an input; those that the network has no input for are hidden."""
        padded = [*inputs, *[0.0] * MOST_INPUTS][:MOST_INPUTS]
        return {
            slider: gr.Slider(value=value, visible=place < len(inputs))
            for place, (slider, value) in enumerate(zip(self.sliders, padded, strict=True))
        }


def _started(learner: Learner | None) -> Learner:
    """The session's network; a new session starts with the first preset."""
    return Learner(plan_of(FIRST)) if learner is None else learner


def _number(value: float | None) -> float:
    if value is None:
        raise ValueError("A number is missing; fill in the learning rate, the seed and the steps.")
    return value


def _examples(plan: Plan) -> list[tuple[str, int]]:
    pairs = zip(*plan.data, strict=True)
    return [(f"{_list(inputs)} → {_list(targets)}", place) for place, (inputs, targets) in enumerate(pairs)]


def _list(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _state(learner: Learner) -> str:
    updates = "1 update" if learner.index == 1 else f"{learner.index:,} updates"
    return f"After {updates}: error {learner.errors[-1]:.6f}, cost {learner.costs[-1]:.6f}."


def _drawing(learner: Learner, example: int, inputs: tuple[float, ...]) -> str:
    return draw_network(learner.numbers(inputs[: learner.plan.sizes[0]], example))


def _charts(learner: Learner) -> str:
    names = layer_names(learner.plan.sizes)
    columns = zip(*learner.norms, strict=True)
    gradients = {name: list(values) for name, values in zip(names, columns, strict=True)}
    errors = line_chart("Error and cost", learner.at, {"error": learner.errors, "cost": learner.costs})
    return f"<div class='io-charts'>{errors}{line_chart('Gradient size per layer', learner.at, gradients)}</div>"


def _figures(learner: Learner) -> str:
    """The document's figures beside the derived ones, as a table."""
    example = learner.plan.example
    if example is None or not learner.plan.as_printed:
        return "<p class='io-message'>The document prints no figures for these settings.</p>"
    caption = f"First: before any update; second: after one; last: at update {example.trainings:,}."
    head = "".join(f"<th scope='col'>{name}</th>" for name in ("figure", "printed", "derived", "comparison"))
    rows = "".join(_figure(figure, derived) for figure, derived in learner.figures())
    return (
        "<details class='io-details' open><summary>Figures of the document</summary>"
        f"<div class='io-scroll' tabindex='0'><table class='io-table'><caption>{caption}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></details>"
    )


def _figure(figure: Figure, derived: float | None) -> str:
    """One row of the table; the comparison is left open until the figure is reached."""
    if derived is None:
        now, verdict = "", "at the end" if figure.figure.startswith("last") else "after a step"
    else:
        now, agrees = figure.as_printed(derived), figure.agrees(derived)
        verdict = f"<span class='io-{'yes' if agrees else 'no'}'>{'agrees' if agrees else 'differs'}</span>"
    note = f" <small>({escape(figure.note)})</small>" if figure.note else ""
    cells = "".join(f"<td>{cell}</td>" for cell in (figure.printed, now, verdict))
    return f"<tr><th scope='row'>{figure.figure}{note}</th>{cells}</tr>"
