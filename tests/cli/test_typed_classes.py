"""A number that is typed is the class of this name where a network's class names are numbers, in every verb."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import inputopt
from inputopt.cli.main import main
from inputopt.cli.typed_classes import file_names, typed_class

SIDE = 8


@pytest.fixture(autouse=True)
def network(tmp_path, monkeypatch):
    """Classes 1, 2 and 3, of which the class named 1 sees the top rows, 2 the middle ones and 3 the bottom."""
    monkeypatch.chdir(tmp_path)
    weights = np.zeros((3, SIDE, SIDE))
    weights[0, :2], weights[1, 3:5], weights[2, 6:] = 1, 1, 1
    net = inputopt.MLP([SIDE**2, 3], "identity", weights=[weights.reshape(3, -1)], biases=[np.zeros(3)])
    inputopt.save(net, "numbers.safetensors", class_names=["1", "2", "3"])
    inputopt.save(net, "plain.safetensors")
    for name in (1, 2, 3):
        for number in range(2):
            levels = np.zeros((SIDE, SIDE), np.uint8)
            levels[(name - 1) * 3 : (name - 1) * 3 + 2] = 150 + number
            path = Path(f"photos/{name}/{number}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(levels).save(path)


def values_of(capsys, line, status=0):
    assert main([*line.split(), "--json"]) == status
    return json.loads(capsys.readouterr().out)


def test_a_typed_number_is_a_name_where_names_are_numbers_and_else_an_index():
    assert typed_class("1", ["1", "2", "3"]) == 0
    assert typed_class("07", ["9", "7"]) == typed_class("7.0", ["9", "7"]) == 1
    assert typed_class("-1", ["-1", "1"]) == 0
    assert typed_class("1", ["1.0", "2.0"]) == 0
    assert [typed_class("1", names) for names in (None, ["cat", "dog"], ["0", "1"])] == [1, 1, 1]
    assert typed_class("dog", ["cat", "dog"]) == "dog"
    with pytest.raises(ValueError, match=r"called '0', and its names are numbers; choose from 1, 2, 3\."):
        typed_class("0", ["1", "2", "3"])


def test_targets_are_the_classes_of_the_typed_name(capsys):
    line = "attack ./numbers.safetensors photos --steps 5 --eps 1 --target 1 --attack pgd"
    values = values_of(capsys, line)
    assert {row["input"][0] for row in values["predictions"]} == {"2", "3"}  # those of the target are left out
    assert {row["after"][0]["name"] for row in values["predictions"]} == {"1"}
    assert values["class_names"] == ["1", "2", "3"]
    assert main(line.split()) == 0
    printed = capsys.readouterr().out
    assert "without those of the target class 1" in printed
    assert "classes of the network by name" not in printed  # each folder has the name of its class
    line = "nearest ./numbers.safetensors photos --attack ddn --steps 3 --target 3"
    assert values_of(capsys, line)["target"] == 2
    assert main(line.split()) == 0
    assert "without those of the target class 3" in capsys.readouterr().out
    assert main(["saliency", "./numbers.safetensors", "photos", "--target", "2"]) == 0
    assert np.load("out/saliency.npz")["classes"].tolist() == [1] * 6
    capsys.readouterr()
    line = "fool ./numbers.safetensors --count 2 --size 1x8x8 --target 1 --confidence 0.5"
    assert [row["class"] for row in values_of(capsys, line)["classes"]] == [0]
    assert main(line.split()) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[0] == "1"


def test_labels_are_the_classes_of_the_typed_name(capsys):
    for verb in ("classify", "ascend", "evaluate --preset quick", "nearest --attack ddn --steps 3", "certify"):
        name, *flags = verb.split()
        line = " ".join([name, "./numbers.safetensors photos/1/0.png --label 1", *flags])
        values = values_of(capsys, line)
        assert values["classes"] == {"0": 1}
        assert main(line.split()) == 0
        assert "all of class 1" in capsys.readouterr().out
    assert values_of(capsys, "classify ./numbers.safetensors photos/1/0.png --label 1")["accuracy"] == 1
    assert values_of(capsys, "classify ./plain.safetensors photos/1/0.png --label 0")["accuracy"] == 1


def test_classes_are_those_of_the_typed_name(capsys):
    picture = "--grey --size 8 --classes 3,1"
    values = values_of(capsys, f"visualize ./numbers.safetensors {picture} --steps 30 --quality draft")
    assert values["images"] == ["3", "1"]
    assert sorted(path.name for path in Path("out").glob("visualize-*.png")) == ["visualize-1.png", "visualize-3.png"]
    for name in ("1", "3"):
        levels = np.asarray(Image.open(f"out/visualize-{name}.png"), dtype=float).mean(1)
        assert (levels[:2].mean() > levels[6:].mean()) == (name == "1")
    values = values_of(capsys, f"evolve ./numbers.safetensors {picture} --generations 3 --confidence 0.01")
    assert list(values["probability"]) == ["3", "1"]
    levels = np.asarray(Image.open("out/evolve-1.png"), dtype=float).mean(1)
    assert levels[:2].mean() > levels[6:].mean()


def test_spurious_prints_the_names(capsys):
    line = "spurious ./numbers.safetensors photos --grid 2,2 --steps 20"
    assert main(line.split()) in (0, 1)
    printed = capsys.readouterr().out
    assert "class 3: " in printed
    assert "class 0: " not in printed


@pytest.mark.parametrize(
    "line",
    [
        "attack photos --target 0",
        "nearest photos --target 0",
        "saliency photos --target 0",
        "fool --size 1x8x8 --target 0",
        "visualize --grey --size 8 --classes 0",
        "evolve --grey --size 8 --classes 0",
        "classify photos/1/0.png --label 0",
        "evaluate photos/1/0.png --label 0",
    ],
)
def test_a_number_that_is_no_name_is_refused_with_the_names(line, capsys):
    verb, *rest = line.split()
    assert main([verb, "./numbers.safetensors", *rest]) == 2
    assert "'0', and its names are numbers; choose from 1, 2, 3." in capsys.readouterr().err


def test_classes_whose_names_make_one_file_name_have_files_of_their_own(capsys):
    net = inputopt.load("plain.safetensors")
    inputopt.save(net, "alike.safetensors", class_names=["a b", "a/b", "A-b"])
    line = ["visualize", "./alike.safetensors", "--grey", "--size", "8", "--steps", "2", "--quality", "draft", "--json"]
    assert main([*line, "--classes", "a b,a/b,A-b"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["images"] == list(values["probability"]) == ["a-b-0", "a-b-1", "A-b-2"]
    assert all(Path(f"out/visualize-{name}.png").is_file() for name in values["images"])
    line = ["evolve", "./alike.safetensors", "--grey", "--size", "8", "--generations", "1", "--confidence", "0.01"]
    assert main([*line, "--classes", "a b,a/b", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["probability"]) == ["a-b-0", "a-b-1"]


def test_numbered_file_names_are_distinct_too():
    assert file_names(["a b", "a/b", "a-b-0"], [0, 1, 2]) == ["a-b-0", "a-b-1", "a-b-0-2"]


def test_rows_of_a_table_are_named_after_their_class(capsys):
    rows = "".join(f"{row % 3},{1 - row % 3},{row % 3 + 1}\n" for row in range(30))
    Path("t.csv").write_text(f"u,v,kind\n{rows}", encoding="utf-8")
    assert main(["train", "mlp", "t.csv", "--epochs", "30", "--quiet"]) == 0
    Path("some.csv").write_text(f"u,v,kind\n{rows[: len(rows) // 2]}", encoding="utf-8")
    capsys.readouterr()
    values = values_of(capsys, "classify ./out/weights.safetensors some.csv --count 6")
    assert sorted(row["input"][:2] for row in values["predictions"]) == ["1/", "1/", "2/", "2/", "3/", "3/"]
    assert all(row["input"][0] == row["classes"][0]["name"] for row in values["predictions"])
