"""Results: what made them survives merging, and saved files hold what the result says."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from contracts import assert_same, digits, digits_net

import inputopt
from inputopt.attacks import DDN, PGD, EpsilonBisection, MultiTargeted
from inputopt.pictures.picture import read_photo
from inputopt.search.result import best_of, best_restart, concatenated, nearer, scatter
from inputopt.search.rows import take


def data(count=12):
    return digits().held_x[::40][:count], digits().held_y[::40][:count]


def attacked(**settings):
    return PGD(eps=0.1, steps=5, **settings)(digits_net(), *data(), seed=3)


def on_levels(x):
    return (x * 255).round() / 255


def test_a_result_records_what_made_it_as_json_values():
    made = attacked().made_by
    assert json.loads(json.dumps(made)) == made
    assert (made["made by"], made["norm"], made["seed"], made["bounds"]) == ("PGD", "linf", 3, [0.0, 1.0])
    assert (made["settings"]["eps"], made["settings"]["steps"], made["settings"]["mask"]) == (0.1, 5, None)
    x, y = data()
    several = PGD(eps=torch.linspace(0.1, 0.2, 12), transform=shifted)(digits_net(), x, y, target=(y + 1) % 10)
    assert several.made_by["settings"]["eps"] == pytest.approx(np.linspace(0.1, 0.2, 12).tolist())
    assert several.made_by["settings"]["transform"]["function"] == "shifted"
    assert several.made_by["settings"]["target"] is True
    large = DDN(steps=2, mask=torch.ones(12, 1, 28, 28, dtype=torch.bool))(digits_net(), x, y).made_by["settings"]
    assert large["mask"] == "torch.bool [12, 1, 28, 28]"
    nested = EpsilonBisection(PGD("l2", steps=2), rounds=1)(digits_net(), x[:2], y[:2]).made_by
    assert nested["norm"] == "l2"
    assert (nested["settings"]["attack"]["type"], nested["settings"]["attack"]["steps"]) == ("PGD", 2)
    assert MultiTargeted()(digits_net(), x[:2], y[:2]).made_by["settings"]["rounds"][0]["type"] == "Round"


def shifted(x, problem, draw):
    return x.roll(1, -1)


def test_fool_and_ascend_record_their_settings():
    fooled = inputopt.fool(inputopt.load("digits-mlp"), 3, (1, 28, 28), count=1, seed=5, steps=7).made_by
    assert (fooled["made by"], fooled["model"], fooled["seed"]) == ("fool", "digits-mlp", 5)
    assert (fooled["settings"]["target"], fooled["settings"]["steps"]) == (3, 7)
    assert inputopt.ascend(digits_net(), *data(), steps=9).made_by["settings"]["steps"] == 9


def test_merging_keeps_what_made_the_result():
    found = attacked()
    made = found.made_by
    other = replace(found, made_by={})
    rows = torch.tensor([4, 2])
    for merged in (
        take(found, rows),
        concatenated([found, other]),
        best_of(found, other, nearer),
        best_restart(found, 2, nearer),
        scatter(found, rows, take(other, rows), nearer),
    ):
        assert merged.made_by == made


def test_images_are_saved_under_the_names_of_the_inputs(tmp_path):
    x, y = data()
    x = on_levels(x)
    found = PGD(eps=32 / 255, steps=10, levels=256)(digits_net(), x, y)
    names = [f"{label}/photo{row}.jpg" for row, label in enumerate(y.tolist())]
    written = found.save(tmp_path / "out", names)
    expected = {tmp_path / "out" / name.replace(".jpg", ".png") for name in names} | {tmp_path / "out" / "result.json"}
    assert set(written) == expected == {path for path in (tmp_path / "out").rglob("*") if path.is_file()}
    again = torch.stack([read_photo(path, 1) for path in written[:-1]])
    assert_same(again, found.x, 1e-6)
    assert torch.equal(digits_net()(again).argmax(1), found.prediction), "with levels=256 a saved image still succeeds"
    report = json.loads(written[-1].read_text(encoding="utf-8"))
    assert report["made by"] == "PGD"
    assert report["succeeded"] == int(found.success.sum()) > 0
    assert report["median distance"] == pytest.approx(found.median_distance)
    assert report["versions"]["torch"] == torch.__version__
    rows = report["examples"]
    assert [row["file"] for row in rows] == [name.replace(".jpg", ".png") for name in names]
    assert [row["success"] for row in rows] == found.success.tolist()
    assert [row["prediction"] for row in rows] == found.prediction.tolist()
    assert [row["label"] for row in rows] == y.tolist()
    assert [row["distance"] for row in rows] == pytest.approx(found.distance.tolist())


def test_images_in_other_bounds_are_scaled(tmp_path):
    x, y = data(2)
    found = PGD(eps=25.0, steps=2)(inputopt.Frozen(digits_net(), (0, 255), std=255), 255 * x, y)
    path, _, _ = found.save(tmp_path)
    assert path.name == "00000.png"
    assert_same(read_photo(path, 1), found.x[0] / 255, 0.5 / 255 + 1e-6)


def test_other_inputs_become_an_archive(tmp_path):
    net = inputopt.MLP([3, 4, 3], "tanh", "identity")
    found = DDN(steps=3)(net, torch.rand(5, 3), torch.tensor([0, 1, 2, 0, 1]))
    written = found.save(tmp_path, ["a", "b", "c", "d", "e"])
    assert [path.name for path in written] == ["x.npz", "result.json"]
    with np.load(written[0]) as held:
        assert_same(torch.from_numpy(held["x"]), found.x)
        assert held["success"].tolist() == found.success.tolist()
    rows = json.loads(written[1].read_text(encoding="utf-8"))["examples"]
    assert [row["name"] for row in rows] == ["a", "b", "c", "d", "e"]


def test_a_failure_at_infinite_distance_is_saved_without_a_number(tmp_path):
    found = attacked()
    failed = replace(found, distance=torch.full_like(found.distance, torch.inf), success=~found.success & False)
    report = json.loads(failed.save(tmp_path)[-1].read_text(encoding="utf-8"))
    assert {row["distance"] for row in report["examples"]} == {None}
    assert report["median distance"] is None


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a"], "12 names"),
        (["a.png", "a.jpg", *"bcdefghijk"], "'a' twice"),
        (["../a", *"bcdefghijkl"], "inside the folder"),
        (["/a", *"bcdefghijkl"], "inside the folder"),
    ],
)
def test_wrong_names_are_refused_before_anything_is_written(names, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        attacked().save(tmp_path / "out", names)
    assert not (tmp_path / "out").exists()
