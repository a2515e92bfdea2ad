"""Class names of ImageNet: found by name, number or word, and refused for networks with other classes."""

import copy
import re

import numpy as np
import pytest
import torch
from torch import nn

import inputopt
from inputopt.attacks import DDN, PGD
from inputopt.cli.main import main
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


def imagenet_shaped():
    """A linear network with 1,000 outputs on inputs [B, 3], without other classes than ImageNet's number of them."""
    weight = torch.sin(torch.arange(3000.0)).reshape(1000, 3)
    return lambda x: x @ weight.T


def test_targets_may_be_names():
    x, attack = torch.rand(4, 3, generator=torch.Generator().manual_seed(0)), PGD("l2", eps=0.5, steps=3)
    by_number = attack(imagenet_shaped(), x, target=[985, 291, 985, 291])
    named = attack(imagenet_shaped(), x, target=["daisy", "Lion", 985, 291])
    assert torch.equal(named.x, by_number.x)
    assert torch.equal(attack(imagenet_shaped(), x, target="daisy").x, attack(imagenet_shaped(), x, target=985).x)
    made = inputopt.fool(imagenet_shaped(), "daisy", (3,), 2, steps=3, confidence=0.5)
    assert torch.equal(made.x, inputopt.fool(imagenet_shaped(), 985, (3,), 2, steps=3, confidence=0.5).x)
    assert made.made_by["settings"]["target"] == 985


@pytest.mark.parametrize(
    "call",
    [
        lambda net, target: PGD(steps=1)(net, torch.full((2, 784), 0.5), target=target),
        lambda net, target: DDN(steps=1)(net, torch.full((2, 784), 0.5), target=target),
        lambda net, target: inputopt.fool(net, target, (784,), 2, steps=1),
    ],
)
def test_a_target_is_refused_by_name_where_the_names_are_not_known_or_wrong(call):
    net = inputopt.MLP([784, 10])
    with pytest.raises(ValueError, match="names of the network's 10 classes are not known; give the number of a class"):
        call(net, "daisy")
    with pytest.raises(TypeError, match="target"):
        call(net, "3")
    named = inputopt.Frozen(net, class_names=["cat", "dog", *"cdefghij"])
    with pytest.raises(ValueError, match="did you mean 'dog'"):
        call(named, "dogg")
    assert call(named, "Dog").label.tolist() == call(named, 1).label.tolist()


def test_digits_are_named_by_numbers_and_words():
    net = inputopt.load("digits-mlp")
    by_word, by_number = (inputopt.fool(net, each, (1, 28, 28), 1, steps=2).x for each in ("three", 3))
    assert torch.equal(by_word, by_number)
    with pytest.raises(ValueError, match="Unknown class 'sloth'; choose one of 0, 1, 2"):
        inputopt.fool(net, "sloth", (1, 28, 28), 1)
    with pytest.raises(ValueError, match=r"^target must lie in 0..9, not 12.$"):
        inputopt.fool(net, 12, (1, 28, 28), 1)


def test_class_names_are_kept_with_a_network(tmp_path):
    net = inputopt.MLP([2, 2])
    inputopt.save(net, tmp_path / "plain.safetensors")
    assert inputopt.Frozen(inputopt.load(tmp_path / "plain.safetensors")).facts.class_names is None
    inputopt.save(net, tmp_path / "named.safetensors", class_names=["ant", "bee"])
    back = inputopt.load(tmp_path / "named.safetensors")
    assert inputopt.Frozen(back).facts.class_names == ("ant", "bee")
    assert copy.deepcopy(inputopt.Frozen(back)).facts.class_names == ("ant", "bee")
    assert inputopt.Frozen(back, class_names=("cat", "dog")).facts.class_names == ("cat", "dog")
    inputopt.save(nn.Linear(2, 2), tmp_path / "other.safetensors", class_names=["ant", "bee"])
    with pytest.raises(inputopt.FileError, match="contains no network architecture"):
        inputopt.load(tmp_path / "other.safetensors")
    filled = inputopt.load(tmp_path / "other.safetensors", into=nn.Linear(2, 2))
    assert inputopt.Frozen(filled).facts.class_names == ("ant", "bee")
    with pytest.raises(TypeError, match="class_names must be a list of names"):
        inputopt.Frozen(back, class_names="ab")


@pytest.mark.parametrize("verb", ["fool digits-mlp", "attack digits-mlp digits --count 10"])
@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("daisy", "Unknown class 'daisy'; choose one of 0, 1, 2"),
        ("-1", "must be a name or a whole number of at least 0, not '-1'"),
        ("2.5", "must be a name or a whole number of at least 0, not '2.5'"),
    ],
)
def test_the_command_line_takes_names_of_targets(verb, target, told, tmp_path, capsys):
    assert main([*verb.split(), f"--target={target}", "--out", str(tmp_path / "o")]) == 2
    told_on_stderr = capsys.readouterr().err
    assert told in told_on_stderr
    assert told_on_stderr.count("\n") == 1
    assert not (tmp_path / "o").exists()
