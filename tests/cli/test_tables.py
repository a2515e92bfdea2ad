"""Tables of networks: where the header, the classes and the numbers are, in training and afterwards."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import inputopt
from inputopt.cli.data.table_data import read_table
from inputopt.cli.main import main
from inputopt.nets.network_facts import NetworkFacts, TableColumns, facts_of, taken_from, to_header

pytestmark = pytest.mark.filterwarnings("ignore:The network was trained on")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def rows(*order, header=None, separator=","):
    """A table of two numbers, far apart, and their class, with its cells in this order."""
    random = np.random.default_rng(0)
    lines = [] if header is None else [header]
    for row in range(60):
        label = row % 2
        cells = {"a": f"{random.normal():.4f}", "b": f"{8 * label + random.normal():.4f}", "label": f"{label}"}
        lines.append(separator.join(cells[name] for name in order))
    return "\n".join(lines) + "\n"


def write(text, name="t.csv"):
    Path(name).write_text(text, encoding="utf-8")


def trained(line="", epochs=40):
    assert main(["train", "mlp", "t.csv", "--epochs", str(epochs), "--hidden", "8", "--quiet", *line.split()]) == 0


def accuracy(capsys, name):
    capsys.readouterr()
    assert main(["classify", "out/weights.safetensors", name, "--count", "60", "--json"]) == 0
    return json.loads(capsys.readouterr().out)["accuracy"]


def error(capsys, *line):
    assert main(list(line)) == 2
    return capsys.readouterr().err.strip().splitlines()[-1].removeprefix("inputopt: ")


@pytest.mark.parametrize(
    ("header", "label", "swapped"),
    [("a,b,2020", "", "b,a,2020"), ("a,b,3", "", "b,a,3"), ("0,1,2", "", "1,0,2"), ("0,1,label", "", "1,0,label")],
)
def test_columns_with_a_header_are_found_by_name_whatever_the_name_of_the_class(header, label, swapped, capsys):
    write(rows("a", "b", "label", header=header))
    write(rows("b", "a", "label", header=swapped), "swapped.csv")
    write(rows("a", "b", "label", header=header.replace(header.split(",")[1], "zzz", 1)), "other.csv")
    trained()
    assert facts_of(inputopt.load("out/weights.safetensors")).columns.names == tuple(header.split(",")[:2])
    assert accuracy(capsys, "t.csv") == accuracy(capsys, "swapped.csv") > 0.95
    assert main(["classify", "out/weights.safetensors", "other.csv"]) == 2


@pytest.mark.parametrize(
    ("order", "header", "label"),
    [
        (("label", "a", "b"), None, "1"),
        (("a", "label", "b"), None, "2"),
        (("label", "a", "b"), "2020,a,b", "2020"),
        (("label", "a", "b"), "label,0,1", "label"),
    ],
)
def test_the_class_stays_in_the_column_that_it_had_in_training(order, header, label, capsys):
    write(rows(*order, header=header))
    write(rows(*order), "bare.csv")
    write(rows("a", "b"), "numbers.csv")
    trained(f"--label {label}")
    assert accuracy(capsys, "t.csv") == accuracy(capsys, "bare.csv") > 0.95
    assert main(["classify", "out/weights.safetensors", "numbers.csv", "--count", "60", "--json"]) == 0
    found = [each["classes"][0]["name"] for each in json.loads(capsys.readouterr().out)["predictions"]]
    assert np.mean([name == str(row % 2) for row, name in enumerate(found)]) > 0.95


def test_a_first_row_of_numbers_is_only_a_header_if_its_class_occurs_once_and_its_cells_count():
    for first, is_header in (("0,1,label", True), ("0,1,7", True), ("0,1,5", False), ("1,0,label", False)):
        write(f"{first}\n3,4,5\n6,7,6\n")
        table = read_table("t.csv", None)
        assert (len(table.x) == 2) == is_header, first
        assert table.columns == (("0", "1") if is_header else ("1", "2"))


@pytest.mark.parametrize(
    ("text", "label", "column", "count"),
    [
        ("2,cat\n3,dog\n", "2", "2", 2),
        ("1,5\n2,6\n1,7\n", "1", "1", 3),
        ("0,1,2\n3.5,4.5,0\n6.5,7.5,0\n", "2", "2", 2),
        ("0,1,2\n0,4.5,0\n1,7.5,0\n", "1", "1", 3),
        ("2020,a\n0,5\n1,6\n", "2020", "2020", 2),
    ],
)
def test_a_label_that_is_a_number_is_that_of_a_column_or_its_name(text, label, column, count):
    write(text)
    table = read_table("t.csv", label)
    assert (table.label, len(table.y)) == (column, count)


@pytest.mark.parametrize(
    ("names", "label", "has_header", "place"),
    [
        (("2", "3"), "1", False, 0),
        (("1", "2"), "3", False, 2),
        (("a", "b"), "2020", True, 2),
        (("0", "1"), "2", True, 2),
        (("a", "b"), "kind", True, 2),
    ],
)
def test_files_of_earlier_versions_tell_where_the_class_was(names, label, has_header, place):
    columns = TableColumns(names, (0.0, 0.0), (1.0, 1.0), label, place)
    header = json.loads(json.dumps(to_header(NetworkFacts(columns=columns))))
    del header["facts"]["columns"]["place"]
    read = taken_from(header)[1].columns
    assert read == columns
    assert read.has_header == has_header
    header["facts"]["columns"]["low"] = [20240115.0, 0.0]
    header["facts"]["columns"]["high"] = [20240115.0, 1.0]  # a constant, which earlier versions gave no range
    ends = taken_from(header)[1].columns
    assert bool((torch.tensor(ends.low) < torch.tensor(ends.high)).all())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,a,c\n1,2,x\n3,4,y\n", "t.csv has several columns named 'a'; rename or remove all but one."),
        ("a,b,c\n1,2,x\n3,4,\n", "Row 3 of t.csv has no class in column c; add it, or remove the row."),
        ("1,2,x\n3,4,\n", "Row 2 of t.csv has no class in column 3; add it, or remove the row."),
        ("a,b,c\n1_0,2,x\n3,4,y\n", "Row 2 of t.csv has '1_0' where a finite number is expected; remove or encode it."),
        ("a,b,c\n1,2,x\n1e39,4,y\n", "Row 3 of t.csv has '1e39', which is beyond the range of 32-bit numbers; scale"),
        ("a,5,c\n1,2,x\n", "Row 1 of t.csv has 'a' where a finite number is expected; remove or encode it; if it is a"),
        ("a;b;c\n1;2;x\n", "t.csv separates its columns by semicolons; separate them by commas, and write decimals"),
        ("0,5;2,5;1\n0,5;2,5;0\n", "t.csv separates its columns by semicolons"),
        ("a\tb\tc\n1\t2\tx\n", "t.csv separates its columns by tabs"),
        ("a,b\n1,x\n2,x\n", "Column b of t.csv has fewer than two classes; name the column with --label."),
    ],
)
def test_a_table_that_cannot_be_learnt_is_a_sentence(text, words, capsys):
    write(text)
    assert error(capsys, "train", "mlp", "t.csv").startswith(words)


def test_a_missing_class_and_a_column_twice_are_refused_by_the_trained_network_too(capsys):
    write(rows("a", "b", "label", header="a,b,label"))
    trained(epochs=1)
    write("a,b,label\n1,2,0\n3,4,\n", "gap.csv")
    write("a,b,b,label\n1,2,2,0\n", "twice.csv")
    assert error(capsys, "classify", "out/weights.safetensors", "gap.csv").startswith("Row 3 of gap.csv has no class")
    assert "several columns named 'b'" in error(capsys, "classify", "out/weights.safetensors", "twice.csv")


def test_numbers_that_are_equal_are_one_class(capsys):
    write(rows("a", "b", "label", header="a,b,c").replace(",1\n", ",1.0\n", 9).replace(",0\n", ",0.0\n"))
    trained()
    assert facts_of(inputopt.load("out/weights.safetensors")).class_names == ("0", "1")
    assert accuracy(capsys, "t.csv") > 0.95


def test_a_class_is_spelled_as_in_the_network():
    write("a,b,c\n1,2,1\n3,4,2\n")
    columns = TableColumns(("a", "b"), (0.0, 0.0), (9.0, 9.0), "c", 2)
    assert read_table("t.csv", None, NetworkFacts(("1.0", "2.0"), columns=columns)).labels == ("1.0", "2.0")
    write("a,b,c\n1,2,007\n3,4,08\n1,2,9007199254740993\n1,2,9007199254740992\n")
    assert read_table("t.csv", None).labels == ("007", "08", "9007199254740992", "9007199254740993")


@pytest.mark.parametrize("value", [0.0, 0.1, 20240115.0, -1e12, 3.4e38, -3.4e38])
def test_a_constant_column_of_any_size_has_a_range_in_float32(value):
    columns = TableColumns.of(("a",), torch.full((3, 1), value), "c", 1)
    low, high = (torch.tensor(end) for end in (columns.low, columns.high))
    assert bool((low < high).all())
    assert bool((low <= torch.tensor(value)).all() and (torch.tensor(value) <= high).all())
    assert bool(torch.isfinite(high - low).all())


@pytest.mark.parametrize("value", ["20240115", "0.1", "1e38"])
def test_a_network_of_a_table_with_a_constant_column_is_loaded(value, capsys):
    write("".join(f"{value},{line}\n" for line in rows("a", "b", "label").splitlines()))
    trained()
    assert accuracy(capsys, "t.csv") > 0.95
    assert main(["attack", "out/weights.safetensors", "t.csv", "--count", "4", "--eps", "0.01", "--steps", "1"]) == 0


def test_a_column_whose_differences_float32_loses_is_refused(capsys):
    def table(offset, spread):
        return "a,b\n" + "".join(f"{offset + spread * row},{row // 30}\n" for row in range(60))

    write(table(1.7e9, 1))
    words = "The numbers in column a of t.csv differ by too little to be told apart as 32-bit numbers; subtract a"
    assert (
        error(capsys, "train", "mlp", "t.csv") == f"{words} constant from them, such as 1.7e+09, or remove the column."
    )
    for offset, spread in ((1.7e9, 86400), (0, 1), (2024, 0.1)):
        write(table(offset, spread))
        trained(epochs=1)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "t.csv",
            "Column b of t.csv, the last, has 60 classes in 60 rows, too few rows to hold some out of every cl",
        ),
        ("t.csv --label a", "t.csv has too few examples of classes "),
        ("t.csv --label one", "Column one of t.csv has fewer than two classes; name another column with --label."),
        (
            "rare.csv --seed SEED",
            "rare.csv has too few examples of class 'rare': all were held out; add others",
        ),
        ("out.npz", "The inputs of out.npz range from -2 to 3, but train takes values from 0 to 1; scale them."),
        (
            "levels.npz",
            "The inputs of levels.npz range from 0 to 255, but train takes values from 0 to 1; scale them (",
        ),
        ("gap.npz", "y in gap.npz has 2 different classes from 0 to 2000000000; number them from 0 to 1."),
    ],
)
def test_advice_fits_the_fault(line, words, capsys):
    random = np.random.default_rng(0)
    write("label,one,a,b\n" + "".join(f"{row % 2},1,{random.normal()},{random.normal()}\n" for row in range(60)))
    write("a,label\n" + "".join(f"{row},{row % 2}\n" for row in range(59)) + "7,rare\n", "rare.csv")
    y = np.arange(40) % 2
    np.savez("out.npz", x=np.linspace(-2, 3, 160, dtype="f4").reshape(40, 4), y=y)
    np.savez("levels.npz", x=np.linspace(0, 255, 160, dtype="f4").reshape(40, 4), y=y)
    np.savez("gap.npz", x=random.random((40, 4)), y=y * 2_000_000_000)
    seeds = range(40) if "SEED" in line else [0]
    for seed in seeds:  # the only row of a class is held out with some
        words_of = ["train", "mlp", *line.replace("SEED", str(seed)).split(), "--epochs", "1", "--quiet"]
        if main(words_of) == 2:
            break
    assert words in capsys.readouterr().err


def test_training_prints_its_classes_and_their_numbers(capsys):
    write(rows("a", "b", "label", header="a,b,label").replace(",0\n", ",no\n").replace(",1\n", ",yes\n"))
    assert main(["train", "mlp", "t.csv", "--epochs", "1"]) == 0
    assert capsys.readouterr().out.startswith("2 classes of column label (examples): no (30), yes (30)\naccuracy ")
    assert main(["train", "mlp", "t.csv", "--epochs", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["examples"] == [30, 30]
