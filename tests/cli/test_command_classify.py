"""`inputopt classify`, the classes of `inputopt models`, and attacks that go on until the network is confident."""

import json
import re
from pathlib import Path

import pytest
import torch
from photos import photo
from PIL import Image

from inputopt.cli.main import main
from inputopt.nets.class_names import class_names
from inputopt.pictures.picture import read_photo
from inputopt.zoo.digits import load_digits
from inputopt.zoo.library import load


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A fresh working directory with a photo of a cat and a digit seven."""
    monkeypatch.chdir(tmp_path)
    with Image.open(photo("chelsea.png")) as image:
        image.convert("RGB").save("cat.png")
    digits = load_digits()
    seven = digits.held_x[int((digits.held_y == 7).nonzero()[0])]
    Image.fromarray((seven[0] * 255).round().to(torch.uint8).numpy()).save("seven.png")


def values_of(capsys, line):
    assert main([*line.split(), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_an_images_most_probable_classes_are_those_of_the_softmax(capsys):
    values = values_of(capsys, "classify digits-cnn seven.png --top 3")
    shares = load("digits-cnn")(read_photo("seven.png", 1)[None]).softmax(1)[0]
    (found,) = values["predictions"]
    assert found["input"] == "seven"
    assert [each["class"] for each in found["classes"]] == shares.topk(3).indices.tolist()
    assert [each["probability"] for each in found["classes"]] == pytest.approx(shares.topk(3).values.tolist(), 1e-4)
    assert "accuracy" not in values


def test_the_accuracy_is_that_of_labelled_data(capsys):
    values = values_of(capsys, "classify digits-mlp digits --count 50 --top 20")
    correct = [each["classes"][0]["class"] == int(each["input"][0]) for each in values["predictions"]]
    assert values["accuracy"] == sum(correct) / 50 < 1
    assert all(len(each["classes"]) == 10 for each in values["predictions"])
    assert values_of(capsys, "classify digits-mlp seven.png --label 3")["accuracy"] == 0


def test_a_photo_of_another_size_than_that_of_training_is_said_to_be(capsys):
    assert main(["classify", "efficientnet-lite0", "cat.png"]) == 0
    assert "trained on images of 224 x 224" in capsys.readouterr().out
    assert main(["classify", "efficientnet-lite0", "cat.png", "--resize", "224"]) == 0
    said = capsys.readouterr().out
    assert "trained on" not in said
    assert "Egyptian Mau" in said or "tabby cat" in said


def test_models_lists_the_classes_of_a_network(capsys):
    assert len(values_of(capsys, "models efficientnet-lite0")["classes"]) == 1000
    cats = values_of(capsys, "models efficientnet-lite0 --find cats")["classes"]
    assert [each["class"] for each in cats] == [281, 282, 283, 284, 285]
    assert [each["name"] for each in cats] == [class_names()[index] for index in range(281, 286)]
    jelly = values_of(capsys, "models efficientnet-lite0 --find jelly")["classes"]
    assert [each["name"] for each in jelly] == ["jellyfish"]  # no word of its own, so a part of one
    assert [each["name"] for each in values_of(capsys, "models digits-cnn")["classes"]] == [*"0123456789"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("models --find cat", "name the network first"),
        ("models digits-cnn --find cat", "has no class that 'cat' may mean"),
        ("models digits-cn", "did you mean 'digits-cnn'"),
        ("classify digits-cnn gone.png", "There is no file gone.png"),
        ("classify digits-cnn --top 0", "--top must be a whole number of at least 1"),
        ("attack digits-cnn --confidence 1", "--confidence must be a probability between 0 and 1"),
    ],
)
def test_wrong_lines_are_refused_in_a_sentence(line, said, capsys):
    assert main(line.split()) == 2
    assert said in capsys.readouterr().err


SERVICE = """
import inputopt

net = inputopt.load("digits-mlp")


def service():
    return inputopt.attacks.Decisions(lambda x: net(x).argmax(1), 10)
"""


def test_a_network_that_returns_only_classes_has_no_probabilities(capsys, tmp_path, monkeypatch):
    (tmp_path / "deciding.py").write_text(SERVICE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    (found,) = values_of(capsys, "classify deciding:service seven.png")["predictions"]
    assert found["classes"] == [{"class": 7, "name": "7", "probability": None}]
    assert main(["classify", "deciding:service", "digits", "--count", "3"]) == 0
    assert re.search(r"^0/\d+ +0 +0$", capsys.readouterr().out, re.MULTILINE)
    line = "evaluate deciding:service digits --count 8 --preset quick --norm l0 --report r.html"
    assert main(line.split()) == 0
    assert "<h1>deciding:service</h1>" in Path("r.html").read_text(encoding="utf-8")
    line = "attack deciding:service seven.png --label 7 --attack square --confidence 0.5"
    assert main(line.split()) == 2
    assert "the network returns only classes" in capsys.readouterr().err


@pytest.mark.parametrize("target", [None, 3])
def test_an_attack_goes_on_until_the_network_is_confident(target, capsys):
    line = "attack digits-mlp digits --count 8 --eps 0.1" + ("" if target is None else f" --target {target}")
    sure, first = values_of(capsys, f"{line} --confidence 0.99"), values_of(capsys, line)
    assert sure["forwards"] > first["forwards"]

    def fooled(values, least):
        after = [(int(each["input"][0]), each["after"][0]) for each in values["predictions"]]
        wrong = [top for label, top in after if (top["class"] != label if target is None else top["class"] == target)]
        return sum(top["probability"] >= least for top in wrong)

    assert fooled(sure, 0.99) == sure["fooled"] > fooled(first, 0.99)


def test_an_image_that_already_has_the_confidence_is_not_counted_as_fooled(capsys):
    values = values_of(capsys, "attack digits-cnn seven.png --label 3 --confidence 0.5")
    assert (values["of_that_confidence_before"], values["fooled"], values["success"]) == (1, 0, None)
    assert values["predictions"][0]["before"] == values["predictions"][0]["after"]
