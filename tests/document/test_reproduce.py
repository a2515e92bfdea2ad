"""The document's networks are trained anew, and every figure is held against the printed one."""

import csv
import math
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from inputopt import gradients, train
from inputopt.document import reproduce as module
from inputopt.document.figures import figures
from inputopt.document.networks import EXAMPLES
from inputopt.document.reproduce import Row, derive, reproduce, write

SHORT = {name: replace(example, trainings=60) for name, example in EXAMPLES.items()}
BY_AUTOGRAD = ("1", "4", "4 held")  # the others take a minute


def disagreements(example, found):
    rows = [row for row in figures() if row.example == example]
    assert rows
    return [(row.figure, row.printed, found[row.figure]) for row in rows if not row.agrees(found[row.figure])]


@pytest.mark.parametrize(
    ("example", "method"), [(name, "backprop") for name in EXAMPLES] + [(name, "autograd") for name in BY_AUTOGRAD]
)
def test_every_printed_digit_is_derived(example, method):
    found, history = derive(EXAMPLES[example], method)
    assert disagreements(example, found) == []
    assert history.trainings == EXAMPLES[example].trainings
    assert history.stopped == "all steps done"


@pytest.mark.parametrize("method", ["autograd", "dual"])
@pytest.mark.parametrize("example", EXAMPLES)
def test_a_short_run_derives_the_figures_of_the_start(example, method):
    found, _ = derive(SHORT[example], method)
    wrong = disagreements(example, found)
    assert all(figure.startswith("last ") for figure, *_ in wrong)
    assert wrong, "the last figures take the whole training"


def test_single_precision_is_what_the_figures_come_from():
    assert all(parameter.dtype == torch.float32 for parameter in EXAMPLES["3b"].network().parameters())


def test_0_2839_is_the_cost_when_one_weight_keeps_its_old_value():
    """The document updates weight 1[0,0] of network 4 on paper, and leaves it out of the next forward pass."""
    example = EXAMPLES["4"]
    net = example.network()
    old = net.weights[1][0, 0].item()
    train(net, example.inputs, example.targets, learning_rate=0.5, steps=1)
    assert gradients(net, example.inputs, example.targets).cost == pytest.approx(0.280472, abs=1e-6)
    with torch.no_grad():
        net.weights[1][0, 0] = old
    assert f"{gradients(net, example.inputs, example.targets).cost:.4f}" == "0.2839"


def test_the_bias_printed_as_0_6191_is_0_619049():
    found, _ = derive(SHORT["4"], "backprop")
    assert f"{found['second bias 1[1]']:.6f}" == "0.619049"


def test_in_network_4_the_early_layer_learns_far_more_slowly():
    _, history = derive(SHORT["4"], "backprop")
    early, late = history.gradient_norms[0]
    assert early < late / 10


def test_the_table_has_a_row_a_figure_and_a_column_a_method(monkeypatch):
    monkeypatch.setattr(module, "EXAMPLES", SHORT)
    watched = []

    @contextmanager
    def watch(example, method, trainings):
        watched.append((example, method, trainings))
        yield None

    found = reproduce(("backprop", "autograd"), small=False, watch=watch)
    assert [row.figure for row in found.rows] == list(figures())
    assert all(list(row.derived) == ["backprop", "autograd"] for row in found.rows)
    assert watched == [(name, method, 60) for method in ("backprop", "autograd") for name in EXAMPLES]
    assert list(found.histories) == [(method, name) for name, method, _ in watched]
    assert found.small == ()
    wrong = [row.figure.figure for row in found.mismatches]
    assert wrong == [row.figure for row in figures() if row.figure.startswith("last ")], "60 trainings are too few"


def test_one_method_that_disagrees_makes_a_row_disagree():
    figure = next(row for row in figures() if row.printed == "0.298371")
    assert Row(figure, {"a": 0.298371, "b": 0.2983711}).agrees
    assert not Row(figure, {"a": 0.298371, "b": 0.2984}).agrees
    assert not Row(figure, {"a": 0.298371, "b": math.nan}).agrees


def test_the_logs_are_written_a_file_a_training(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "EXAMPLES", SHORT)
    found = reproduce(("backprop",), small=False)
    paths = write(found, tmp_path / "out")
    names = [f"network-{name}.csv" for name in ("1", "2", "3a", "3b", "4", "4-held")]
    assert [path.relative_to(tmp_path / "out").as_posix() for path in paths] == [f"backprop/{name}" for name in names]
    for path, example in zip(paths, EXAMPLES, strict=True):
        header, *rows = csv.reader(path.read_text().splitlines())
        assert header[:3] == ["training index", "error", "cost"]
        assert len(header) == (8 if example in "12" else 3), "one neuron has a column for each of its numbers"
        assert [int(row[0]) for row in rows] == list(range(60))
        history = found.histories["backprop", example]
        assert [float(row[1]) for row in rows] == pytest.approx(history.error.tolist(), rel=1e-8)


def test_the_slower_ways_and_evolution_have_a_table_of_their_own(monkeypatch):
    monkeypatch.setattr(module, "EXAMPLES", SHORT)
    table = reproduce(("backprop",)).small
    ways = ("dual", "differences", "one_sided", "genetic")
    assert [(row.example, row.method) for row in table] == [(name, way) for name in ("1", "3a", "4") for way in ways]
    by_descent = {name: derive(SHORT[name], "backprop")[1].error[-1] for name in ("1", "3a", "4")}
    parameters = {"1": 2, "3a": 6, "4": 12}
    for row in table:
        nudges = {"dual": 1, "differences": 2 * parameters[row.example], "one_sided": 1 + parameters[row.example]}
        assert row.seconds > 0
        if row.method == "genetic":
            assert row.evaluations == 200 * row.trainings
            assert row.error <= by_descent[row.example] * 1.01, "it stops at the error that descent reached"
        else:
            assert (row.trainings, row.evaluations) == (60, 60 * nudges[row.method])
            assert row.error == pytest.approx(by_descent[row.example], rel=1e-2)


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"methods": ("autograd", "guess")}, ValueError, "Unknown method 'guess'"),
        ({"methods": "autograd"}, TypeError, "methods must be a list of at least one name"),
        ({"methods": ()}, TypeError, "at least one name"),
        ({"processes": 0}, ValueError, "processes must be at least 1"),
        ({"watch": "bar"}, TypeError, "watch must be a function"),
    ],
)
def test_bad_calls_are_refused_before_any_training(given, kind, words, monkeypatch):
    monkeypatch.setattr(module, "train", None)
    with pytest.raises(kind, match=words):
        reproduce(**given)
