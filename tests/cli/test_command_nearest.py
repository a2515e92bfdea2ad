"""`inputopt nearest`: searches from a starting image, and the inputs that need no search."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

import inputopt
from inputopt.cli.data.data_arguments import find_data
from inputopt.cli.main import main
from inputopt.pictures.picture import to_image
from inputopt.zoo.digits import load_digits


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A fresh working directory with an eight, and a photo of another size."""
    monkeypatch.chdir(tmp_path)
    digits = load_digits()
    to_image(digits.held_x[int((digits.held_y == 8).nonzero()[0])]).save("eight.png")
    Image.new("L", (30, 20)).save("wide.png")
    Image.new("L", (28, 28)).save("black.png")


LINE = "nearest digits-cnn digits --count 6 --attack hopskipjump --queries 200 --target 8 --out o"


def test_a_decision_based_search_starts_at_an_image_of_the_target_class(capsys):
    assert main([*LINE.split(), "--start", "eight.png", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["attacks"][0]["failed"] == 0
    rows = json.loads(Path("o/nearest/result.json").read_text(encoding="utf-8"))["examples"]
    assert [row["prediction"] for row in rows] == [8] * values["inputs"]
    net = inputopt.Frozen(inputopt.load("digits-cnn"))
    start = load_digits().held_x[800]
    data = find_data("digits", 6)
    kept = data.y != 8
    x, y = data.inputs(net)[kept], data.y[kept]
    attack = inputopt.attacks.HopSkipJump(queries=200, levels=256)
    found = attack(net, x, y, 8, start=start.expand_as(x))
    assert [row["distance"] for row in rows] == pytest.approx(found.distance.tolist(), rel=1e-3)
    curve = inputopt.robustness_curve(net, x, y, attacks={"a": attack}, target=8, start=start.expand_as(x))
    assert torch.equal(curve.lowest, found.distance)


@pytest.mark.filterwarnings("always::inputopt.InputoptWarning")
def test_a_start_that_is_not_of_the_target_class_is_said_to_be_unused(capsys):
    assert main([*LINE.split(), "--start", "black.png"]) == 0
    said = capsys.readouterr().err
    assert "warning: 5 of 5 starting points are not classified as the target, so the search begins elsewhere" in said
    assert "give images of the target class as start" in said


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ("wide.png", "The model does not accept images of 1 x 20 x 30"),
        ("gone.png", "There is no file gone.png"),
        ("eight.txt", "There is no file eight.txt"),
    ],
)
def test_a_wrong_start_is_refused_in_a_sentence(start, said, capsys):
    assert main([*LINE.split(), "--start", start]) == 2
    assert said in capsys.readouterr().err


def test_inputs_that_are_misclassified_as_they_are_are_named(capsys):
    assert main(["nearest", "digits-mlp", "digits", "--count", "30", "--queries", "20", "--out", "o"]) == 0
    said = capsys.readouterr().out
    data = find_data("digits", 30)
    net = inputopt.Frozen(inputopt.load("digits-mlp"))
    wrong = data.names_at(net(data.inputs(net)).argmax(1) != data.y)
    assert 0 < len(wrong) <= 4
    assert f"\nat distance 0, as they are: {', '.join(wrong)}\n" in said
