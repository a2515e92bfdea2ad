"""Dreams, zooms, layers and repeats at the command line."""

import json
import warnings

import pytest
import torch
from contracts import digits
from photos import lite0, photo
from PIL import Image
from torch import nn

from inputopt.cli import model_arguments, photo_arguments
from inputopt.cli.commands import command_dream, command_repeat
from inputopt.cli.main import main


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(photo_arguments, "load_digits", digits)  # the same, read once
    find = model_arguments.load
    monkeypatch.setattr(model_arguments, "load", lambda name: lite0() if name == "efficientnet-lite0" else find(name))


@pytest.fixture
def small():
    with Image.open(photo("china.jpg")) as image:
        image.resize((48, 32)).save("small.png")
    return "small.png"


def recipe(path):
    with Image.open(path) as image:
        return json.loads(image.text["inputopt"])


def typed(text):
    return main(text.split())


LITE = "--octaves 1 --steps 2"


def test_a_photo_is_dreamt_of_and_repeated_to_the_byte(small, capsys):
    assert typed(f"dream efficientnet-lite0 {small} {LITE} --layers blocks.1,blocks.2=0.5 --seed 3 --out o") == 0
    made = recipe("o/dream.png")
    assert made["settings"]["layers"] == {"blocks.1": 1, "blocks.2": 0.5}
    assert (made["model"]["name"], made["settings"]["seed"]) == ("efficientnet-lite0", 3)
    with Image.open("o/dream.png") as image:
        assert (image.size, image.mode) == ((48, 32), "RGB")
    assert typed("repeat o/dream.png --out again") == 0
    assert "has the same bytes" in capsys.readouterr().out


def test_what_a_repeat_finds_changed_it_says(small, capsys):
    typed(f"dream efficientnet-lite0 {small} {LITE} --layers blocks.1 --out o")
    with Image.open(small) as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save("other.png")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert typed("repeat o/dream.png --out again --file photo=other.png") == 1
    printed = capsys.readouterr()
    assert "differs from" in printed.out
    assert "warning: other.png is not the file that the image was made from as its photo" in printed.err
    for wrong, words in {
        "repeat o/dream.png --out o": "overwritten",
        "repeat small.png": "contains no inputopt recipe",
        "repeat gone.png": "no file gone.png",
        "repeat o/dream.png --file photo": "NAME=PATH",
        "repeat o/dream.png --file mask=other.png": "made without a file 'mask'",
        "repeat o/dream.png --model digits-mlp": "other weights",
    }.items():
        assert typed(wrong) == 2
        assert words in capsys.readouterr().err


def test_a_variation_takes_layers_as_dream_does(small):
    assert typed(f"dream efficientnet-lite0 {small} {LITE} --layers blocks.1 --out o") == 0
    assert typed("repeat o/dream.png --set layers=blocks.0,blocks.2=0.5 --out v") == 0
    assert recipe("v/dream.png")["settings"]["layers"] == {"blocks.0": 1.0, "blocks.2": 0.5}


def test_a_recipe_does_not_run_code_that_it_names(small, capsys, monkeypatch):
    typed(f"dream efficientnet-lite0 {small} {LITE} --layers blocks.1 --out o")
    found = recipe("o/dream.png")
    found["model"]["name"] = "os:getcwd"
    monkeypatch.setattr(command_repeat, "read_recipe", lambda path: found)
    assert typed("repeat o/dream.png") == 2
    assert "give --model os:getcwd to run that code" in capsys.readouterr().err


def test_previews_are_written(small):
    typed(f"dream efficientnet-lite0 {small} {LITE} --layers blocks.1 --out o --watch 2")
    with Image.open("o/dream-preview.png") as image:
        assert image.size == (48, 32)
    assert recipe("o/dream-preview.png") == {"interrupted": True}


