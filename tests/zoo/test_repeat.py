"""Pictures made again from Python, by the recipe in their file alone."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from contracts import digits

import inputopt
from inputopt.files import blank_figure, save_figure, storing_command
from inputopt.pictures.picture import Picture


def test_a_picture_is_made_again_from_its_file(tmp_path):
    net = inputopt.load("digits-cnn")
    inputopt.visualize(net, inputopt.Class(3), 28, 3, colours=1, seed=4).save(tmp_path / "a.png")
    inputopt.repeat(tmp_path / "a.png").save(tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_files_that_moved_and_networks_without_a_name_are_given(tmp_path):
    Picture(digits().held_x[0]).save(tmp_path / "photo.png")
    net = inputopt.MLP([784, 12, 10], "tanh", "identity")
    made = inputopt.dream(inputopt.load("digits-cnn"), tmp_path / "photo.png", ["conv1"], octaves=1, steps=2)
    made.save(tmp_path / "a.png")
    (tmp_path / "kept").mkdir()
    made.save(tmp_path / "kept" / "a.png")
    (tmp_path / "photo.png").rename(tmp_path / "kept" / "photo.png")
    assert (made.x == inputopt.repeat(tmp_path / "kept" / "a.png").x).all()  # it lies beside the picture
    (tmp_path / "kept" / "photo.png").rename(tmp_path / "moved.png")
    with pytest.raises(
        inputopt.FileError,
        match=r"give the file to use: --file photo=PATH .* files=\{'photo': path\} in",
    ):
        inputopt.repeat(tmp_path / "a.png")
    inputopt.repeat(tmp_path / "a.png", files={"photo": tmp_path / "moved.png"}).save(tmp_path / "b.png")
    assert (made.x == inputopt.repeat(tmp_path / "b.png", files={"photo": tmp_path / "moved.png"}).x).all()
    Picture(digits().held_x[1]).save(tmp_path / "other.png")
    with pytest.warns(inputopt.InputoptWarning, match=r"other\.png is not the file that the image was made from"):
        inputopt.repeat(tmp_path / "a.png", files={"photo": tmp_path / "other.png"})
    with pytest.raises(ValueError, match="other weights"):
        inputopt.repeat(tmp_path / "a.png", net, {"photo": tmp_path / "moved.png"})
    with pytest.raises(TypeError, match="torch module"):
        inputopt.repeat(tmp_path / "a.png", inputopt.Frozen(net))


def test_a_variation_keeps_everything_but_the_changes(tmp_path):
    net = inputopt.load("digits-cnn")
    old = inputopt.visualize(net, inputopt.Channel("conv1", 3), steps=4, seed=4, canvas="fourier", augment=0.5)
    old.save(tmp_path / "a.png")
    seed = inputopt.repeat(tmp_path / "a.png", changes={"seed": 5})
    objective = inputopt.Channel("conv1", 7)
    other = inputopt.repeat(tmp_path / "a.png", changes={"objective": objective})
    given = {"size": 28, "steps": 4, "canvas": "fourier", "augment": 0.5}
    for made, wanted in (
        (seed, inputopt.visualize(net, inputopt.Channel("conv1", 3), **given, seed=5)),
        (other, inputopt.visualize(net, objective, **given, seed=4)),
    ):
        assert torch.equal(made.x, wanted.x)
        assert not torch.equal(made.x, old.x)
    assert seed.recipe["settings"] == old.recipe["settings"] | {"seed": 5}
    other.save(tmp_path / "b.png")
    assert torch.equal(inputopt.repeat(tmp_path / "b.png").x, other.x)


def test_another_quality_changes_what_follows_from_it(tmp_path):
    inputopt.visualize(inputopt.load("digits-cnn"), inputopt.Class(3), steps=3, restarts=1).save(tmp_path / "a.png")
    made = inputopt.repeat(tmp_path / "a.png", changes={"quality": "best", "steps": 4})
    assert (made.recipe["settings"]["restarts"], made.recipe["settings"]["steps"]) == (2, 4)


def test_a_change_must_be_a_setting(tmp_path):
    inputopt.visualize(inputopt.load("digits-cnn"), inputopt.Class(3), steps=3).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="did you mean 'seed'"):
        inputopt.repeat(tmp_path / "a.png", changes={"sed": 1})
    with pytest.raises(ValueError, match="does not give the image's index among 2"):
        inputopt.repeat(tmp_path / "a.png", changes={"objective": inputopt.Class([3, 4])})


def test_steps_of_a_repetition_can_be_watched(tmp_path):
    seen = []
    inputopt.visualize(inputopt.load("digits-cnn"), inputopt.Class(3), 28, 3, colours=1).save(tmp_path / "a.png")
    inputopt.repeat(tmp_path / "a.png", watch=lambda snapshot: seen.append(snapshot.index))
    assert seen == [0, 1, 2, 3]


def test_figures_and_files_without_a_recipe_are_refused(tmp_path):
    with storing_command(["fool"]):
        save_figure(blank_figure(), tmp_path / "figure.png")
    with pytest.raises(inputopt.FileError, match="inputopt repeat"):
        inputopt.repeat(tmp_path / "figure.png")
    recipe = {"made by": "dream", "settings": {}}
    recipe["model"] = {"name": "nets:make", "weights": "", "bounds": [0, 1], "mean": 0, "std": 1}
    Picture(digits().held_x[0], recipe).save(tmp_path / "named.png")
    with pytest.raises(ValueError, match="built by nets:make"):
        inputopt.repeat(tmp_path / "named.png")


def test_every_picture_function_can_be_repeated_in_a_process_that_has_imported_nothing_else():
    code = "import inputopt.zoo.repeat; from inputopt.pictures.provenance import MAKERS; print(*sorted(MAKERS))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    sources = Path(inputopt.__file__).parent.joinpath("pictures").glob("*.py")
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    assert found == sorted(re.findall(r"^@repeatable\(.*\)\ndef (\w+)", text, re.MULTILINE))
    assert {"dream", "invert", "visualize"} <= set(found)
