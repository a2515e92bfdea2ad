"""`inputopt certify`: the same numbers as the library, and one sentence for what does not go together."""

import json
import re

import pytest

import inputopt
from inputopt.cli.data.data_arguments import find_data
from inputopt.cli.main import main


def test_it_writes_a_row_for_each_input(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["certify", "digits-mlp", "digits", "--eps", "0.03", "--count", "20", "--budget", "0"]) == 0
    assert "%) certified in linf 0.03" in capsys.readouterr().out
    written = json.loads((tmp_path / "out" / "certificate.json").read_text())
    net = inputopt.Frozen(inputopt.load("digits-mlp"))
    data = find_data("digits", 20)
    found = inputopt.certify(net, data.inputs(net), data.y, eps=0.03, budget=0)
    assert [row["certified"] for row in written["inputs"]] == found.certified.tolist()
    assert [row["method"] for row in written["inputs"]] == list(found.method)
    assert written["certified_accuracy"] == found.accuracy
    assert written["proven_by"]["none"] == 20 - int(found.certified.sum())
    wrong = net(data.inputs(net)).argmax(1) != data.y
    assert [row["misclassified"] for row in written["inputs"]] == wrong.tolist()


def test_inputs_that_are_not_proven_or_misclassified_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["certify", "digits-mlp", "digits", "--eps", "0.05", "--count", "40", "--budget", "0"]) == 0
    said = capsys.readouterr().out
    rows = json.loads((tmp_path / "out" / "certificate.json").read_text())["inputs"]
    wrong = [row["name"] for row in rows if row["misclassified"]]
    unproven = [row["name"] for row in rows if not row["certified"] and not row["misclassified"]]
    assert len(wrong) <= 4 < len(unproven)
    assert f"\nmisclassified: {', '.join(wrong)}\n" in said
    assert f"\nnot proven: {', '.join(unproven[:4])} and {len(unproven) - 4} more\n" in said
    assert re.search(rf"misclassified +{len(wrong)}\n", said)


def test_a_smoothed_classifier_is_certified_in_l2(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    line = ["certify", "digits-mlp", "--norm", "l2", "--eps", "0.2", "--sigma", "0.2", "--draws", "60", "--count", "10"]
    assert main([*line, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert 0 <= values["certified_accuracy"] <= 1
    assert (values["sigma"], values["draws"]) == (0.2, 60)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--draws", "5"], "--draws applies to a smoothed classifier"),
        (["--sigma", "0.2"], "--sigma certifies in l2"),
        (["--eps", "8"], "eps 8 is larger than the width"),
        (["--norm", "l0"], "l0"),
    ],
)
def test_what_does_not_go_together_is_one_line(arguments, message, capsys):
    try:
        status = main(["certify", "digits-mlp", *arguments])
    except SystemExit as ended:  # argparse ends the program itself
        status = ended.code
    error = capsys.readouterr().err
    assert status == 2
    assert message in error
    assert "Traceback" not in error
