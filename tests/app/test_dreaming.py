"""The searches of the Dream tab: layers, single channels, channel pictures, the dream and its code."""

import numpy as np
import pytest
import torch
from PIL import Image

import inputopt
from inputopt.app.dreaming import (
    MOST_SIDE,
    PHOTO_LAYERS,
    DreamSettings,
    channel_pictures,
    code,
    dream_network,
    layers_of,
    page_of,
    prepared_photo,
    run_dream,
)
from inputopt.app.loaded import Loaded, example_photo
from inputopt.pictures.picture import read_photo, to_image
from inputopt.zoo.digits import load_digits


def nothing(step):
    pass


def energies(network, layer, image):
    """Mean square of the positive activations of each channel of a layer on an image."""
    net = inputopt.Frozen(inputopt.load(network))
    with torch.no_grad():
        return net.features(read_photo(image, 1)[None], [layer])[layer][0].clamp_min(0).square().flatten(1).mean(1)


def test_the_offered_layers_are_those_of_the_network():
    assert tuple(layers_of(dream_network("efficientnet-lite0"), "efficientnet-lite0")) == PHOTO_LAYERS
    assert layers_of(dream_network("digits-cnn"), "digits-cnn") == {"conv1": 16, "conv2": 32}
    assert layers_of(dream_network("digits-mlp"), "digits-mlp")["layers.0"] == 128


def test_a_dream_of_a_channel_amplifies_this_channel():
    digit = to_image(load_digits().held_x[300])
    before, grown = energies("digits-cnn", "conv2", digit), {}
    for channel in (2, 9):
        settings = DreamSettings("digits-cnn", "conv2", channel, steps=30, step_size=0.01)
        picture = run_dream(dream_network("digits-cnn"), settings, digit, nothing)
        grown[channel] = energies("digits-cnn", "conv2", to_image(picture.x)) / before
    assert grown[2][2] > 2
    assert grown[9][9] > 2
    assert grown[2][2] > grown[9][2]
    assert grown[9][9] > grown[2][9]


def test_channel_pictures_are_one_a_channel():
    net = dream_network("digits-cnn")
    pictures = channel_pictures(net, "digits-cnn", "conv1", range(3), nothing)
    assert [picture.size for picture in pictures] == [(28, 28)] * 3
    assert len({picture.tobytes() for picture in pictures}) == 3


def test_pages_cover_every_channel_and_start_again():
    assert [channel for page in range(4) for channel in page_of(30, page)] == list(range(30))
    assert page_of(30, 4) == page_of(30, 0)


@pytest.mark.parametrize("channel", [None, 4])
def test_the_code_makes_the_dream_again(channel, tmp_path, monkeypatch):
    settings = DreamSettings("digits-cnn", "conv2", channel, steps=5, seed=3)
    photo = prepared_photo("digits-cnn", to_image(load_digits().held_x[300]))
    picture = run_dream(dream_network("digits-cnn"), settings, photo, nothing)
    photo.save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    exec(compile(code(settings), "shown code", "exec"), {})
    again = np.asarray(Image.open(tmp_path / "dream.png"))
    assert np.array_equal(again, np.asarray(to_image(picture.x, picture.bounds)))


def test_settings_out_of_range():
    with pytest.raises(ValueError, match="at most 8 octaves, not 9"):
        DreamSettings("digits-cnn", "conv2", octaves=9)
    with pytest.raises(ValueError, match="step size must be"):
        DreamSettings("digits-cnn", "conv2", step_size=0.0)


def test_photos_are_bounded():
    assert max(prepared_photo("efficientnet-lite0", Image.new("RGB", (3000, 200))).size) == MOST_SIDE
    assert example_photo().mode == "RGB"


def test_a_session_makes_each_thing_once_and_shares_nothing():
    loaded, made = Loaded(), []
    for _ in range(2):
        assert loaded.get("key", lambda: made.append(1) or "value") == "value"
    assert made == [1]
    assert loaded.__deepcopy__({}).known("key") is None
    assert loaded.next_digit().tobytes() != loaded.next_digit().tobytes()
