"""A single image file as data."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from verb_parsers import command_runner

import inputopt
from inputopt.cli.main import main
from inputopt.zoo.digits import load_digits


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """A held-out 7 as seven.png in the working folder, and a function that runs commands there."""
    monkeypatch.chdir(tmp_path)
    digits = load_digits()
    seven = digits.held_x[int((digits.held_y == 7).nonzero()[0])]
    Image.fromarray((255 * seven[0]).round().byte().numpy()).save("seven.png")
    return command_runner(capsys)


def test_saliency_of_one_image_needs_no_label(run):
    printed = run("saliency", "digits-cnn", "seven.png", "--method", "gradient", "--target", 2)
    assert printed.startswith("the image seven.png\n")
    with np.load("out/saliency.npz") as held:
        found = torch.from_numpy(held["attributions"])
    x = inputopt.read_photo("seven.png")[None]
    assert torch.equal(found, inputopt.saliency(inputopt.load("digits-cnn"), x, [2], "gradient"))
    assert Path("out/saliency.png").exists()


def test_the_target_of_saliency_may_be_a_name(run, capsys):
    Image.fromarray(np.full((40, 30, 3), 200, dtype=np.uint8)).save("photo.jpg")
    values = json.loads(
        run("saliency", "efficientnet-lite0", "photo.jpg", "--method", "gradient", "--target", "daisy", "--json")
    )
    assert values["classes"] == [985]
    assert main(["saliency", "digits-mlp", "seven.png", "--target", "daisy"]) == 2
    assert "Unknown class 'daisy'; choose one of 0" in capsys.readouterr().err


def test_saliency_scales_one_image(run):
    Image.fromarray(np.full((40, 30, 3), 200, dtype=np.uint8)).save("photo.jpg")
    values = json.loads(run("saliency", "digits-cnn", "photo.jpg", "--resize", 28, "--json"))
    assert (values["inputs"], values["resize"], "classes" in values["classes"]) == (1, [28, 28], False)
    assert main(["saliency", "digits-mlp", "photo.jpg"]) == 2


@pytest.mark.parametrize("verb", ["attack", "nearest", "certify", "ascend"])
def test_one_image_is_of_the_class_that_is_given_or_predicted(verb, run, capsys):
    extra = ["--queries", "30"] if verb == "nearest" else []
    for given in ([], ["--label", "7"]):
        assert main([verb, "digits-mlp", "seven.png", *given, "--json", *extra]) == 0
        values = json.loads(capsys.readouterr().out)
        assert values["classes"] == {"7": 1}
    if verb == "certify":
        assert "taken for the predicted class 7 (--label gives another)" in run(verb, "digits-mlp", "seven.png")


@pytest.mark.parametrize("verb", ["evaluate", "spurious"])
def test_accuracies_need_the_class_of_an_image(verb, capsys):
    assert main([verb, "digits-mlp", "seven.png"]) == 2
    assert "give it with --label" in capsys.readouterr().err


def test_a_label_is_only_for_one_image(run, capsys):
    for line, words in (
        ("digits --label 7", "--label is the class of a single image, which digits is not"),
        ("gone.png --label 7", "There is no file gone.png"),
        ("seven.png --label 12", "0..9"),
    ):
        assert main(["attack", "digits-mlp", *line.split()]) == 2
        assert words in capsys.readouterr().err
