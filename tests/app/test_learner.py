"""The Learn tab without a browser: plans, training, the document's figures, the drawing and the charts."""

import re
from itertools import combinations, product

import numpy as np
import pytest

from inputopt.app.learner import MOST_STEPS, TASKS, Learner, Plan, hidden_sizes, plan_of
from inputopt.app.line_chart import line_chart
from inputopt.app.network_drawing import draw_network
from inputopt.derivatives.gradient_methods import gradients
from inputopt.derivatives.label_places import centred, label_place
from inputopt.derivatives.network_layout import MOST_LABELS, ROW, label_boxes
from inputopt.document.networks import EXAMPLES


@pytest.mark.parametrize("preset", ["1", "3a", "4", "4 held"])
def test_every_printed_figure_is_derived_on_the_way(preset):
    learner = Learner(plan_of(preset))
    assert learner.figures()
    for steps in (1, 500, EXAMPLES[preset].trainings - 501):
        learner.train(steps)
    assert [(each.figure, value) for each, value in learner.figures() if value is None] == []
    assert [(each.figure, value) for each, value in learner.figures() if not each.agrees(value)] == []


def test_figures_appear_when_they_are_reached():
    learner = Learner(plan_of("1"))
    reached = {each.figure for each, value in learner.figures() if value is not None}
    assert reached == {"first error", "first cost", "first dCost/dWeight", "first dCost/dBias"}


def test_other_settings_have_no_printed_figures():
    assert Learner(Plan("4", (2,), "tanh")).figures() == []
    assert Learner(Plan("4", (2,), rate=0.4)).figures() == []
    assert Learner(Plan("4", (3,))).figures() == []


def test_switching_the_activation_keeps_the_document_s_weights():
    assert np.allclose(Plan("4", (2,), "tanh").network().weights[0].detach(), [[0.15, 0.2], [0.25, 0.3]])


@pytest.mark.parametrize("task", TASKS)
def test_own_networks_learn_their_task(task):
    learner = Learner(plan_of(task))
    before = learner.errors[-1]
    assert learner.train(3_000) == "all steps done"
    assert learner.errors[-1] < 0.2 * before
    assert learner.at[0] == 0
    assert learner.at[-1] == learner.index == 3_000
    assert sorted(set(learner.at)) == learner.at
    assert {len(norms) for norms in learner.norms} == {2}


def test_training_in_pieces_is_training_at_once():
    whole, pieces = Learner(plan_of("XOR")), Learner(plan_of("XOR"))
    whole.train(300)
    for steps in (1, 99, 200):
        pieces.train(steps)
    assert whole.errors[-1] == pieces.errors[-1]


def test_a_stopped_training_keeps_its_weights():
    learner = Learner(plan_of("XOR"))

    def stop(now):
        if now.index >= 100:
            raise KeyboardInterrupt

    assert learner.train(10_000, stop) == "interrupted"
    assert 100 <= learner.index < 10_000
    again = Learner(plan_of("XOR"))
    again.train(learner.index)
    assert again.errors[-1] == learner.errors[-1]


def test_numbers_are_the_gradients_at_the_moved_input():
    learner = Learner(plan_of("4"))
    numbers = learner.numbers((0.3, 0.9), 0)
    found = gradients(learner.net, [[0.3, 0.9]], [[0.01, 0.99]], method="autograd")
    assert np.allclose(numbers.input_gradient, found.inputs[0], atol=1e-7)
    assert all(np.allclose(a, b, atol=1e-7) for a, b in zip(numbers.neuron_errors, found.neuron_errors, strict=True))
    moved = learner.move_input((0.3, 0.9), 0)
    assert learner.numbers(moved, 0).cost < numbers.cost


@pytest.mark.parametrize("text", ["3,x", "0", "-1", "2;3", "1.5"])
def test_hidden_layers_that_are_no_numbers(text):
    with pytest.raises(ValueError, match="Hidden layers must be whole numbers"):
        hidden_sizes(text)


