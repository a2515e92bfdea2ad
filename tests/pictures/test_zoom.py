"""Zooms: frames that lead to one another, go on where they stopped, and become films."""

import shutil

import pytest
import torch
from PIL import Image
from torch import nn

from inputopt.files import FileError
from inputopt.nets.frozen import Frozen
from inputopt.pictures import zoom as module
from inputopt.pictures.dream import dream
from inputopt.pictures.picture import read_photo
from inputopt.pictures.provenance import read_recipe
from inputopt.pictures.zoom import film, nearer, zoom

SETTINGS = {"octaves": 1, "steps": 1}


@pytest.fixture
def photo(tmp_path):
    Image.effect_mandelbrot((24, 18), (-2, -1, 1, 1), 20).convert("RGB").save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def eye():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.Tanh())


def contents(paths):
    return [path.read_bytes() for path in paths]


def test_a_zoom_goes_on_where_it_stopped(tmp_path, photo):
    net, done = eye(), []
    whole = zoom(net, photo, ["1"], tmp_path / "a", 4, progress=done.append, **SETTINGS)
    assert done == [1, 2, 3]
    before = contents(whole)
    assert len(set(before)) == 4
    for path in whole[2:]:
        path.unlink()
    assert contents(zoom(net, photo, ["1"], tmp_path / "a", 4, **SETTINGS)) == before
    assert read_recipe(whole[2])["settings"]["photo"]["file"] == str(whole[1])


def test_a_zoom_in_another_frames_folder_is_refused(tmp_path, photo):
    zoom(eye(), photo, ["1"], tmp_path / "a", 2, **SETTINGS)
    with pytest.raises(FileError, match="other settings"):
        zoom(eye(), photo, ["1"], tmp_path / "a", 2, octaves=1, steps=2)
    Image.new("RGB", (24, 18)).save(photo)
    with pytest.raises(FileError, match="another photo"):
        zoom(eye(), photo, ["1"], tmp_path / "a", 2, **SETTINGS)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (lambda: Frozen(nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.Tanh())), "made by another network"),
        (lambda: Frozen(eye(), mean=[0.1, 0.2, 0.3]), "made with other mean of"),
        (lambda: Frozen(eye(), mean=0.5, std=0.5), "made with other mean and std of"),
    ],
)
def test_a_zoom_of_another_network_is_not_continued(tmp_path, photo, other, words):
    frames = zoom(eye(), photo, ["1"], tmp_path / "a", 3, **SETTINGS)
    frames[2].unlink()
    with pytest.raises(FileError, match=words):
        zoom(other(), photo, ["1"], tmp_path / "a", 3, **SETTINGS)
    assert not frames[2].exists()


def test_a_zoom_in_a_range_of_another_width_is_not_continued(tmp_path, photo):
    zoom(Frozen(eye(), (0, 1)), photo, ["1"], tmp_path / "a", 3, **SETTINGS)
    with pytest.raises(FileError, match="made with other bounds of the network"):
        zoom(Frozen(eye(), (-1, 1)), photo, ["1"], tmp_path / "a", 3, **SETTINGS)


def test_a_frame_is_the_middle_of_the_one_before(photo):
    found = nearer(eye(), photo, ["1"], 1.5, octaves=1, steps=1, step_size=1e-9)
    with Image.open(photo) as image:
        middle = image.resize(image.size, Image.Resampling.BICUBIC, (4, 3, 20, 15))
    assert found.x.shape == (3, 18, 24)
    assert torch.allclose(found.x, read_photo(middle), atol=1e-5)
    with pytest.raises(ValueError, match="factor must be above 1"):
        nearer(eye(), photo, ["1"], 1.0)


@pytest.mark.parametrize(
    ("towards", "box"), [((0, 0), (0, 0, 16, 12)), ((1, 1), (8, 6, 24, 18)), ((1, 0.5), (8, 3, 24, 15))]
)
def test_a_zoom_goes_towards_a_point(photo, towards, box):
    found = nearer(eye(), photo, ["1"], 1.5, octaves=1, steps=1, step_size=1e-9, towards=towards)
    with Image.open(photo) as image:
        part = image.resize(image.size, Image.Resampling.BICUBIC, box)
    assert torch.allclose(found.x, read_photo(part), atol=1e-5)


@pytest.mark.parametrize("towards", [(0.5,), (0.5, 1.1), 0.5, (0.1, 0.2, 0.3)])
def test_a_zoom_towards_no_point_is_refused(photo, towards):
    with pytest.raises(ValueError, match="towards must be two numbers from 0 to 1"):
        nearer(eye(), photo, ["1"], towards=towards)


def test_a_frame_is_dreamt_with_the_settings_of_dream(photo):
    settings = {"channels": [2, 4], "smoothing": 0.5, "jitter": 3, "step_size": 0.02}
    found = nearer(eye(), photo, ["1"], 1.000001, octaves=1, steps=2, **settings, seed=7)
    wanted = dream(eye(), photo, ["1"], octaves=1, steps=2, **settings, seed=7)
    assert torch.allclose(found.x, wanted.x, atol=2 / 255)
    plain = nearer(eye(), photo, ["1"], 1.000001, octaves=1, steps=2, seed=7)
    assert float((found.x - plain.x).abs().max()) > 0.02


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_films_hold_every_frame(tmp_path, photo, suffix):
    frames = zoom(eye(), photo, ["1"], tmp_path / "a", 3, **SETTINGS)
    film(frames, tmp_path / f"film{suffix}")
    with Image.open(tmp_path / f"film{suffix}") as made:
        assert (made.n_frames, made.size) == (3, (24, 18))


def test_an_mp4_needs_ffmpeg(tmp_path, photo, monkeypatch):
    frames = zoom(eye(), photo, ["1"], tmp_path / "a", 1, **SETTINGS)
    with pytest.raises(FileError, match="must end in one of"):
        film(frames, tmp_path / "film.avi")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(FileError, match="needs ffmpeg"):
        film(frames, tmp_path / "film.mp4")
    program = tmp_path / "ffmpeg"
    program.write_text('#!/bin/sh\nfor last; do :; done\necho "$@" > "$last"\n')
    program.chmod(0o755)
    monkeypatch.setattr(module.shutil, "which", lambda name: str(program))
    film(frames, tmp_path / "film.mp4", 12)
    said = (tmp_path / "film.mp4").read_text()
    assert "-framerate 12" in said
    assert "frame-%05d.png" in said
    program.write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
    with pytest.raises(FileError, match=r"could not write .*broken"):
        film(frames, tmp_path / "other.mp4")
    assert not (tmp_path / "other.mp4").exists()
