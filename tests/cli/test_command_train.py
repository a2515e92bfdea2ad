"""Training of a network on a table or on images: what it writes works on raw inputs, and bad tables are a sentence."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from contracts import digits
from PIL import Image

import inputopt
from inputopt.cli.commands import command_train
from inputopt.cli.commands.command_train import _lowest
from inputopt.cli.data import training_data
from inputopt.cli.data.table_data import read_table
from inputopt.cli.main import main, parse_words
from inputopt.cli.model_arguments import find_network
from inputopt.nets.network_facts import TableColumns
from inputopt.zoo.training_recipes import accuracy

TABLE = "length,width,kind\n" + "".join(
    f"{1000 + 50 * (row % 3) + row % 5},{0.001 * (row % 3)},{('eel', 'cat', 'dog')[row % 3]}\n" for row in range(60)
)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_table_is_learnt_and_the_network_takes_its_raw_columns(capsys):
    Path("t.csv").write_text(TABLE, encoding="utf-8")
    assert main(["train", "mlp", "t.csv", "--hidden", "8", "--epochs", "60", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["accuracy"] == {"training": 1.0, "held_out": 1.0}
    assert values["labels"] == ["cat", "dog", "eel"]
    net = inputopt.load("out/weights.safetensors")
    raw = torch.tensor([[1002.0, 0.0], [1052.0, 0.001], [1102.0, 0.002]])
    assert net(raw).argmax(1).tolist() == [2, 0, 1]  # eel, cat, dog
    card = Path("out/card.md").read_text(encoding="utf-8")
    assert "0 cat, 1 dog, 2 eel" in card
    assert "NOT FINISHED" not in card
    exec(card.split("```python")[1].split("```")[0])
    assert capsys.readouterr().out.strip() in values["labels"]


def test_the_log_and_the_gradients_of_the_layers_are_written(monkeypatch):
    Path("t.csv").write_text(TABLE, encoding="utf-8")
    figures = []
    monkeypatch.setattr(command_train, "save_figure", lambda figure, path: figures.append(figure))
    assert main(["train", "mlp", "t.csv", "--hidden", "8,6", "--epochs", "20", "--quiet"]) == 0
    head, *rows = Path("out/history.csv").read_text(encoding="utf-8").splitlines()
    assert head == "training index,error,cost"
    errors = [float(row.split(",")[1]) for row in rows]
    assert len(rows) > 30
    assert errors[-1] < errors[0] / 2
    last = figures[0].axes[-1]
    assert last.get_ylabel() == "gradient norm of a layer"
    assert [len(line.get_xdata()) for line in last.lines] == [len(rows)] * 3, "a line for each layer"


def test_a_network_of_a_table_has_the_range_of_its_columns_as_bounds(capsys):
    Path("t.csv").write_text(TABLE, encoding="utf-8")
    assert main(["train", "mlp", "t.csv", "--hidden", "8", "--epochs", "60", "--quiet"]) == 0
    net = find_network(parse_words(["nearest", "./out/weights.safetensors", "t.csv"]))
    table = read_table("t.csv", None)
    for bound, wanted in zip(net.bounds, (table.x.amin(0), table.x.amax(0)), strict=True):
        assert torch.equal(bound.to(wanted), wanted)
    line = ["nearest", "./out/weights.safetensors", "t.csv", "--norm", "l2", "--queries", "60", "--count", "6"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the network was trained on these inputs
        assert main([*line, "--bounds", "0,1"]) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith(
            "inputopt: The inputs of t.csv must lie in the network's bounds 0 to 1, but range from 0 "
        )
        assert "--bounds 0,1103" in error or "--bounds 0,1104" in error
        for bounds in ([], ["--bounds", "1000,0:1105,0.002"]):
            assert main([*line, *bounds, "--json"]) == 0
            assert json.loads(capsys.readouterr().out)["inputs"] == 6


PETS = "weight,height,kind\n" + "".join(
    f"{3 + 0.1 * number},{20 + number % 7},cat\n{20 + number},{50 + number % 5},dog\n" for number in range(20)
)


def test_rows_of_a_table_without_classes_are_classified_by_the_names_of_its_columns(capsys):
    Path("pets.csv").write_text(PETS, encoding="utf-8")
    assert main(["train", "mlp", "pets.csv", "--hidden", "8", "--epochs", "200", "--quiet"]) == 0
    rows = {
        "new": "weight,height\n3.5,22\n30,52\n",
        "swapped": "height,weight\n22,3.5\n52,30\n",
        "labelled": "kind,height,weight\ncat,22,3.5\ndog,52,30\n",
        "bare": "3.5,22\n30,52\n",
        "far": "weight,height\n-10,0\n3000,5000\n",
    }
    found = {}
    for name, text in rows.items():
        Path(f"{name}.csv").write_text(text, encoding="utf-8")
        capsys.readouterr()
        assert main(["classify", "out/weights.safetensors", f"{name}.csv", "--json"]) == 0
        values = json.loads(capsys.readouterr().out)
        found[name] = [each["classes"] for each in values["predictions"]]
        assert [row[0]["name"] for row in found[name]] == ["cat", "dog"]
        assert ("accuracy" in values) == (name == "labelled")
    assert found["new"] == found["swapped"] == found["labelled"] == found["bare"]
    Path("one.csv").write_text("weight,height,kind\n3.5,22,cat\n", encoding="utf-8")
    assert main(["classify", "out/weights.safetensors", "one.csv"]) == 0
    capsys.readouterr()
    assert main(["attack", "out/weights.safetensors", "new.csv"]) == 0
    assert "2 of 2 rows of new.csv, taken for the predicted classes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("verb", "text", "words"),
    [
        ("evaluate", "weight,height\n3.5,22\n", "new.csv has no column of classes, which evaluate needs; add one."),
        ("classify", "weight,kind\n3.5,cat\n", "new.csv has no column 'height', which the network was trained on"),
        ("classify", "weight,height,age,kind\n3,22,1,cat\n", "new.csv has a column 'age' that the network was not"),
        ("classify", "id,weight,height\n7,3.5,22\n", "has a column 'id' that the network was not trained on, and its"),
        ("classify", "weight,height,kind\n3,22,cat\n4,20,fish\n", "of which 'fish' match none of the network's 2"),
        ("classify", "1,2,3,4\n", "new.csv has 4 columns, but the network takes 2, and a class."),
        ("classify", "weight,height\n", "new.csv has a header but no rows."),
        ("attack", "weight,height\n3.5,22\n900,22\n", "must lie in the network's bounds"),
    ],
)
def test_tables_that_do_not_fit_the_trained_columns_are_refused(verb, text, words, capsys):
    Path("pets.csv").write_text(PETS, encoding="utf-8")
    assert main(["train", "mlp", "pets.csv", "--hidden", "4", "--epochs", "2", "--quiet"]) == 0
    Path("new.csv").write_text(text, encoding="utf-8")
    assert main([verb, "out/weights.safetensors", "new.csv"]) == 2
    assert words in capsys.readouterr().err


def test_a_constant_column_has_a_range_of_one():
    columns = TableColumns.of(("a", "b"), torch.tensor([[2.0, 1.0], [2.0, 3.0]]), "c", 2)
    assert (columns.low, columns.high) == ((1.5, 1.0), (2.5, 3.0))


def test_the_class_may_be_in_any_column_and_the_header_may_be_missing():
    Path("t.csv").write_text("7,1.5\n8,2.5\n7,3.5\n", encoding="utf-8")
    table = read_table("t.csv", "1")
    assert table.columns == ("2",)
    assert table.labels == ("7", "8")
    assert table.x.tolist() == [[1.5], [2.5], [3.5]]
    assert table.y.tolist() == [0, 1, 0]


def test_numeric_labels_are_sorted_as_numbers():
    Path("t.csv").write_text("a,b\n1,10\n1,9\n1,2\n", encoding="utf-8")
    assert read_table("t.csv", None).labels == ("2", "9", "10")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,x\n2\n", "Row 3 of t.csv has 1 columns, but the first has 2."),
        ("a,b,c\n1,2,x\n1,?,y\n", "Row 3 of t.csv has '?' where a finite number is expected"),
        ("a,b,c\n1,2,x\n1,nan,y\n", "Row 3 of t.csv has 'nan'"),
        ("a,b\n1,x\n2,x\n", "fewer than two classes"),
        ("", "at least two columns"),
        ("a\n1\n", "at least two columns"),
        ("a,b\n1,x\n2,y\n", "too few rows"),
    ],
)
def test_a_bad_table_is_a_sentence_and_nothing_is_written(text, words, capsys):
    Path("t.csv").write_text(text, encoding="utf-8")
    assert main(["train", "mlp", "t.csv"]) == 2
    assert words in capsys.readouterr().err
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("train mlp", "mlp needs data"),
        ("train mlp gone.csv", "There is no file gone.csv"),
        ("train mlp t.csv --label kinds", "did you mean 'kind'"),
        ("train digits-mlp --epochs 3", "The recipe of digits-mlp is fixed; omit --epochs."),
        ("train digits-mlp digits", "The recipe of digits-mlp is fixed; omit data."),
        ("train mlp digits --holdout 0.1", "The digits have a fixed split"),
        ("train mlp digits --label kind", "--label names a column of a .csv table"),
        ("train digits-mlp --learning-rate 1", "omit --learning-rate."),
        ("train mlpp t.csv", "did you mean 'mlp'"),
    ],
)
def test_wrong_lines(line, words, capsys):
    Path("t.csv").write_text(TABLE, encoding="utf-8")
    assert main(line.split()) == 2
    assert words in capsys.readouterr().err


def test_a_folder_of_images_is_learnt(capsys):
    random = np.random.default_rng(0)
    for label, low in {"dark": 0, "light": 155}.items():
        Path("images", label).mkdir(parents=True)
        for number in range(12):
            Image.fromarray(random.integers(low, low + 100, (6, 6), dtype=np.uint8)).save(
                f"images/{label}/{number}.png"
            )
    assert main(["train", "mlp", "images", "--hidden", "4", "--epochs", "40", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["labels"] == ["dark", "light"]
    assert values["accuracy"]["held_out"] == 1.0
    assert len(values["held_out_error"]) > 20
    assert values["held_out_error"][str(values["updates"])] == 0.0
    line = ["evaluate", "./out/weights.safetensors", "images", "--preset", "quick", "--count", "8", "--json"]
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main(line) == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert report["clean_accuracy"] == 1.0
    assert (report["class_of"], report["matched_by"]) == ({"dark": 0, "light": 1}, "name")
    assert printed.err == (
        "inputopt: warning: The network was trained on images, so accuracies measured on it are higher than on new "
        "data.\n"
    )
    Path("images/dark/0.png").rename("images/dark/other.png")  # no longer the same data
    assert main(line) == 0
    assert capsys.readouterr().err == ""


def test_digits_are_trained_on_the_part_that_other_verbs_do_not_test(monkeypatch, capsys):
    seen = []

    def watched(net, x, y, **settings):
        seen.append((x.clone(), y.clone()))
        return inputopt.train(net, x, y, **settings)

    monkeypatch.setattr(command_train, "train", watched)
    monkeypatch.setattr(training_data, "load_digits", digits)
    assert main(["train", "mlp", "digits", "--epochs", "1", "--hidden", "8", "--json"]) == 0
    (trained,) = seen
    assert torch.equal(trained[0], digits().x)
    assert torch.equal(trained[1], digits().y)
    net = inputopt.load("out/weights.safetensors")
    values = json.loads(capsys.readouterr().out)
    assert values["accuracy"]["held_out"] == pytest.approx(accuracy(net, digits().held_x, digits().held_y))
    assert values["accuracy"]["training"] == pytest.approx(accuracy(net, digits().x, digits().y))
    assert "5,000 rows, 1,000 held out" in Path("out/card.md").read_text(encoding="utf-8")
    assert inputopt.Frozen(net).facts.class_names == tuple("0123456789")


def test_the_card_says_where_the_held_out_error_was_lowest():
    assert _lowest({0: {"held_out": 0.5}, 9: {"held_out": 0.1}, 5: {"held_out": 0.1}, 20: {"held_out": 0.3}}) == (
        "; the error on held-out data was 30.0% at the end, and lowest, 10.0%, after 5 updates"
    )
    assert _lowest({0: {"held_out": 0.5}, 9: {"held_out": 0.1}}) == ""


def test_training_is_the_same_for_the_same_seed(capsys):
    Path("t.csv").write_text(TABLE, encoding="utf-8")
    for out, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert main(f"train mlp t.csv --epochs 3 --seed {seed} --out {out}".split()) == 0
    weights = [Path(out, "weights.safetensors").read_bytes() for out in "abc"]
    assert weights[0] == weights[1] != weights[2]
