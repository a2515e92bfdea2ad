import json
import math

import numpy as np
import pytest
import torch
from contracts import known_inputs, small_net
from defences import DEFENCES
from defences.measure import sample
from PIL import Image

import inputopt
from inputopt import attacks
from inputopt.evaluation.curve_figure import curve_of, robustness_area
from inputopt.search.inputs import InputoptWarning
from inputopt.wilson_interval import wilson


def test_the_area_is_the_one_under_the_curve():
    distance = torch.tensor([0.0, 0.5, torch.inf, 2.0, 1.0])
    where, accuracy = curve_of(distance)
    widths = torch.cat([where, torch.tensor([2.0])]).diff()
    assert robustness_area(distance, 2.0) == pytest.approx(float((widths * accuracy).sum()))
    assert accuracy.tolist() == pytest.approx([1, 0.8, 0.6, 0.4, 0.2])


def test_a_curve_holds_what_its_attacks_found():
    x, y = known_inputs()
    chosen = {"few": attacks.MinimalNorm("l2", queries=60), "DDN": attacks.DDN(steps=3)}
    curve = inputopt.robustness_curve(small_net(), x, y, "l2", chosen)
    for name, attack in chosen.items():
        assert torch.equal(curve.distances[name], attack(small_net(), x, y).distance)
    assert torch.equal(curve.lowest, torch.minimum(*curve.distances.values()))
    assert curve.accuracy(0.0) == 1
    assert curve.accuracy(math.inf) == 0
    middle = float(curve.lowest.median())
    assert curve.accuracy(middle) == pytest.approx(0.4)  # three of five are that near
    assert curve.accuracy(middle, "DDN") >= curve.accuracy(middle)
    rows = {row["attack"]: row for row in curve.rows()}
    assert rows["all attacks"]["median"] == middle
    assert rows["all attacks"]["area"] <= min(rows["few"]["area"], rows["DDN"]["area"])
    assert rows["few"]["forwards"] + rows["few"]["backwards"] <= 60
    axes = curve.figure().axes[0]
    assert [line.get_label().split(" (")[0] for line in axes.lines] == [*chosen, "all attacks"]
    assert len(axes.collections) == len(axes.lines), "each has its band"
    for line, band in zip(axes.lines, axes.collections, strict=True):
        heights = band.get_paths()[0].vertices[:, 1]
        low, high = wilson(float(line.get_ydata()[0]), len(curve.lowest))
        assert np.abs(heights - low).min() == pytest.approx(0, abs=1e-6)
        assert heights.max() == pytest.approx(high, abs=1e-6)


def test_failures_count_as_robust_at_every_distance():
    def sure(x):
        return torch.stack([2 + 0 * x.flatten(1).sum(1), 0 * x.flatten(1).sum(1)], dim=1)

    with pytest.warns(InputoptWarning, match="Every gradient of this attack was zero"):
        curve = inputopt.robustness_curve(sure, torch.full((3, 4), 0.5), torch.tensor([0, 0, 1]), "linf")
    assert curve.accuracy(1.0) == pytest.approx(2 / 3)
    (row, _) = curve.rows()
    assert (row["median"], row["failed"]) == (None, 2)
    assert curve.figure().axes


def test_what_does_not_fit_is_refused():
    x, y = known_inputs()
    with pytest.raises(ValueError, match="same norm"):
        inputopt.robustness_curve(small_net(), x, y, "l1", {"DDN": attacks.DDN()})
    with pytest.raises(TypeError, match="EpsilonBisection"):
        inputopt.robustness_curve(small_net(), x, y, "l2", {"PGD": attacks.PGD("l2")})
    with pytest.raises(ValueError, match="at least one"):
        inputopt.robustness_curve(small_net(), x, y, "l2", {})


def linear_images():
    """Grey 2 x 2 images of two classes by their mean, one of them wrongly labelled, and the network."""
    x = torch.tensor([0.2, 0.4, 0.7, 0.9]).reshape(4, 1, 1, 1).expand(4, 1, 2, 2).clone()

    def by_mean(x):
        mean = x.flatten(1).mean(1)
        return torch.stack([0 * mean, 4 * (mean - 0.5)], 1)

    return by_mean, (x * 255).round() / 255, torch.tensor([0, 0, 1, 0])