def test_networks_too_large_to_draw_and_runs_too_long():
    with pytest.raises(ValueError, match="at most 5 hidden layers of at most 32"):
        Plan("XOR", (33,))
    with pytest.raises(ValueError, match="at most 1,000,000 steps"):
        Learner(plan_of("XOR")).train(MOST_STEPS + 1)


def test_the_drawing_has_every_number():
    learner = Learner(plan_of("4"))
    drawn = draw_network(learner.numbers((0.05, 0.1), 0))
    for number in ("0.150", "0.450", "0.751", "error 0.1385", "error -0.0381", "dC/dI 0.0038", "target 0.99"):
        assert number in drawn
    assert drawn.count("io-gradient-text") == 8 + 2 + 4  # edges, inputs, neurons
    assert re.search(r'role="img" aria-label="Network of 2, 2, 2 neurons; outputs 0\.7514, 0\.7729', drawn)
    assert "<th scope='row'>weight 1[1,0]</th><td>0.500000</td><td>-0.022603</td>" in drawn


def test_the_widest_line_is_the_largest_weight():
    drawn = draw_network(Learner(plan_of("4")).numbers((0.05, 0.1), 0))
    widths = [float(width) for width in re.findall(r'class="io-positive" stroke-width="([\d.]+)"', drawn)]
    assert widths.index(max(widths)) == len(widths) - 1
    assert max(widths) == 6


@pytest.mark.parametrize(
    "plan",
    [
        *map(plan_of, EXAMPLES),
        *(Plan("XOR", sizes, "tanh") for sizes in [(1,), (4,), (8,), (3, 3), (1, 8), (2, 4, 2), (4, 4), (3, 3, 3)]),
    ],
    ids=lambda plan: "-".join(map(str, plan.sizes)),
)
def test_no_label_of_an_edge_covers_another_or_a_neuron_or_its_captions(plan):
    numbers = Learner(plan).numbers((0.05, 0.1)[: plan.sizes[0]], 0)
    labels, taken = label_boxes(numbers, ROW * max(plan.sizes) + 6)
    assert len(labels) == sum(weights.size for weights in numbers.weights)
    assert max(weights.size for weights in numbers.weights) <= MOST_LABELS
    assert len(taken) == 3 * sum(plan.sizes)
    pairs = [*combinations(labels.values(), 2), *product(labels.values(), taken)]
    assert [pair for pair in pairs if pair[0].shared_area(pair[1]) > 0] == []


def test_a_label_lies_where_it_covers_least():
    free = label_place((0.0, 0.0), (400.0, 0.0), 0.5, [])
    assert free == centred(200, 0, 54, 28)
    moved = label_place((0.0, 0.0), (400.0, 0.0), 0.5, [centred(200, 0, 40, 10)])
    assert moved.shared_area(centred(200, 0, 40, 10)) == 0
    assert abs(moved.left - free.left) < 60
    everywhere = [centred(200, 0, 500, 10), centred(200, 10, 40, 10)]
    assert label_place((0.0, 0.0), (400.0, 0.0), 0.5, everywhere).shared_area(everywhere[1]) == 0


def test_a_large_network_is_drawn_without_numbers_on_its_edges():
    drawn = draw_network(Learner(Plan("XOR", (20, 5), "tanh")).numbers((0.0, 1.0), 1))
    assert "io-label" not in drawn
    assert "and 4 more" in drawn


def test_charts_draw_what_they_are_given():
    chart = line_chart("Error", [0, 9, 99], {"error": [1.0, 0.1, 0.01], "none": [0.0, float("nan"), 1e-30]})
    points = re.findall(r'points="([^"]+)"', chart)[0].split()
    x, y = zip(*(map(float, point.split(",")) for point in points), strict=True)
    assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.2)  # one decade each
    assert y[0] < y[1] < y[2]
    assert "nan" not in points[0]
    assert 'aria-label="Error: error 0.01 after 99 updates' in chart
