"""The shape of a picture where it is not given, and pictures that start from another picture."""

import pytest
import torch
from contracts import digits
from torch import nn

import inputopt
from inputopt.pictures.canvas_choice import CANVASES
from inputopt.pictures.picture_shape import picture_shape


def any_size(channels):
    return nn.Sequential(nn.Conv2d(channels, 4, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))


def fixed(channels, side):
    return nn.Sequential(nn.Conv2d(channels, 2, 3, 2), nn.Flatten(), nn.Linear(2 * ((side - 1) // 2) ** 2, 3))


def of_pixels(inputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, 3))


@pytest.mark.parametrize(
    ("net", "given", "shape"),
    [
        (any_size(3), {}, (3, 224, 224)),
        (any_size(1), {}, (1, 224, 224)),
        (any_size(1), {"side": 96}, (1, 96, 96)),
        (any_size(3), {"size": (20, 30)}, (3, 20, 30)),
        (any_size(3), {"size": 20, "colours": 1}, (1, 20, 20)),
        (fixed(3, 32), {}, (3, 32, 32)),
        (fixed(1, 48), {}, (1, 48, 48)),
        (of_pixels(784), {}, (1, 28, 28)),
        (of_pixels(3 * 32 * 32), {}, (3, 32, 32)),
        (of_pixels(3 * 8 * 10), {"size": (8, 10)}, (3, 8, 10)),
        (of_pixels(81), {"colours": 1}, (1, 9, 9)),
    ],
)
def test_what_is_not_given_follows_from_the_network(net, given, shape):
    assert picture_shape(inputopt.Frozen(net), **given) == shape


def test_a_picture_of_digits_needs_no_size():
    for name in ("digits-mlp", "digits-cnn"):
        net = inputopt.load(name)
        made = inputopt.visualize(net, inputopt.Class(3), steps=2)
        assert torch.equal(made.x, inputopt.visualize(net, inputopt.Class(3), 28, 2, colours=1).x)
        assert (made.recipe["settings"]["size"], made.recipe["settings"]["colours"]) == (28, 1)


@pytest.mark.parametrize("canvas", CANVASES)
def test_a_search_starts_from_the_given_picture(canvas):
    net, x, seen = inputopt.load("digits-cnn"), digits().held_x[0], []
    settings = {"canvas": canvas, "augment": 0, "restarts": 1}
    inputopt.visualize(net, inputopt.Class(3), steps=1, init=x, **settings, watch=seen.append)
    noise = []
    inputopt.visualize(net, inputopt.Class(3), steps=1, **settings, watch=noise.append)
    distance, of_noise = (float((each[0].x[0] - x).norm()) for each in (seen, noise))
    limit = {"pixels": 0.001, "fourier": 0.01, "cppn": 0.1}.get(canvas, 0.7)
    assert distance < limit * of_noise


def test_a_picture_made_on_the_default_canvas_is_continued_as_it_is():
    net, seen = inputopt.load("digits-cnn"), []
    old = inputopt.visualize(net, inputopt.Class(3), steps=8)
    inputopt.visualize(net, inputopt.Class(8), steps=1, augment=0, init=old.x, watch=seen.append)
    assert float((seen[0].x[0] - old.x).abs().max()) < 0.02


def test_the_start_is_scaled_and_recorded(tmp_path):
    net, seen = inputopt.Frozen(any_size(3)), []
    photo = torch.zeros(3, 20, 30)
    photo[:, :, 15:] = 1.0
    inputopt.Picture(photo).save(tmp_path / "photo.png")
    settings = {"init": tmp_path / "photo.png", "steps": 1, "canvas": "pixels", "augment": 0, "restarts": 1}
    made = inputopt.visualize(net, inputopt.Class(1), **settings)
    assert made.x.shape == (3, 20, 30)
    assert made.recipe["settings"]["init"]["file"] == str(tmp_path / "photo.png")
    inputopt.visualize(net, inputopt.Class(1), (10, 8), **settings, watch=seen.append)
    assert seen[0].x.shape == (1, 3, 10, 8)
    assert float(seen[0].x[..., :3].max()) < 1e-6
    assert float(seen[0].x[..., 5:].min()) > 1 - 1e-6


def test_a_start_with_other_channels_is_refused():
    with pytest.raises(ValueError, match="init must have 3 channels"):
        inputopt.visualize(any_size(3), inputopt.Class(1), colours=3, init=torch.zeros(2, 8, 8))
