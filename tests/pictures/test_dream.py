"""Dreams of photos: guides, masks, weights, tiles, and whatever file a photo comes in."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from contracts import assert_same
from photos import frozen_lite0, photo, pixels
from PIL import Image
from torch import nn

import inputopt
from inputopt import images
from inputopt.files import FileError
from inputopt.pictures import picture as picture_module
from inputopt.pictures.dream import intermediate_dream
from inputopt.pictures.dream_settings import ON_PHOTOS, ON_TINY, TINY
from inputopt.pictures.picture import read_photo, to_image
from inputopt.search.objectives.layer_energy import channel_energy


def eye(channels=3):
    """A small convolutional network that takes any size and sees 5 pixels far."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(channels, 6, 3, padding=1), nn.Tanh(), nn.Conv2d(6, 4, 3, padding=1), nn.Tanh())


def image(height=24, width=20, channels=3, seed=4):
    return torch.rand(channels, height, width, generator=torch.Generator().manual_seed(seed))


def seen(x, layer):
    with torch.no_grad():
        return frozen_lite0().features(x[None], [layer])[layer]


# ------------------------------------------------------------------------------------------------------- what is dreamt
def test_a_real_network_sees_more_of_what_it_sees():
    start = pixels("china.jpg", 64, 96)[0]
    found = inputopt.dream(frozen_lite0(), start, ["blocks.5"], octaves=2, steps=4)
    assert found.x.shape == start.shape
    assert float(seen(found.x, "blocks.5").square().mean()) > 1.5 * float(seen(start, "blocks.5").square().mean())


def test_weights_choose_between_layers():
    start = image()
    one, other, both, mixed = (
        inputopt.dream(eye(), start, layers, octaves=1, steps=3, jitter=0).x
        for layers in (["1"], ["3"], {"1": 1.0, "3": 0.0}, {"1": 1.0, "3": 1.0})
    )
    assert_same(both, one)
    assert not torch.equal(one, other)
    assert_same(mixed, inputopt.dream(eye(), start, ["1", "3"], octaves=1, steps=3, jitter=0).x)


def test_a_guide_leads_to_what_it_shows():
    start, guide = image(), torch.zeros(3, 12, 12)
    guide[0] = 1.0
    net = inputopt.Frozen(eye())

    def match(x):
        f, g = (net.features(each[None], ["1"])["1"].flatten(2)[0].T for each in (x, guide))
        return float((f @ g.T).amax(1).mean())

    guided, free = (
        inputopt.dream(net, start, ["1"], octaves=1, steps=6, guide=each, jitter=0) for each in (guide, None)
    )
    assert match(guided.x) > match(start)
    assert match(guided.x) > match(free.x)


def test_a_mask_leaves_the_rest_alone():
    start = image()
    mask = torch.zeros(1, 24, 20)
    mask[:, :, 10:] = 1
    found = inputopt.dream(eye(), start, ["3"], octaves=2, steps=3, mask=mask)
    assert_same(found.x[:, :, :10], start[:, :, :10])
    assert float((found.x[:, :, 10:] - start[:, :, 10:]).abs().mean()) > 0.01
    with pytest.raises(ValueError, match="as large as the photo, 24 x 20, not 3 x 20"):
        inputopt.dream(eye(), start, ["3"], mask=mask[:, :3])


def test_smoothing_takes_the_dots_out():
    def roughness(x):
        return float((x[:, 1:, 1:] - x[:, :-1, 1:] - x[:, 1:, :-1] + x[:, :-1, :-1]).abs().mean())

    start = torch.full((3, 32, 32), 0.5) + 0.05 * (image(32, 32) - 0.5)
    rough, even = (inputopt.dream(eye(), start, ["3"], octaves=1, steps=5, smoothing=sigma).x for sigma in (0.0, 1.5))
    assert roughness(even - start) < 0.5 * roughness(rough - start)


# ---------------------------------------------------------------------------------------------------------------- sizes
@pytest.mark.parametrize("size", [(1, 1), (5, 40), (33, 32)])
def test_any_size_comes_back_as_it_was(size):
    found = inputopt.dream(frozen_lite0(), image(*size), ["blocks.1"], octaves=2, steps=1)
    assert found.x.shape == (3, *size)
    assert bool(torch.isfinite(found.x).all())


