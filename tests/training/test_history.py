"""How a training ends, and what record of it remains."""

import copy
import csv
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from inputopt import MLP, DivergenceWarning, FileError, gradients, train
from inputopt.training.history import log_spaced, sampled
from inputopt.training.plots import plot_errors, plot_gradient_sizes

COLUMNS = ["training index", "error", "cost", "weight", "bias", "dCost/dWeight", "dCost/dBias", "dCost/dInput"]


def rand(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def neuron():
    """The document's first network."""
    return MLP([1, 1], weights=[[[0.3]]], biases=[[0.5]])


def numbers(net):
    return torch.cat([value.detach().flatten().clone() for value in net.parameters()])


def errors_by_hand(steps, w=0.3, b=0.5, x=1.0, t=0.0, rate=0.5):
    """Error, cost, weight, bias and derivatives of one neuron before each of its trainings."""
    rows = []
    for index in range(steps):
        O = 1 / (1 + math.exp(-(w * x + b)))
        error = (O - t) * O * (1 - O)
        rows.append([index, abs(t - O), (t - O) ** 2 / 2, w, b, error * x, error, error * w])
        w, b = w - rate * error * x, b - rate * error
    return rows


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    return header, [[float(value) for value in row] for row in rows]


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.integers(1, 5000))
def test_the_documents_sampling_rule(trainings):
    """A row when index % (trainings // 49) == 0, and at the last index; every index where there are fewer than 49."""
    every = max(1, trainings // 49)
    wanted = [index for index in range(trainings) if index % every == 0 or index == trainings - 1]
    assert sampled(trainings) == wanted


@pytest.mark.parametrize(
    ("trainings", "rows"), [(1, 1), (48, 48), (49, 49), (50, 50), (10_000, 51), (100_000, 51), (520_000, 51)]
)
def test_there_are_about_fifty_samples(trainings, rows):
    assert len(sampled(trainings)) == rows


def test_the_log_of_one_neuron_has_the_documents_columns_and_values(tmp_path):
    history = train(neuron().double(), [[1.0]], [[0.0]], steps=200, method="backprop")
    history.write_csv(tmp_path / "log.csv")
    header, rows = read_csv(tmp_path / "log.csv")
    assert header == COLUMNS
    by_hand = errors_by_hand(200)
    expected = [by_hand[index] for index in range(200) if index % 4 == 0 or index == 199]
    # the initial weight is a single-precision 0.3
    np.testing.assert_allclose(rows, expected, rtol=1e-6, atol=1e-7)


def test_the_log_of_more_neurons_has_error_and_cost_and_more_if_asked(tmp_path):
    history = train(MLP([2, 2], seed=1), [[0.0, 1.0]], [[1.0, 0.0]], steps=20)
    history.write_csv(tmp_path / "log.csv")
    assert read_csv(tmp_path / "log.csv")[0] == COLUMNS[:3]
    history.write_csv(tmp_path / "all.csv", details=True)
    header, rows = read_csv(tmp_path / "all.csv")
    assert header[3:9] == [f"weight 0[{place}]" for place in ("0,0", "0,1", "1,0", "1,1")] + ["bias 0[0]", "bias 0[1]"]
    assert header[-2:] == ["dCost/dInput 0[0]", "dCost/dInput 0[1]"]
    assert len(rows) == 20
    train(neuron(), [[1.0]], [[0.0]], steps=2).write_csv(tmp_path / "bare.csv", details=False)
    assert read_csv(tmp_path / "bare.csv")[0] == COLUMNS[:3]


def test_an_unwritable_log_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    history = train(neuron(), [[1.0]], [[0.0]], steps=2)
    with pytest.raises(FileError, match=r"^Cannot write .*choose another path"):
        history.write_csv(tmp_path / "file" / "log.csv")


def test_every_sample_is_what_the_network_was_before_that_training():
    net, inputs, targets = MLP([2, 3, 1], "tanh", "sigmoid", seed=1), rand(5, 2), rand(5, 1).sigmoid()
    twin = copy.deepcopy(net)
    history = train(net, inputs, targets, steps=100)
    assert history.index.tolist() == [*range(0, 100, 2), 99]
    assert (history.error.shape, history.gradient_norms.shape) == ((51,), (51, 2))
    assert history.layers == ("layers.0", "layers.1")
    for place in range(51):
        found = gradients(twin, inputs, targets)
        outputs = twin(inputs).detach()
        assert history.error[place] == pytest.approx((targets - outputs).abs().mean().item(), rel=1e-5)
        assert history.cost[place] == pytest.approx(found.cost, rel=1e-5)
        norms = [torch.cat([w.flatten(), b]).norm().item() for w, b in zip(found.weights, found.biases, strict=True)]
        assert history.gradient_norms[place] == pytest.approx(norms, rel=1e-4)
        assert history.detail("weight 1[0,2]")[place] == pytest.approx(twin.weights[1][0, 2].item(), rel=1e-5)
        mean = found.inputs.mean(0)
        assert history.detail("dCost/dInput 0[1]")[place] == pytest.approx(mean[1].item(), rel=1e-4, abs=1e-8)
        if place < 50:
            train(twin, inputs, targets, steps=2 if place < 49 else 1)
    with pytest.raises(ValueError, match="Unknown column 'weight 9"):
        history.detail("weight 9[0,0]")


def test_samples_speak_of_all_examples_even_when_training_on_batches():
    net, inputs, targets = MLP([2, 1], seed=1), rand(7, 2), rand(7, 1).sigmoid()
    expected = (targets - net(inputs)).abs().mean().item()
    assert train(net, inputs, targets, steps=5, batch_size=2).error[0] == pytest.approx(expected, rel=1e-6)


def test_large_networks_and_other_modules_keep_no_details():
    assert train(MLP([31, 2]), rand(3, 31), rand(3, 2), steps=2).samples[0].details != {}, "64 numbers"
    history = train(MLP([64, 1]), rand(3, 64), rand(3, 1), steps=2)
    assert history.samples[0].details == {}, "65 numbers"
    assert history.gradient_norms.shape == (2, 1)
    assert train(nn.Linear(2, 1), rand(3, 2), rand(3, 1), steps=2).samples[0].details == {}


def test_progress_is_told_at_each_sample_and_at_the_end():
    told = []
    history = train(neuron(), [[1.0]], [[0.0]], steps=200, progress=told.append)
    assert [(one.index, one.steps) for one in told] == [(index, 200) for index in [*history.index, 200]]
    assert [one.error for one in told[:-1]] == history.error.tolist()
    assert [one.cost for one in told[:-1]] == history.cost.tolist()


def test_a_training_that_runs_out_says_so():
    history = train(neuron(), [[1.0]], [[0.0]], steps=123)
    assert (history.trainings, history.stopped) == (123, "all steps done")
    assert history.seconds > 0


@pytest.mark.parametrize("method", ["autograd", "backprop"])
@pytest.mark.parametrize("stop", [0.9, 0.68, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15])
def test_a_training_stops_at_the_first_error_that_is_small_enough(stop, method):
    needed = next(index for index, error, *_ in errors_by_hand(1000) if error <= stop)
    net, twin = neuron(), neuron()
    history = train(net, [[1.0]], [[0.0]], steps=1000, stop_error=stop, method=method)
    assert history.trainings == needed
    assert history.stopped == f"the error is down to {stop:g}"
    assert history.error[-1] <= stop, "the record must show the error that it stopped for"
    assert (np.diff(history.index) > 0).all()
    if needed:
        train(twin, [[1.0]], [[0.0]], steps=needed, method=method)
    assert torch.equal(numbers(net), numbers(twin))


def assert_kept(net, twin, history, done):
    """The network is as after `done` trainings, and the record says so and ends there."""
    assert (history.trainings, history.stopped) == (done, "interrupted")
    if done:
        train(twin, [[1.0]], [[0.0]], steps=done)
    assert torch.equal(numbers(net), numbers(twin))
    assert history.error[-1] == pytest.approx(net(torch.ones(1, 1)).item(), rel=1e-6)
    assert (np.diff(history.index) > 0).all()


@pytest.mark.parametrize("at", [0, 1, 3, 4, 5, 8, 199])
def test_ctrl_c_within_a_training_keeps_what_it_has(at):
    def interrupt(net, inputs, targets, index):
        if index == at:
            raise KeyboardInterrupt
        return inputs

    net = neuron()
    assert_kept(net, neuron(), train(net, [[1.0]], [[0.0]], steps=200, perturb=interrupt), at)


@pytest.mark.parametrize("at", [0, 4, 8, 196, 199])
def test_ctrl_c_between_trainings_keeps_what_it_has(at):
    def interrupt(progress):
        if progress.index == at:
            raise KeyboardInterrupt

    net = neuron()
    assert_kept(net, neuron(), train(net, [[1.0]], [[0.0]], steps=200, progress=interrupt), at)


def test_ctrl_c_after_the_last_training_loses_nothing():
    def interrupt(progress):
        if progress.index == 200:
            raise KeyboardInterrupt

    try:
        history = train(neuron(), [[1.0]], [[0.0]], steps=200, progress=interrupt)
    except KeyboardInterrupt:
        pytest.fail("the interrupt got out of the training, and its record was lost")
    assert history.trainings == 200


def runaway(**options):
    """A linear neuron whose mistake grows fivefold with each training."""
    net = MLP([1, 1], "identity", weights=[[[0.5]]], biases=[[0.1]])
    return net, train(net, [[1.0]], [[0.0]], **({"learning_rate": 3.0, "steps": 1000} | options))


@pytest.mark.parametrize("options", [{}, {"optimiser": "momentum"}, {"batch_size": 1}, {"steps": 99}])
@pytest.mark.parametrize("method", ["autograd", "backprop", "dual"])
def test_a_diverging_training_warns_and_keeps_the_last_finite_weights(method, options):
    with pytest.warns(DivergenceWarning, match=r"diverged in update \d+ .* try a smaller learning rate") as warned:
        net, history = runaway(method=method, **options)
    done = history.trainings
    assert history.stopped == "diverged"
    assert f"in update {done + 1} " in str(warned[0].message)
    assert warned[0].filename == __file__, "the warning points at the caller's line"
    assert torch.isfinite(numbers(net)).all()
    assert numbers(net).abs().max() > 1e18, "the last finite weights, not some earlier ones"
    again, finished = runaway(method=method, **(options | {"steps": done}))  # one training fewer: no warning
    assert finished.stopped == "all steps done"
    assert torch.equal(numbers(net), numbers(again)), "exactly those after that many trainings"
    with pytest.warns(DivergenceWarning, match=f"in update {done + 1} "):
        runaway(method=method, **(options | {"steps": done + 1}))


def test_a_divergence_that_does_not_come_again_is_survived():
    """A hook may draw anew each time: going through a stretch once more need not end as it did before."""
    seen = []

    def once(net, inputs, targets, index):
        seen.append(index)
        return inputs * (1e30 if len(seen) == 6 else 1)

    net = MLP([1, 1], "identity", weights=[[[0.5]]])
    history = train(net, [[1.0]], [[0.0]], steps=500, learning_rate=0.1, perturb=once)
    assert torch.isfinite(numbers(net)).all()
    assert history.trainings <= 500


def test_deep_sigmoid_networks_hardly_move_their_early_layers():
    """The unstable gradient: layer by layer towards the inputs it shrinks by a factor; relu's stays level."""
    inputs, targets = rand(16, 8), rand(16, 1, seed=1).sigmoid()
    sizes = [8] * 7 + [1]
    sigmoid, relu = (
        train(MLP(sizes, kind, "sigmoid", seed=3), inputs, targets, steps=1).gradient_norms[0]
        for kind in ("sigmoid", "relu")
    )
    assert (np.diff(np.log(sigmoid)) > np.log(2)).all()
    assert sigmoid[-1] / sigmoid[0] > 1000 > 50 > relu[-1] / relu[0]


def test_error_curves_are_sampled_evenly_on_a_logarithmic_axis():
    inputs, targets = rand(3, 2), rand(3, 1).sigmoid()
    history = train(MLP([2, 2, 1]), inputs, targets, steps=1_000)
    assert history.index.tolist() == sampled(1_000), "the document's log is as it was"
    index, error, cost = history.curve.T
    assert np.isin(history.cost, cost).all()
    assert set(index) == {each + 1 for each in (*sampled(1_000), *log_spaced(1_000))}
    for number in (1, 3, 40, 501):
        alone = train(MLP([2, 2, 1]), inputs, targets, steps=number)
        assert alone.error[-1] == error[index == number], "measured before that update"
    gaps = np.diff(np.log10(index[index < 100]))
    assert gaps.max() <= np.log10(2) + 1e-9
    batches = train(MLP([2, 2, 1]), inputs, targets, steps=1_000, batch_size=2)
    assert batches.curve[:, 0].tolist() == [each + 1 for each in sampled(1_000)]


def test_a_history_is_saved_as_a_log_and_a_plot_with_log_spaced_points(tmp_path):
    history = train(MLP([2, 2, 1]), rand(3, 2), rand(3, 1).sigmoid(), steps=500)
    written = history.save(tmp_path / "new" / "run")
    assert [path.name for path in written] == ["history.csv", "history.png"]
    assert [row[:2] for row in read_csv(written[0])[1]] == [
        [index, pytest.approx(error, rel=1e-8)] for index, error in zip(history.index, history.error, strict=True)
    ]
    with Image.open(written[1]) as image:
        assert image.format == "PNG"
        assert min(image.size) > 300
    error, cost, norms = history.figure().axes
    assert (norms.get_xscale(), norms.get_yscale(), norms.get_xlabel()) == ("linear", "log", "update")
    assert norms.get_ylabel() == "gradient norm of a layer"
    for line, layer in zip(norms.lines, history.gradient_norms.T, strict=True):
        np.testing.assert_array_equal(line.get_xydata(), np.stack([history.index + 1, layer], axis=1))
    for axes, column in ((error, 1), (cost, 2)):
        assert (axes.get_xscale(), axes.get_yscale(), axes.get_xlabel()) == ("log", "log", "update")
        np.testing.assert_array_equal(axes.lines[0].get_xydata(), history.curve[:, [0, column]])
        early = history.curve[history.curve[:, 0] <= 50]
        assert len(early) > len(history.curve) / 4, "a linear spacing would have a tenth of its points there"
    assert [error.get_ylabel(), cost.get_ylabel()] == [
        "error (norm of target - output)",
        "cost (mean over the examples)",
    ]


def test_a_single_layer_has_no_plot_of_layers():
    history = train(MLP([2, 1]), rand(3, 2), rand(3, 1).sigmoid(), steps=5)
    assert len(history.figure().axes) == 2


def test_a_history_is_not_half_saved(tmp_path):
    history = train(MLP([2, 2, 1]), rand(3, 2), rand(3, 1).sigmoid(), steps=5)
    (tmp_path / "run" / "history.png").mkdir(parents=True)
    with pytest.raises(FileError, match=r"history\.png: Is a directory"):
        history.save(tmp_path / "run")
    assert not (tmp_path / "run" / "history.csv").exists()


def test_plots_show_the_samples():
    histories = {
        name: train(MLP([2, 2, 1], seed=seed), rand(3, 2), rand(3, 1).sigmoid(), steps=60)
        for seed, name in enumerate(("one", "other"))
    }
    (axes,) = plot_errors(histories, "a title").axes
    assert axes.get_title() == "a title"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["one", "other"]
    for line, history in zip(axes.lines, histories.values(), strict=True):
        np.testing.assert_array_equal(line.get_xydata(), history.curve[:, :2])
    panels = plot_gradient_sizes(histories).axes
    assert [panel.get_title() for panel in panels] == ["one", "other"]
    assert {panel.get_ylabel() for panel in [axes, *panels]} == {"error (norm of target - output)", "gradient norm"}
    for panel, history in zip(panels, histories.values(), strict=True):
        np.testing.assert_array_equal([line.get_ydata() for line in panel.lines], history.gradient_norms.T)
