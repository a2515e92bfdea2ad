"""A picture says how it was made, in plain values, and is made again to the byte."""

import json

import pytest
import torch
from PIL import Image, PngImagePlugin

import inputopt
from inputopt.files import FileError
from inputopt.pictures.picture import Picture
from inputopt.pictures.provenance import MAKERS, read_recipe
from inputopt.pictures.reproduction import make_again


@pytest.fixture
def photo(tmp_path):
    Image.effect_mandelbrot((28, 28), (-2, -1, 1, 1), 20).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def dreamt(tmp_path, photo):
    net = inputopt.load("digits-mlp")
    picture = inputopt.dream(net, photo, ["layers.0"], octaves=1, steps=3, jitter=2, seed=9)
    picture.save(tmp_path / "dream.png")
    return tmp_path / "dream.png"


def test_a_recipe_holds_every_setting(dreamt, photo):
    recipe = read_recipe(dreamt)
    settings = recipe["settings"]
    assert recipe["made by"] == "dream"
    assert (recipe["model"]["name"], recipe["model"]["bounds"]) == ("digits-mlp", [0, 1])
    assert (settings["layers"], settings["steps"], settings["seed"]) == (["layers.0"], 3, 9)
    assert settings["photo"]["file"] == str(photo)
    assert settings["octave_scale"] == 1.4, "a default is written down too"
    assert "watch" not in settings
    assert recipe["versions"]["torch"] == torch.__version__


def test_the_same_bytes_again(dreamt, tmp_path):
    make_again(read_recipe(dreamt), inputopt.load).save(tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == dreamt.read_bytes()


def test_a_frozen_network_is_frozen_alike(tmp_path, photo):
    net = inputopt.Frozen(inputopt.load("digits-mlp"), bounds=(-1, 2), mean=0.5, std=2)
    picture = inputopt.dream(net, photo, ["layers.0"], octaves=1, steps=2)
    picture.save(tmp_path / "a.png")
    again = make_again(read_recipe(tmp_path / "a.png"), inputopt.load)
    assert torch.equal(again.x, picture.x)
    assert again.bounds == (-1, 2)


def test_a_photo_that_moved_may_be_given(dreamt, photo, tmp_path):
    recipe = read_recipe(dreamt)
    with pytest.raises(ValueError, match="Unknown setting of dream 'foto'; did you mean 'photo'"):
        make_again(recipe, inputopt.load, {"foto": photo})
    moved = photo.rename(tmp_path / "moved.png")
    with pytest.raises(FileError, match=r"photo\.png, which the image was made from, is missing"):
        make_again(recipe, inputopt.load)
    make_again(recipe, inputopt.load, {"photo": moved}).save(tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == dreamt.read_bytes()


def test_what_cannot_be_made_again_says_why(dreamt, photo):
    recipe = read_recipe(dreamt)
    with pytest.raises(ValueError, match="other weights"):
        make_again(recipe, lambda name: inputopt.load("digits-cnn"))
    with pytest.raises(ValueError, match="unnamed network"):
        make_again(recipe | {"model": recipe["model"] | {"name": None}}, inputopt.load)
    with pytest.raises(ValueError, match="interrupted"):
        make_again(recipe | {"interrupted": True}, inputopt.load)
    with pytest.raises(ValueError, match="did you mean 'dream'"):
        make_again(recipe | {"made by": "dram"}, inputopt.load)
    with pytest.raises(ValueError, match="Unknown setting"):
        make_again(recipe | {"settings": {"watch": 1}}, inputopt.load)
    photo.write_bytes(photo.read_bytes() + b"x")
    with pytest.raises(FileError, match="has changed"):
        make_again(recipe, inputopt.load)


def test_numbers_need_a_file(photo):
    picture = inputopt.dream(inputopt.load("digits-mlp"), torch.rand(1, 28, 28), ["layers.0"], octaves=1, steps=1)
    with pytest.raises(FileError, match="made from a tensor or array"):
        make_again(picture.recipe, inputopt.load)


@pytest.mark.parametrize("text", [None, "{", "[]", '{"made by": "dream"}'])
def test_files_without_a_recipe(tmp_path, text):
    held = PngImagePlugin.PngInfo()
    if text is not None:
        held.add_itxt("inputopt", text)
    Image.new("L", (2, 2)).save(tmp_path / "a.png", pnginfo=held)
    with pytest.raises(FileError, match="recipe"):
        read_recipe(tmp_path / "a.png")


def test_a_network_changed_after_loading_is_noticed(photo):
    net = inputopt.load("digits-mlp")
    net.weights[0].data[0, 0] += 1
    picture = inputopt.dream(net, photo, ["layers.0"], octaves=1, steps=1)
    with pytest.raises(ValueError, match="other weights"):
        make_again(picture.recipe, inputopt.load)


def test_every_picture_function_can_be_repeated():
    # whatever is public and returns a picture stands in the registry, and its recipes are plain
    import inspect

    public = {name: getattr(inputopt, name) for name in inputopt.__all__}
    makers = {
        name
        for name, value in public.items()
        if inspect.isfunction(value) and inspect.signature(value).return_annotation in ("Picture", Picture)
    }
    assert makers
    assert makers - {"repeat"} <= set(MAKERS)  # it runs one of the others
    assert json.loads(json.dumps(inputopt.Frozen(inputopt.MLP([2, 2])).described()))["name"] is None