def test_a_stopped_dream_keeps_what_there_is(small, monkeypatch, capsys):
    shown = command_dream.Watching.__call__

    def stop(self, snapshot):
        shown(self, snapshot)
        if self.count == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(command_dream.Watching, "__call__", stop)
    assert typed(f"dream efficientnet-lite0 {small} {LITE} --layers blocks.1 --out o --octaves 2") == 130
    assert "wrote o/dream.png (unfinished)" in capsys.readouterr().err
    with Image.open("o/dream.png") as image, Image.open(small) as before:
        assert image.size == before.size
        assert image.tobytes() != before.tobytes()
    assert recipe("o/dream.png")["interrupted"] is True
    assert typed("repeat o/dream.png") == 2
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["zoom.webp", "zoom.gif"])
def test_a_zoom_is_a_film(name, capsys):
    assert typed(f"zoom digits-mlp --frames 3 --steps 1 --film {name} --out o") == 0
    with Image.open(f"o/{name}") as film:
        assert film.n_frames == 3
    assert "3 frames" in capsys.readouterr().out
    assert typed("repeat o/frames/frame-00002.png") == 0


def twice():
    """A network that a test names as test_dreams:twice."""

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.act = nn.Conv2d(3, 3, 3, padding=1), nn.ReLU()

        def forward(self, x):
            return self.act(self.conv(self.act(self.conv(x)))).mean((2, 3))

    torch.manual_seed(0)
    return Twice()


def test_layers_are_a_tree_with_shapes(capsys, monkeypatch):
    assert typed("layers efficientnet-lite0 --size 64x40") == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert "112 x 4 x 3" in lines["blocks.8"]
    assert lines["blocks.8"].startswith("  blocks.8 ")
    assert "Linear" in lines["classifier"]
    monkeypatch.setitem(__import__("sys").modules, "nets_of_mine", type("Nets", (), {"twice": staticmethod(twice)}))
    assert typed("layers nets_of_mine:twice --size 8") == 0
    said = capsys.readouterr().out
    for name in ("act:1", "act:2 or act:last", "conv:1"):
        assert name in said
    assert "for inputs of 3 x 8 x 8" in said


def test_figures_are_made_again_by_their_command(capsys):
    assert typed("dream digits-mlp --steps 2 --seed 3 --out o") == 0
    assert recipe("o/dream-steps.png") == {
        "made by": "command",
        "arguments": ["dream", "digits-mlp", "--steps", "2", "--seed", "3", "--out", "o"],
    }
    assert typed("repeat o/dream-steps.png") == 0
    assert "has the same bytes" in capsys.readouterr().out
    assert typed("fool digits-mlp --target 2 --count 2 --out o") == 0
    assert typed("repeat o/fool.png") == 0


def test_a_figures_command_runs_no_code_and_must_lead_to_it(capsys):
    from matplotlib.figure import Figure

    from inputopt.files import save_figure
    from inputopt.files import storing_command as typing

    for arguments, words in {
        "dream os:getcwd": "run it yourself",
        "dreem": "not valid in this version",
        "dream digits-mlp --steps 1": "no longer writes a.png",
        "repeat a.png": "is `repeat` itself",
    }.items():
        with typing(arguments.split()):
            save_figure(Figure(figsize=(1, 1)), "a.png")
        assert typed("repeat a.png") == 2
        assert words in capsys.readouterr().err


def test_the_dream_of_a_channel_has_it_in_its_recipe(capsys):
    assert typed("dream digits-cnn --channels 5,7 --steps 2 --out o --json") == 0
    printed = json.loads(capsys.readouterr().out)
    made = recipe("o/dream.png")
    assert printed["channels"] == made["settings"]["channels"] == [5, 7]
    assert (printed["octaves"], made["settings"]["smoothing"]) == (1, 0)
    assert typed("repeat o/dream.png --out again") == 0
    assert typed("dream digits-cnn --channels 99 --out p") == 2
    assert "channel must be at most 31 in conv2, not 99" in capsys.readouterr().err