def test_a_large_photo_is_dreamt_of_in_tiles():
    start = image(50, 60)
    first, again, other, whole = (
        inputopt.dream(eye(), start, ["3"], octaves=2, steps=3, tile=tile, seed=seed, jitter=0)
        for tile, seed in ((32, 0), (32, 0), (32, 1), (60, 0))
    )
    assert_same(first.x, again.x)
    assert not torch.equal(first.x, other.x)
    net = inputopt.Frozen(eye())
    energies = [float(net.features(x[None], ["3"])["3"].square().mean()) for x in (start, first.x, whole.x)]
    assert energies[1] > energies[0]
    assert energies[1] == pytest.approx(energies[2], rel=0.03), "tiles do not cost much"


def test_the_picture_so_far_has_the_photos_size():
    shown = []
    found = inputopt.dream(eye(), image(), ["3"], octaves=2, steps=2, watch=shown.append)
    net = inputopt.Frozen(eye())
    assert intermediate_dream(net, image(), shown[0].x).x.shape == (3, 24, 20)
    assert_same(intermediate_dream(net, image(), shown[0].x).x, image(), 1e-6)  # nothing is dreamt yet
    assert_same(intermediate_dream(net, image(), shown[-1].x).x, found.x, 1e-6)


@pytest.mark.parametrize("tile", [None, 32])
def test_the_network_is_asked_once_a_step_and_never_about_what_came_of_the_last(tile):
    net, asked = inputopt.Frozen(eye()), []
    inputopt.dream(
        net, image(40, 33), ["3"], octaves=2, steps=3, tile=tile, watch=lambda seen: asked.append(net.forwards)
    )
    assert asked[2] == asked[3]
    assert asked[6] == asked[7] == net.forwards
    assert tile is not None or asked == [1, 2, 3, 3, 4, 5, 6, 6]
    assert net.backwards == net.forwards


# ---------------------------------------------------------------------------------------------------------- photos in
LEVELS = np.random.default_rng(0).integers(0, 256, (18, 22, 4), dtype=np.uint8)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "CMYK", "P", "1", "I;16"])
def test_photos_of_every_kind(tmp_path, mode):
    path = tmp_path / "photo.tif"
    if mode == "I;16":
        Image.fromarray(LEVELS[..., 0].astype(np.uint16) * 257).save(path)
    else:
        Image.fromarray(LEVELS[..., :3].copy()).convert(mode).save(path)
    found = inputopt.dream(eye(), path, ["3"], octaves=1, steps=1, step_size=1e-9)
    assert found.x.shape == (3, 18, 22)  # grey ones are coloured for a network of colours
    with Image.open(path) as opened:
        shown = read_photo(opened.convert("L") if mode == "LA" else opened, 3)
    assert_same(found.x, shown, 1e-5)


def test_a_photo_is_turned_as_its_camera_says(tmp_path):
    upright = Image.fromarray(LEVELS[..., :3].copy())
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a.png", exif=exif)
    assert_same(read_photo(tmp_path / "a.png"), read_photo(upright))


def header_only(width, height):
    """A PNG that claims a size and holds nothing of it."""
    import struct
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(20_000, 20_000), (9_000, 9_000)])
def test_a_huge_photo_is_refused_before_it_is_decoded(tmp_path, size, monkeypatch):
    (tmp_path / "huge.png").write_bytes(header_only(*size))
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("it was decoded"))
    with pytest.raises(FileError, match=r"huge\.png (has|is too large).*make it smaller"):
        inputopt.dream(eye(), tmp_path / "huge.png", ["3"])


def test_a_huge_image_is_refused_too(monkeypatch):
    monkeypatch.setattr(picture_module, "MOST_PIXELS", 100)
    with pytest.raises(FileError, match=r"The photo has 22 x 18 pixels"):
        inputopt.dream(eye(), Image.fromarray(LEVELS[..., :3].copy()), ["3"])


def test_numbers_must_be_in_the_bounds():
    with pytest.raises(TypeError, match="floating-point"):
        inputopt.dream(eye(), torch.zeros(3, 4, 4, dtype=torch.uint8), ["3"])


