"""Class names of ImageNet: found by name, number or word, and refused for networks with other classes."""

import re

import numpy as np
import pytest
import torch

from inputopt.nets.class_groups import GROUPS
from inputopt.nets.class_names import by_name, class_index, class_name, class_names, of_imagenet


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


def test_names_among_classes_become_numbers():
    assert by_name("daisy") == (985, "daisy")
    assert by_name(["lion", 985, "Espresso"]) == ([291, 985, 967], "lion")
    assert by_name(3) == (3, None)
    assert by_name(np.array([3, 4]))[1] is None
    with pytest.raises(ValueError, match="'daisy'"):
        by_name([3, "daysy"])


def test_names_are_only_those_of_networks_with_as_many_classes():
    logits = torch.zeros(2, 1000)
    assert of_imagenet(logits, "daisy") is logits
    assert of_imagenet(logits[:, :10], None).shape == (2, 10)
    with pytest.raises(ValueError, match="'daisy' is one of ImageNet's, but the network has 10 classes"):
        of_imagenet(logits[:, :10], "daisy")