def read_image(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_a_saved_curve_has_its_figures_its_plot_and_images_that_fool(tmp_path):
    net, x, y = linear_images()
    chosen = {"DDN": attacks.DDN(steps=30, levels=256), "few": attacks.MinimalNorm("l2", queries=40, levels=256)}
    curve = inputopt.robustness_curve(net, x, y, "l2", chosen)
    names = ["0/a.jpg", "0/b.jpg", "1/c.jpg", "0/d.jpg"]
    written = curve.save(tmp_path / "o", names)
    assert sorted(written) == sorted(path for path in (tmp_path / "o").rglob("*") if path.is_file())
    saved = json.loads((tmp_path / "o" / "curve.json").read_text(encoding="utf-8"))
    assert saved["distances"]["DDN"] == curve.distances["DDN"].tolist()
    assert saved["curve"]["accuracy"] == [1, 0.75, 0.5, 0.25, 0]
    assert saved["curve"]["distance"][:2] == [0, 0], "the last input is misclassified as it is"
    assert [row["attack"] for row in saved["attacks"]] == ["DDN", "few", "all attacks"]
    assert read_image(tmp_path / "o" / "curve.png").shape[1] > 300
    for attack in chosen:
        read = [read_image(tmp_path / "o" / attack / name.replace("jpg", "png")) for name in names]
        images = torch.from_numpy(np.stack(read))[:, None] / 255
        assert (net(images).argmax(1) != y).all()
        assert torch.equal(images, curve.results[attack].x)


def test_failures_are_null_in_the_file(tmp_path):
    def sure(x):
        return torch.stack([2 + 0 * x.flatten(1).sum(1), 0 * x.flatten(1).sum(1)], dim=1)

    with pytest.warns(InputoptWarning, match="Every gradient of this attack was zero"):
        curve = inputopt.robustness_curve(sure, torch.full((2, 4), 0.5), torch.tensor([0, 0]))
    curve.save(tmp_path)
    saved = json.loads((tmp_path / "curve.json").read_text(encoding="utf-8"))
    assert saved["distances"] == {"MinimalNorm": [None, None]}
    assert saved["attacks"][0]["median"] is None


@pytest.mark.parametrize("name", ["a/b", "..", "", "curve.png"])
def test_nothing_is_written_where_a_name_does_not_fit(name, tmp_path):
    net, x, y = linear_images()
    curve = inputopt.robustness_curve(net, x, y, "l2", {name: attacks.DDN(steps=2)})
    with pytest.raises(ValueError, match="cannot be saved in a folder of its name"):
        curve.save(tmp_path / "o")
    with pytest.raises(ValueError, match="names must hold 4 names"):
        curve.save(tmp_path / "o", ["one"])
    assert not (tmp_path / "o").exists()


def test_repaired_gradients_find_what_misleading_ones_hide():
    x, y = sample(20)
    attack = {"MinimalNorm": attacks.MinimalNorm("l2", queries=200)}
    plain = inputopt.robustness_curve(inputopt.load("digits-cnn"), x, y, "l2", attack, adapt=True)
    assert list(plain.results) == ["MinimalNorm"], "a sound network is searched once"
    rounded = DEFENCES["rounding"].make()
    with pytest.warns(InputoptWarning):
        own, both = (inputopt.robustness_curve(rounded, x, y, "l2", attack, adapt=adapt) for adapt in (False, True))
    assert own.accuracy(3.0) > 0.9
    assert both.accuracy(3.0) < 0.1
    found = both.results["MinimalNorm, repaired gradients"]
    assert found.made_by["settings"]["gradients"] == "repaired"
    moved = found.success & (found.distance > 0)
    with torch.no_grad():
        assert bool((rounded(found.x[moved]).argmax(1) != y[moved]).all())
    torch.testing.assert_close(found.distance[moved], (found.x - x).flatten(1).norm(dim=1)[moved])


def test_a_network_without_a_derivative_has_repaired_gradients_alone():
    x, y = sample(20)
    jpeg, attack = DEFENCES["jpeg"].make(), {"MinimalNorm": attacks.MinimalNorm("linf", queries=200)}
    with pytest.raises(ValueError, match="no gradient"):
        inputopt.robustness_curve(jpeg, x, y, "linf", attack)
    curve = inputopt.robustness_curve(jpeg, x, y, "linf", attack, adapt=True)
    assert list(curve.results) == ["MinimalNorm, repaired gradients"]
    assert bool((curve.lowest > 0.1).any()), "further than the ball in which repairs are compared"
    assert curve.accuracy(0.3) < 0.2
    with pytest.raises(ValueError, match="omit target"):
        inputopt.robustness_curve(jpeg, x, y, "linf", attack, target=3, adapt=True)


def test_curves_of_several_networks_share_a_figure_up_to_the_furthest_distance():
    x, y = known_inputs()
    attack = {"DDN": attacks.DDN(steps=20)}
    near, far = (inputopt.robustness_curve(net, x, y, "l2", attack) for net in (small_net(), small_net(seed=3)))
    figure = inputopt.compare_curves({"one": near, "other": far})
    axes = figure.axes[0]
    assert [line.get_label().split(" (")[0] for line in axes.lines] == ["one", "other"]
    furthest = max(near.furthest, far.furthest)
    assert axes.get_xlim()[1] == pytest.approx(1.05 * furthest)
    with pytest.raises(ValueError, match="in the same norm"):
        inputopt.compare_curves({})
    other = inputopt.robustness_curve(small_net(), x, y, "linf", {"FMN": attacks.FMN("linf", steps=5)})
    with pytest.raises(ValueError, match="l2, linf"):
        inputopt.compare_curves({"one": near, "other": other})


def test_inputs_without_finite_logits_count_as_misclassified():
    net, (x, y) = small_net(), known_inputs(count=9)
    lost = x.flatten(1)[:, 0] > x.flatten(1)[:, 0].median()

    def broken(z):
        return torch.where((z.flatten(1)[:, :1] > x.flatten(1)[:, 0].median()), torch.nan, net(z))

    with pytest.warns(inputopt.InputoptWarning, match=f"{int(lost.sum())} of 9 inputs are NaN or infinite"):
        curve = inputopt.robustness_curve(broken, x, y, "l2", {"DDN": attacks.DDN(steps=10)})
    assert bool((curve.lowest[lost] == 0).all())
    assert bool((curve.lowest[~lost] > 0).all())
    assert curve.accuracy(0) == curve.accuracy(0, "DDN") == float((~lost).double().mean())
    assert curve.rows()[0]["failed"] == int(torch.isinf(curve.distances["DDN"]).sum())
