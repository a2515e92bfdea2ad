import json
from pathlib import Path

import numpy as np
import pytest
from contracts import digits
from PIL import Image
from verb_parsers import command_runner

import inputopt
from inputopt.cli.commands import command_atlas, command_evolve, command_fool, command_visualize
from inputopt.cli.main import main
from inputopt.pictures.provenance import read_recipe


@pytest.fixture
def run(capsys):
    return command_runner(capsys)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


DIGITS = ("--grey", "--size", 28, "--steps", 3, "--out", "o")


def test_visualize_writes_a_picture_each_and_a_sheet(run):
    text = run("visualize", "digits-cnn", *DIGITS, "--layer", "conv2", "--channels", "1,4")
    assert "wrote o/visualize-conv2-4.png" in text
    assert sorted(path.name for path in Path("o").iterdir()) == [
        "visualize-conv2-1.png",
        "visualize-conv2-4.png",
        "visualize.png",
    ]
    recipe = read_recipe("o/visualize-conv2-4.png")
    assert recipe["settings"]["objective"] == ["Channel", "conv2", 4]
    assert recipe["model"]["name"] == "digits-cnn"
    before = Path("o/visualize-conv2-4.png").read_bytes()
    run("visualize", "digits-cnn", *DIGITS, "--layer", "conv2", "--channels", "1,4")
    assert Path("o/visualize-conv2-4.png").read_bytes() == before


def test_visualize_shows_classes_and_whole_layers(run):
    run("visualize", "digits-cnn", *DIGITS, "--classes", "3")
    assert read_recipe("o/visualize-3.png")["settings"]["objective"] == ["LogProbability", 3, 4.0]
    run("visualize", "digits-cnn", *DIGITS, "--layer", "conv1", "--canvas", "pixels")
    assert read_recipe("o/visualize-conv1.png")["settings"]["canvas"] == "pixels"


def test_the_quality_sets_what_is_not_given_and_the_settings_used_are_listed(run):
    small = ("--grey", "--size", 28, "--out", "o", "--classes", "3")
    found = json.loads(run("visualize", "digits-cnn", *small, "--quality", "draft", "--restarts", 2, "--json"))
    assert (found["quality"], found["steps"], found["restarts"], found["initial_scale"]) == ("draft", 64, 2, 1.0)
    assert set(found["left_out"]) == {"initial_scale", "skip_gradient"}
    recipe = read_recipe("o/visualize-3.png")
    assert recipe["settings"]["mirror"] is False
    assert recipe["left_out"] == found["left_out"]
    assert "the same bytes" in run("repeat", "o/visualize-3.png", "--out", "again")
    given = ("--steps", 70, "--mirror", "--quality", "good", "--json", "--quiet")
    assert json.loads(run("visualize", "digits-cnn", *small, *given))["mirror"] is True


def test_what_is_interrupted_is_kept_and_says_so(monkeypatch, capsys):
    stopped(monkeypatch, command_visualize, "visualize", 2)
    assert main([str(part) for part in ("visualize", "digits-cnn", *DIGITS, "--classes", "3,5")]) == 130
    assert "wrote o/visualize-5.png (unfinished)" in capsys.readouterr().err
    assert read_recipe("o/visualize-5.png")["interrupted"]
    with Image.open("o/visualize-5.png") as image:
        assert image.size == (28, 28)


def test_previews_are_written_while_it_runs(run, monkeypatch):
    written = []
    real = command_visualize.unfinished
    monkeypatch.setattr(
        command_visualize, "unfinished", lambda picture, path: (real(picture, path), written.append(path.name))
    )
    run("visualize", "digits-cnn", *DIGITS, "--classes", "3,5", "--watch", 2)
    assert written == ["visualize-3-preview.png", "visualize-5-preview.png"] * 2
    with Image.open("o/visualize-3-preview.png") as image:
        assert image.size == (28, 28)
    assert read_recipe_text("o/visualize-3-preview.png") == {"interrupted": True}


def read_recipe_text(path):
    with Image.open(path) as image:
        return json.loads(image.text["inputopt"])


def test_pictures_that_share_waves_are_repeated_to_the_byte(run, capsys):
    run("visualize", "digits-cnn", *DIGITS, "--classes", "3,5", "--shared-frequencies", 2)
    assert read_recipe("o/visualize-5.png")["picture"] == 1
    assert "the same bytes" in run("repeat", "o/visualize-5.png", "--out", "again")


def stopped(monkeypatch, module, name, after):
    """From now on the function of that name is interrupted at a step."""
    real = getattr(module, name)

    def interrupted(*given, watch=None, **settings):
        def until(snapshot):
            if watch is not None:
                watch(snapshot)
            if snapshot.index == after:
                raise KeyboardInterrupt

        return real(*given, watch=until, **settings)

    monkeypatch.setattr(module, name, interrupted)


def test_an_interrupted_atlas_keeps_its_pictures(monkeypatch, capsys):
    inputopt.Picture(digits().held_x[0]).save("photos/0.png")
    stopped(monkeypatch, command_atlas, "atlas", 1)
    given = ("atlas", "digits-cnn", "photos", *DIGITS, "--layer", "conv1", "--channels", "0,3")
    assert main([str(part) for part in given]) == 130
    assert "wrote o/atlas-3.png (unfinished)" in capsys.readouterr().err
    assert read_recipe("o/atlas-3.png")["interrupted"]


