import json
import re
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from contracts import digits
from PIL import Image
from verb_parsers import command_runner

import inputopt
from inputopt.cli.commands import command_evaluate
from inputopt.cli.data import data_arguments as inputs
from inputopt.cli.earlier_files import RECORD
from inputopt.cli.main import main


@pytest.fixture
def run(capsys):
    return command_runner(capsys)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(inputs, "load_digits", digits)


def files():
    return sorted(str(path) for path in Path("o").rglob("*") if path.is_file() and path.name != RECORD)


def small_images(count=6):
    """Two classes of 4 x 4 images, the bright ones 1, and a network that tells them apart."""
    levels = np.random.default_rng(0).integers(90, 110, (count, 4, 4), dtype=np.uint8)
    levels[count // 2 :] += 40
    labels = np.arange(count) // (count // 2)
    weights = np.stack([-np.ones(16), np.ones(16)])
    net = inputopt.MLP([16, 2], "identity", weights=[weights], biases=[np.array([1.0, -1.0]) * 16 * 120 / 255])
    inputopt.save(net, "bright.safetensors")
    return levels, labels


def test_an_attack_prints_a_table_or_plain_values(run):
    table = run("attack", "digits-mlp", "--count", 8, "--steps", 3, "--out", "o")
    plain = json.loads(run("attack", "digits-mlp", "--count", 8, "--steps", 3, "--out", "o", "--json"))
    assert plain["inputs"] == 8
    assert plain["accuracy_under_attack"] < plain["accuracy"]
    assert re.search(rf"^forwards +{plain['forwards']}$", table, re.MULTILINE)
    images = sorted(Path("o/attack").glob("*/*.png"))
    assert len(images) == 8, "one image each, under the input's class and position"
    assert files() == ["o/attack.png", *map(str, images), "o/attack/result.json"]
    assert json.loads(Path("o/attack/result.json").read_text())["made by"] == "PGD"


def test_an_evaluation_prints_a_row_an_attack_and_saves_the_report(run):
    plain = json.loads(run("evaluate", "digits-mlp", "--count", 8, "--preset", "quick", "--out", "o", "--json"))
    fooled = [path for path in files() if path.count("/") == 3]
    lost = plain["clean_accuracy"] - plain["robust_accuracy"]
    assert len(fooled) == 8 * lost, "an image for each input that was fooled, none for those misclassified before"
    assert set(files()) - set(fooled) == {
        *("o/evaluation.png", "o/evaluation/report.json", "o/evaluation/x.safetensors")
    }
    assert plain["levels"] == 256
    saved = json.loads(Path("o/evaluation/report.json").read_text())
    jsonschema.validate(plain, inputopt.Report.schema())
    assert plain.pop("files") == ["o/evaluation.png", "o/evaluation"]
    assert plain.pop("failed_gates") == []
    assert saved == plain
    text = run("evaluate", "digits-mlp", "--count", 8, "--preset", "quick", "--out", "o")
    for row in plain["attacks"]:
        assert row["name"] in text


@pytest.mark.parametrize("data", ["folder", "npz"])
def test_pngs_written_by_an_attack_on_levels_are_still_adversarial(data, run):
    levels, labels = small_images()
    if data == "npz":
        np.savez("data.npz", x=levels[:, None], y=labels)
    for number, (image, label) in enumerate(zip(levels, labels, strict=True)):
        Path("data", str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(f"data/{label}/{number}.png")
    name = "data.npz" if data == "npz" else "data"
    common = ("--levels", 256, "--out", "o", "--json")
    plain = json.loads(run("attack", "./bright.safetensors", name, "--eps", 0.2, *common))
    assert (plain["accuracy"], plain["success"]) == (1.0, 1.0)
    again = json.loads(run("attack", "./bright.safetensors", "o/attack", "--eps", 0.0, "--out", "p", "--json"))
    assert again["inputs"] == 6
    assert again["accuracy"] == 0.0
    for number, label in enumerate(labels):
        with Image.open(f"o/attack/{label}/{number if data == 'folder' else f'{number:05}'}.png") as image:
            assert np.abs(np.asarray(image).astype(int) - levels[number]).max() <= 0.2 * 255


def test_a_model_from_a_function(run):
    levels, labels = small_images()
    np.savez("data.npz", x=levels[:, None], y=labels)
    Path("own_model_of_a_test.py").write_text(
        "import inputopt\n\ndef bright():\n    return inputopt.load('./bright.safetensors')\n"
    )
    plain = run("attack", "own_model_of_a_test:bright", "data.npz", "--out", "o", "--json")
    assert json.loads(plain)["accuracy"] == 1.0


def test_an_evaluation_writes_the_page_that_names_its_command_and_its_sample(run):
    words = ("evaluate", "digits-mlp", "digits", "--count", 8, "--seed", 3, "--preset", "quick", "--report", "p/r.html")
    plain = json.loads(run(*words, "--out", "o", "--json"))
    assert plain["files"][-1] == "p/r.html"
    text = Path("p/r.html").read_text(encoding="utf-8")
    assert f"8 of {plain['of']:,} inputs of digits, stratified by class, seed 3" in text
    line = "inputopt evaluate digits-mlp digits --count 8 --seed 3 --preset quick --report p/r.html --out o --json"
    assert line in text
    assert ["inputopt", *plain["command"]] == line.split()
    saved = json.loads(Path("o/evaluation/report.json").read_text(encoding="utf-8"))
    assert jsonschema.Draft202012Validator(inputopt.Report.schema()).is_valid(saved)
    assert plain["claim"]["evaluation_method"].endswith(f"8 of {plain['of']:,} inputs of digits, {saved['sampling']}")


def test_a_page_that_cannot_be_written_is_refused_before_any_work(capsys, monkeypatch):
    monkeypatch.setattr(command_evaluate, "evaluate", None)
    Path("p").mkdir()
    assert main(["evaluate", "digits-mlp", "--report", "p"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("inputopt: Cannot write p: Is a directory; choose another path with --report")


def test_each_row_is_explained_below_the_table_and_in_the_json(run):
    shown = run("evaluate", "digits-mlp", "digits", "--count", 10, "--preset", "quick", "--out", "o")
    saved = json.loads(Path("o/evaluation/report.json").read_text(encoding="utf-8"))
    for row in saved["attacks"]:
        assert f"\n{row['name']}: {row['meaning']}\n" in shown
        assert "(" in row["meaning"]  # the paper


def test_the_page_has_the_title_and_the_names_that_are_given(run):
    words = ("--count", 8, "--preset", "quick", "--report", "r.html", "--title", "My model", "--out", "o", "--quiet")
    run("evaluate", "digits-mlp", "digits", *words)
    page = Path("r.html").read_text(encoding="utf-8")
    assert "<h1>My model</h1>" in page
    shown = re.findall(r"; input (\d)/\d{5}</p>", page)
    assert len(shown) == 6
    assert set(shown) <= set("0123456789")