def test_large_pictures_become_levels_strip_by_strip(monkeypatch):
    x = image(70, 5)
    whole = np.asarray(to_image(x))
    monkeypatch.setattr(images, "STRIP", 16)
    assert np.array_equal(np.asarray(to_image(x)), whole)
    assert np.array_equal(whole, np.rint(x.numpy().astype(float) * 255).astype(np.uint8).transpose(1, 2, 0))


def test_real_photos_have_their_sizes():
    assert read_photo(photo("china.jpg")).shape == (3, 427, 640)


# ----------------------------------------------------------------------------------------- channels and tiny images
class Kept(nn.Module):
    """A layer whose output [B, C, ...] is 0 except where some channels are positive."""

    def __init__(self, layer, channels):
        super().__init__()
        self.layer, self.channels = layer, channels

    def forward(self, x):
        output = self.layer(x)
        return (
            output.clamp_min(0) * torch.isin(torch.arange(output.shape[1]), torch.tensor(self.channels))[:, None, None]
        )


class ChannelsLast(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x).movedim(1, -1)


@pytest.mark.parametrize("channels", [[2], [0, 4]])
def test_a_dream_of_channels_is_that_of_a_network_whose_other_channels_are_zero(channels):
    zeroed = eye()
    zeroed[0] = Kept(zeroed[0], channels)
    plain = {"octaves": 2, "steps": 3, "seed": 1}
    found = inputopt.dream(eye(), image(), ["0"], channels=channels, **plain)
    assert_same(found.x, inputopt.dream(zeroed, image(), ["0"], **plain).x, 1e-5)
    assert not torch.equal(found.x, inputopt.dream(eye(), image(), ["0"], **plain).x)
    last = nn.Sequential(ChannelsLast(eye()[:1]))
    assert_same(inputopt.dream(last, image(), ["0"], channels=channels, **plain).x, found.x, 1e-5)
    if len(channels) == 1:
        assert torch.equal(inputopt.dream(eye(), image(), ["0"], channels=channels[0], **plain).x, found.x)


def test_the_energy_of_a_channel_is_that_of_its_positive_activations():
    outputs = torch.tensor([[[3.0, -5.0], [7.0, 7.0]], [[-2.0, -1.0], [7.0, 7.0]]])[..., None]  # [B, C, H, 1]
    value = channel_energy("0", [0], axis=1)({"0": outputs}, outputs, None)
    assert value.tolist() == [4.5, -1.0]  # the mean of 9 and 0, and the highest of what is negative everywhere
    assert channel_energy("0", [1, 0], axis=1)({"0": outputs}, outputs, None).tolist() == [107 / 4, 24.5]


def test_a_dream_of_a_channel_is_made_again(tmp_path):
    to_image(image(40, 40, 1)).save(tmp_path / "photo.png")
    net = inputopt.load("digits-cnn")
    found = inputopt.dream(net, tmp_path / "photo.png", ["conv1"], channels=np.int64(5), octaves=1, steps=3)
    found.save(tmp_path / "dream.png")
    assert found.recipe["settings"]["channels"] == 5
    assert "conv1" in found.recipe["channels"]
    inputopt.repeat(tmp_path / "dream.png").save(tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "dream.png").read_bytes()


@pytest.mark.parametrize(
    ("settings", "error", "told"),
    [
        ({"channels": 6}, ValueError, "^channel must be at most 5 in 0, not 6.$"),
        ({"channels": -1}, ValueError, "each of channels must be"),
        ({"channels": "a"}, TypeError, "each of channels must be"),
        ({"channels": []}, ValueError, "at least one"),
        ({"channels": 1, "layers": ["0", "2"]}, ValueError, "one layer, not of 2"),
        ({"channels": 1, "guide": image()}, ValueError, "omit channels or the guide"),
    ],
)
def test_channels_that_do_not_fit_are_refused(settings, error, told):
    with pytest.raises(error, match=told):
        inputopt.dream(eye(), image(), **{"layers": ["0"], **settings})


@pytest.mark.parametrize(("size", "settings"), [(TINY, ON_TINY), (TINY + 1, ON_PHOTOS)])
def test_defaults_depend_on_the_size_and_the_recipe_holds_them(size, settings):
    start = image(20, size)
    found = inputopt.dream(eye(), start, ["3"])
    assert torch.equal(found.x, inputopt.dream(eye(), start, ["3"], **asdict(settings)).x)
    assert {name: found.recipe["settings"][name] for name in asdict(settings)} == asdict(settings)