@pytest.mark.parametrize(("command", "names"), [("fool", ["fool-all.png", "fool.png"]), ("ascend", ["ascend.png"])])
def test_interrupted_searches_keep_their_sheets(monkeypatch, capsys, command, names):
    stopped(monkeypatch, command_fool, command, 2)
    assert main([command, "digits-mlp", "--count", "4", "--out", "o"]) == 130
    assert sorted(path.name for path in Path("o").glob("*.png")) == names


EVOLVE = ("evolve", "digits-mlp", "--grey", "--size", 28, "--out", "o", "--classes", "1,7")


def test_images_evolve_and_are_repeated_to_the_byte(run):
    text = run(*EVOLVE, "--generations", 3, "--population", 6, "--confidence", 1e-12)
    assert "wrote o/evolve-7.png" in text
    recipe = read_recipe("o/evolve-7.png")
    assert recipe["made by"] == "evolve_images"
    assert recipe["picture"] == 1
    assert recipe["settings"]["rules"]["population"] == 6
    assert "the same bytes" in run("repeat", "o/evolve-7.png", "--out", "again")
    run(*EVOLVE, "--generations", 1, "--population", 2, "--confidence", 0.999999, status=1)


def test_an_interrupted_evolution_keeps_the_best_so_far(monkeypatch, capsys):
    real = command_evolve.evolve_images

    def interrupted(*given, progress, **settings):
        def until(generation, sure):
            if generation == 2:
                raise KeyboardInterrupt

        return real(*given, progress=until, **settings)

    monkeypatch.setattr(command_evolve, "evolve_images", interrupted)
    assert main([str(part) for part in (*EVOLVE, "--population", 6)]) == 130
    assert "wrote o/evolve-7.png (unfinished)" in capsys.readouterr().err
    assert read_recipe("o/evolve-7.png")["interrupted"]


def test_an_atlas_of_a_folder_of_photos(run):
    for number in range(3):
        inputopt.Picture(digits().held_x[number]).save(f"photos/{number}.png")
    run("atlas", "digits-cnn", "photos", *DIGITS, "--layer", "conv1", "--channels", "0,3", "--top", 2)
    with Image.open("o/atlas.png") as image:
        assert min(image.size) > 100
    values = json.loads(
        run("atlas", "digits-cnn", "photos", *DIGITS, "--layer", "conv1", "--channels", "0,2-4", "--json")
    )
    assert values["channels"] == [0, 2, 3, 4]
    values = json.loads(run("atlas", "digits-cnn", "photos", *DIGITS, "--layer", "conv2", "--json"))
    channels = inputopt.load("digits-cnn").conv2.out_channels
    assert values["channels"] == sorted({place * channels // 12 for place in range(12)})


def test_spurious_reads_a_model_and_data(run):
    data = digits()
    np.savez("data.npz", x=data.held_x[:300].numpy(), y=data.held_y[:300].numpy())
    text = run("spurious", "digits-cnn", "data.npz", "--count", 300, "--steps", 10, "--grid", "2,2")
    assert text.startswith("300 of 300 inputs of data.npz: 3 classes, 100 of each\n\nclass 0: ")
    assert "classes whose predictions depend on the colour of one region: none" in text


def test_a_variation_of_a_picture_from_its_file(run, capsys):
    run("visualize", "digits-cnn", "--layer", "conv1", "--channels", 3, "--steps", 3, "--out", "o")
    picture = "o/visualize-conv1-3.png"
    said = run("repeat", picture, "--set", "seed=5", "--set", 'objective=["Channel", "conv1", 7]', "--out", "v")
    assert said.startswith("v/visualize-conv1-3.png is made as o/visualize-conv1-3.png was, with seed=5, objective=")
    settings = read_recipe("v/visualize-conv1-3.png")["settings"]
    assert settings == read_recipe(picture)["settings"] | {"seed": 5, "objective": ["Channel", "conv1", 7]}
    run("repeat", "v/visualize-conv1-3.png", "--out", "w")
    for given, words in (
        ("seed", "--set must be NAME=VALUE"),
        ("sed=3", "did you mean 'seed'"),
        ("objective=3", "does not describe a known objective"),
    ):
        assert main(["repeat", picture, "--set", given]) == 2
        assert words in capsys.readouterr().err


def test_visualize_starts_from_a_picture_of_another_size(run):
    Image.fromarray((255 * digits().held_x[0, 0]).byte().numpy()).resize((40, 40)).save("old.png")
    run(
        "visualize",
        "digits-cnn",
        "--classes",
        3,
        "--steps",
        2,
        "--init",
        "old.png",
        "--size",
        28,
        "--canvas",
        "pixels",
    )
    made = inputopt.read_photo("out/visualize-3.png")
    assert made.shape == (1, 28, 28)
    assert float((made - digits().held_x[0]).abs().mean()) < 0.06
    assert main(["visualize", "digits-cnn", "--classes", "3", "--init", "gone.png"]) == 2
