"""Folders of images that differ in size: --resize scales them, and without it a sentence names the size to give."""

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from verb_parsers import command_runner

import inputopt
from inputopt.cli.data.image_folder import accepted_side
from inputopt.cli.main import main
from inputopt.pictures.picture import read_levels, read_photo

MODELS = """
from torch import nn
def any_size(): return nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
"""


@pytest.fixture
def run(capsys):
    return command_runner(capsys)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """A folder of dark images, class 0, and light ones, class 1, of four sizes; and a network of 6 x 6 pixels."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for number, (height, width) in enumerate([(12, 9), (6, 6), (30, 31), (7, 20)]):
        for label, low in enumerate((60, 150)):
            path = Path(f"photos/{label}/{number}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(low, low + 40, (height, width), dtype=np.uint8)).save(path)
    weights = np.stack([-np.ones(36), np.ones(36)])
    biases = [np.array([1.0, -1.0]) * 36 * 125 / 255]
    inputopt.save(inputopt.MLP([36, 2], "identity", weights=[weights], biases=biases), "light.safetensors")
    Path("models_of_any_size.py").write_text(MODELS)


NET = "./light.safetensors"
NAMES = [f"{label}/{number}" for label in (0, 1) for number in range(4)]


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def test_adversarial_pngs_correspond_to_the_clean_ones_written_beside_them(run):
    words = ("attack", NET, "photos", "--resize", 6, "--eps", 0.2, "--out", "o", "--json")
    plain = json.loads(run(*words))
    assert (plain["inputs"], plain["accuracy"], plain["resize"]) == (8, 1.0, [6, 6])
    assert "o/clean" in plain["files"]
    for name in NAMES:
        clean, fooling = pixels(f"o/clean/{name}.png"), pixels(f"o/attack/{name}.png")
        assert np.array_equal(clean, (255 * read_photo(f"photos/{name}.png", resize=6)[0]).round().numpy())
        assert 0 < np.abs(fooling - clean).max() <= 0.2 * 255
    for folder, accuracy in (("clean", 1.0), ("attack", 1 - plain["success"])):
        again = json.loads(run("attack", NET, f"o/{folder}", "--eps", 0.0, "--out", "p", "--json"))
        assert again["accuracy"] == accuracy
    assert plain["success"] > 0.5


def test_an_evaluation_records_the_size(run):
    words = ("evaluate", NET, "photos", "--resize", "6x6", "--preset", "quick", "--out", "o", "--report", "r.html")
    assert run(*words).startswith("8 of 8 inputs of photos: 2 classes, 4 of each, resized to 6 x 6\n")
    report = json.loads(Path("o/evaluation/report.json").read_text(encoding="utf-8"))
    assert report["clean_accuracy"] == 1.0
    assert jsonschema.Draft202012Validator(inputopt.Report.schema()).is_valid(report)
    assert "8 of 8 inputs of photos resized to 6 x 6" in report["claim"]["evaluation_method"]
    assert "resized to 6 x 6" in Path("r.html").read_text(encoding="utf-8")
    assert sorted(str(path.relative_to("o/clean").with_suffix("")) for path in Path("o/clean").glob("*/*")) == NAMES


@pytest.mark.parametrize("verb", ["nearest", "certify", "saliency", "ascend", "spurious"])
def test_every_verb_that_takes_a_folder_scales_it(verb, capsys):
    extra = {"nearest": ["--queries", "20"], "spurious": ["--steps", "5"]}.get(verb, [])
    assert main([verb, NET, "photos", "--resize", "6", "--out", "o", "--json", *extra]) in (0, 1)
    assert json.loads(capsys.readouterr().out)["resize"] == [6, 6]
    assert Path("o/clean").exists() == (verb == "nearest")


def test_without_it_nothing_is_scaled(run):
    for path in Path("photos").glob("*/[023].png"):
        path.unlink()
    plain = json.loads(run("attack", NET, "photos", "--eps", 0.2, "--out", "o", "--json"))
    assert "resize" not in plain
    assert not Path("o/clean").exists()


def test_a_network_is_trained_on_scaled_images(run):
    for label in ("0", "1"):
        for number in range(4, 12):
            Path(f"photos/{label}/{number}.png").write_bytes(Path(f"photos/{label}/{number % 4}.png").read_bytes())
    words = ("train", "mlp", "photos", "--resize", "4x5", "--hidden", 3, "--epochs", 60, "--json")
    plain = json.loads(run(*words))
    assert plain["sizes"][0] == 20
    assert plain["accuracy"]["held_out"] == 1.0
    assert "[1, 4, 5] in [0, 1], from images resized to 4 x 5" in Path("out/card.md").read_text(encoding="utf-8")
    Path("photos/0/more.png").write_bytes(Path("photos/0/0.png").read_bytes())  # no longer the trained ones
    again = json.loads(run("attack", "./out/weights.safetensors", "photos", "--resize", "4x5", "--eps", 0, "--json"))
    assert again["accuracy"] == 1.0


# ------------------------------------------------------------------------------------------------------------ sentences
@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"{NET} photos", "9, but photos/0/0.png is 1 x 12 x 9; scale them with --resize 6, or give"),
        (f"{NET} photos --resize 7", "does not accept images of 1 x 7 x 7 (RuntimeError: "),
        (f"{NET} photos --resize 7", "); scale them with --resize 6."),
        ("digits-cnn photos", "; scale them with --resize 28, or give"),
        ("digits-mlp photos --resize 20", "; scale them with --resize 28."),
        ("efficientnet-lite1 photos", "; scale them with --resize 240, or give"),
        ("models_of_any_size:any_size photos", "; scale them with --resize SIDE, or give"),
        (f"{NET} digits --resize 6", "--resize applies to a folder of images, which digits is not; omit it."),
        (f"{NET} light.safetensors --resize 6", "--resize applies to a folder of images"),
        (f"{NET} photos --resize 0", "--resize must be whole numbers of at least 1 separated by x, not '0'."),
        (f"{NET} photos --resize 6x6x6", "--resize must be one side or (height, width), not 3 numbers."),
        (f"{NET} photos --resize 99999", "--resize must be at most 64 million pixels, not 99999 x 99999."),
    ],
)
def test_a_refusal_names_the_flag_and_the_size(line, words, capsys):
    assert main(["attack", *line.split(), "--out", "o"]) == 2
    said = capsys.readouterr().err.replace("photos/0/1.png is 1 x 6 x 6", "9").replace("inputopt: ", "", 1)
    assert words in said
    assert said.count("\n") == 1
    assert not Path("o").exists()


def test_one_size_that_the_network_does_not_take_is_refused_with_the_size(capsys):
    for path in Path("photos").glob("*/[013].png"):
        path.unlink()
    assert main(["attack", NET, "photos", "--out", "o"]) == 2
    assert "does not accept images of 1 x 30 x 31" in (said := capsys.readouterr().err)
    assert said.endswith("; scale them with --resize 6.\n")


def test_colour_photos_are_made_grey_for_a_layer_with_one_input_per_pixel(run, capsys):
    for path in Path("photos").glob("*/*.png"):
        with Image.open(path) as image:
            image.convert("RGB").save(path)
    assert main(["attack", NET, "photos", "--out", "o"]) == 2
    assert "--resize 6," in capsys.readouterr().err
    assert json.loads(run("attack", NET, "photos", "--resize", 6, "--eps", 0, "--out", "o", "--json"))["accuracy"] == 1


def test_grey_and_colour_images_together_are_refused_for_what_they_are(capsys):
    Image.new("RGB", (12, 9)).save("photos/1/0.png")
    Path("takes_any.py").write_text("def net(): return lambda x: x.flatten(1)[:, :2]\n")
    assert main(["attack", "takes_any:net", "photos", "--resize", "5", "--out", "o"]) == 2
    assert "photos/1/0.png has 3 channels, but photos/0/0.png has 1; give images that are" in capsys.readouterr().err


def test_the_side_is_found_by_running_the_network():
    fixed = nn.Sequential(nn.Conv2d(3, 2, 4, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 24 * 24, 2))
    assert accepted_side(inputopt.Frozen(fixed), 3) == 96  # 24 x 24 positions: 97 to 99 pixels do as well
    assert accepted_side(inputopt.Frozen(nn.Sequential(nn.Flatten(), nn.Linear(3 * 50**2, 2))), 3) == 50
    assert accepted_side(inputopt.Frozen(lambda x: torch.ones(len(x), 2) * x.sum()), 1) is None


# --------------------------------------------------------------------------------------------------------------- photos
@pytest.fixture
def photo():
    levels = np.random.default_rng(1).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    Image.fromarray(levels).save("photo.png")
    return "photo.png"


@pytest.mark.parametrize(
    "line",
    [
        "dream digits-mlp photo.png --steps 2",
        "zoom digits-mlp photo.png --frames 2 --steps 1",
        "invert digits-mlp photo.png --layers layers.0 --steps 2",
        "accentuate digits-mlp photo.png --layers layers.0 --steps 2",
    ],
)
def test_a_photo_is_scaled_and_written_where_the_recipe_finds_it(line, photo, run, capsys):
    verb = line.split()[0]
    octaves = ["--octaves", "1"] if verb == "dream" else []
    assert main([*line.split(), *octaves, "--out", "o"]) == 2
    assert "; scale them with --resize 28." in capsys.readouterr().err
    assert not Path("o").exists()
    run(*line.split(), "--resize", 28, "--out", "o")
    scaled = (255 * read_photo(photo, resize=28)).round().byte()
    assert torch.equal(read_levels("o/photo-resized.png"), scaled)
    made = Path("o/frames/frame-00001.png" if verb == "zoom" else f"o/{verb}.png")
    assert read_levels(made).shape[1:] == (28, 28)
    if verb != "zoom":
        assert inputopt.repeat(made).recipe["settings"]["photo"]["file"] == "o/photo-resized.png"


def test_scaling_replaces_no_photo_and_needs_one(photo, capsys):
    Path("o").mkdir()
    Path(photo).rename("o/photo-resized.png")
    before = Path("o/photo-resized.png").read_bytes()
    assert main(["dream", "digits-mlp", "o/photo-resized.png", "--resize", "28", "--out", "o"]) == 2
    assert "would be replaced by the scaled photo" in capsys.readouterr().err
    assert Path("o/photo-resized.png").read_bytes() == before
    assert main(["dream", "digits-mlp", "--resize", "28", "--out", "o"]) == 2
    assert "--resize scales a photo; give one" in capsys.readouterr().err


def test_a_mask_is_scaled_with_the_photo(tmp_path, capsys):
    Image.effect_mandelbrot((60, 48), (-2, -1, 1, 1), 20).save("photo.png")
    mask = np.zeros((48, 60), np.uint8)
    mask[:, 30:] = 255
    Image.fromarray(mask).save("mask.png")
    line = "dream digits-cnn photo.png --resize 28 --mask mask.png --steps 3 --out o"
    assert main(line.split()) == 0
    said = capsys.readouterr().out
    assert all(f"wrote o/{name}.png\n" in said for name in ("dream", "photo-resized", "mask-resized"))
    before, after = (inputopt.read_photo(f"o/{name}.png") for name in ("photo-resized", "dream"))
    assert inputopt.read_photo("o/mask-resized.png").shape == (1, 28, 28)
    changed = (before - after).abs().amax((0, 1))
    assert float(changed[:13].max()) == 0
    assert float(changed[15:].max()) > 0.01
    assert main(["repeat", "o/dream.png", "--out", "again"]) == 0

    assert (
        main(
            ["attack", "digits-mlp", "photo.png", "--resize", "28", "--mask", "mask.png", "--eps", "0.5", "--out", "p"]
        )
        == 0
    )
    before, after = (inputopt.read_photo(f"p/{name}/photo.png") for name in ("clean", "attack"))
    assert float((before - after).abs().amax((0, 1))[:13].max()) == 0
    assert float((before - after).abs().max()) > 0.1
    assert main(["attack", "digits-mlp", "photo.png", "--mask", "mask.png"]) == 2


def test_a_mask_that_does_not_fit_or_is_transparent_is_refused(tmp_path, capsys):
    Image.effect_mandelbrot((60, 48), (-2, -1, 1, 1), 20).save("photo.png")
    Image.new("L", (30, 48)).save("narrow.png")
    layer = np.zeros((48, 60, 4), np.uint8)
    layer[24:] = 255  # transparent above, white below
    Image.fromarray(layer).save("layer.png")
    for mask, words in (
        ("narrow.png --resize 28", "The mask must be as large as the photo before --resize, 48 x 60, not 48 x 30."),
        ("layer.png --resize 28", "The mask has transparent areas; fill them with black"),
    ):
        assert main(f"dream digits-cnn photo.png --steps 1 --mask {mask}".split()) == 2
        assert words in capsys.readouterr().err
    small = Image.fromarray(layer[:28, :28])
    small.save("small_layer.png")
    with pytest.raises(ValueError, match="mask has transparent areas"):
        inputopt.dream(inputopt.load("digits-cnn"), torch.rand(1, 28, 28), ["conv1"], steps=1, mask="small_layer.png")
    assert main(["attack", "digits-mlp", "digits", "--count", "2", "--mask", "small_layer.png"]) == 2
    assert "The mask has transparent areas" in capsys.readouterr().err
    opaque = Image.new("RGBA", (28, 28), (255, 255, 255, 255))
    opaque.save("opaque.png")
    assert inputopt.dream(inputopt.load("digits-cnn"), torch.rand(1, 28, 28), ["conv1"], steps=1, mask="opaque.png")
