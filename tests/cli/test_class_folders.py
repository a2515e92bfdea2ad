"""The classes of folders and tables are those of the network, by name or by number, and never silently 0, 1, 2, ..."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import inputopt
from inputopt.cli.data.class_matching import match_classes
from inputopt.cli.data.data_digest import digest_of
from inputopt.cli.data.image_folder import list_images
from inputopt.cli.main import main


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def matched(folders, names, classes):
    found = match_classes("The folder photos", folders, folders, names, classes)
    return found.how, list(found.indices.values())


def test_classes_are_matched_by_name_then_by_number_then_in_sorted_order():
    assert matched(["bee", "cat"], ["Cat", "dog", "BEE"], 3) == ("name", [2, 0])
    assert matched(["grey_wolf", "red-fox"], ["red fox", "grey wolf"], 2) == ("name", [1, 0])
    assert matched(["2", "cat"], ["cat", "dog", "bee"], 3) == ("name", [2, 0])
    assert matched(["007", "9"], None, 10) == ("number", [7, 9])
    assert matched(["7", "9"], ["5", "9", "7"], 3) == ("name", [2, 1])  # a network trained on these numbers
    assert matched(["2", "9", "10"], None, 3) == ("sorted order", [0, 1, 2])
    assert matched(["ant", "bee"], None, 2) == ("sorted order", [0, 1])


def test_imagenets_classes_are_matched_by_name_and_by_id():
    assert matched(["daisy", "great white shark", "n02129165", "985"], None, 1000) == ("name", [985, 2, 291, 985])


@pytest.mark.parametrize(
    ("folders", "names", "classes", "words"),
    [
        (["ant", "bee"], None, 10, "2 classes, of which 'ant', 'bee' match none of the network's 10; name each"),
        (["ant", "bee"], ["cat", "dog", "elk"], 3, "0 to 2, or by name, such as 'cat'."),
        (["dog", "wolf"], ["cat", "dog"], 2, "of which 'wolf' match none"),  # sorted order would make a dog a cat
        (["cat", "fish"], ["cat", "dog"], 2, "of which 'fish' match none"),  # and here a fish a dog
        (["cats", "dogs"], ["cat", "dog"], 2, "of which 'cats', 'dogs' match none"),
        (["3", "12"], None, 10, "of which '12' match none"),
        (["crane", "daisy"], None, 1000, "of which 'crane' match none"),  # two classes have this name
        (["7", "8"], ["5", "9", "7"], 3, "of which '8' match none"),
    ],
)
def test_classes_that_match_none_of_the_networks_are_refused(folders, names, classes, words):
    with pytest.raises(ValueError, match="name each class by its number in the network") as raised:
        matched(folders, names, classes)
    assert words in str(raised.value)


@pytest.fixture
def network_and_folder():
    """A network whose class 3 is light and class 7 is dark, and light and dark images in folders of these names."""
    weights = np.zeros((10, 16))
    weights[3], weights[7] = 1, -1
    net = inputopt.MLP([16, 10], "identity", weights=[weights], biases=[np.eye(10)[3] * -8 + np.eye(10)[7] * 8])
    names = ["a", "b", "c", "light", "e", "f", "g", "dark", "i", "j"]
    inputopt.save(net, "named.safetensors", class_names=names)
    inputopt.save(net, "plain.safetensors")
    for name, level in (("light", 250), ("dark", 5)):
        for number in range(3):
            path = Path(f"photos/{name}/{number}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((4, 4), level + number, np.uint8)).save(path)


VERBS = [
    "attack --steps 1",
    "evaluate --preset quick",
    "nearest --attack ddn --steps 3",
    "certify",
    "saliency",
    "spurious --steps 40 --grid 2,2",
    "ascend",
]


@pytest.mark.parametrize("line", VERBS)
def test_every_verb_matches_folders_and_refuses_those_that_match_no_class(line, network_and_folder, capsys):
    verb, *flags = line.split()
    assert main([verb, "./named.safetensors", "photos", *flags, "--json"]) in (0, 1)
    values = json.loads(capsys.readouterr().out)
    assert values["class_of"] == {"dark": 7, "light": 3}
    assert values["matched_by"] == "name"
    assert values["classes"] == {"3": 3, "7": 3}
    assert values.get("accuracy", values.get("clean_accuracy", 1.0)) == 1.0
    assert main([verb, "./plain.safetensors", "photos", *flags, "--out", "other"]) == 2
    assert "The folder photos has 2 classes, of which 'dark', 'light' match none" in capsys.readouterr().err
    assert not Path("other").exists()


def test_the_matching_is_printed_and_recorded(network_and_folder, capsys):
    line = "attack ./named.safetensors photos --steps 1 --eps 0.01"
    assert main(line.split()) == 0
    assert "\nclasses of the network by name: dark = 7, light = 3\n" in capsys.readouterr().out
    record = json.loads(Path("out/attack/result.json").read_text(encoding="utf-8"))
    assert (record["data"], record["class_of"]) == ("photos", {"dark": 7, "light": 3})
    assert {row["label"] for row in record["examples"]} == {3, 7}
    for number in (3, 7):
        Path("photos", "light" if number == 3 else "dark").rename(f"photos/{number}")
    assert main(line.split()) == 0
    assert "classes of the network by" not in capsys.readouterr().out


def test_tables_are_matched_too(capsys):
    rows = "".join(f"{row % 3},{1 - row % 3},{'ab9'[row % 3]}\n" for row in range(30))
    Path("t.csv").write_text(f"u,v,kind\n{rows}", encoding="utf-8")
    assert main(["train", "mlp", "t.csv", "--epochs", "40", "--quiet"]) == 0
    some = "".join(line + "\n" for line in rows.splitlines() if line[-1] == "b")
    Path("some.csv").write_text(f"u,v,kind\n{some}{rows.splitlines()[0]}\n", encoding="utf-8")
    line = "attack ./out/weights.safetensors some.csv --eps 0 --steps 1 --json"
    capsys.readouterr()
    assert main(line.split()) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["class_of"] == {"a": 1, "b": 2}  # the network's classes are 9, a and b
    assert values["accuracy"] == 1.0


@pytest.mark.parametrize("line", ["classify ./plain.safetensors floats", "train mlp floats --epochs 1"])
def test_folders_of_floating_point_images_are_refused(line, network_and_folder, capsys):
    for name in ("1", "2"):
        Path(f"floats/{name}").mkdir(parents=True)
        for number in range(3):
            Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(f"floats/{name}/{number}.tif")
    assert main(line.split()) == 2
    assert ".tif has floating-point values, of which none is known to be black or white" in capsys.readouterr().err


def images_in(folder, suffix=".png", level=100):
    Path(folder).mkdir(parents=True)
    for number in range(3):
        Image.fromarray(np.full((4, 4), level + number, np.uint8)).save(f"{folder}/{number}{suffix}")


@pytest.mark.parametrize("line", ["train mlp photos --epochs 1", "classify digits-mlp photos"])
def test_folders_of_the_same_number_are_refused(line, capsys):
    for name in ("007", "7", "8"):
        images_in(f"photos/{name}")
    assert main(line.split()) == 2
    assert "photos has subfolders 007 and 7, which are the same number; rename one of them" in capsys.readouterr().err


def test_a_folder_without_images_is_left_out_with_a_warning():
    for name in ("ant", "bee"):
        images_in(f"photos/{name}")
    for name in ("cat", "empty"):
        Path(f"photos/{name}").mkdir()
    Path("photos/cat/0.heic").touch()
    Path("photos/empty/.hidden").touch()
    with pytest.warns(
        inputopt.InputoptWarning, match=r"without a file that ends in \.png, .*, which are left out: cat\."
    ):
        files, _, _ = list_images(Path("photos"))
    assert len(files) == 6


def test_portable_pixmaps_are_read():
    for name in ("ant", "bee"):
        images_in(f"photos/{name}", ".ppm")
    assert main(["train", "mlp", "photos", "--epochs", "1"]) == 0
    assert inputopt.Frozen(inputopt.load("out/weights.safetensors")).facts.class_names == ("ant", "bee")


def test_a_folder_of_links_has_the_digest_of_its_files():
    for name, level in (("a", 10), ("b", 20)):
        images_in(f"{name}/x", level=level)
        Path(f"links-{name}").mkdir()
        Path(f"links-{name}/x").symlink_to(Path(f"{name}/x").absolute())
    assert digest_of("links-a") == digest_of("a")
    assert digest_of("links-a") != digest_of("links-b")
    before = digest_of("a")
    Path("a/x/back").symlink_to(Path("a").absolute())  # a circle
    assert digest_of("a") == before
    assert digest_of("links-a") != digest_of("links-b")
