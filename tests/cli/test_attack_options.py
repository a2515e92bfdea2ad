"""Settings of attacks at the command line, targets of `nearest`, and the exit status of `evaluate --fail-under`."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from contracts import digits
from PIL import Image

import inputopt
from inputopt.attacks import DDN, PGD
from inputopt.cli.data import data_arguments
from inputopt.cli.data.data_arguments import find_data
from inputopt.cli.main import main


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data_arguments, "load_digits", digits)
    mask = np.zeros((28, 28), np.uint8)
    mask[:, 14:] = 255
    Image.fromarray(mask).save("mask.png")
    Image.fromarray(mask[:20]).save("small.png")


def found(capsys, line):
    assert main([*line.split(), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    return values, json.loads(Path("out", line.split()[0], "result.json").read_text(encoding="utf-8"))


def test_settings_of_attacks_are_those_of_python(capsys):
    line = "attack digits-mlp digits --count 12 --eps 0.06 --steps 3 --levels 0"
    net = inputopt.load("digits-mlp")
    data, x = find_data("digits", 12).read(inputopt.Frozen(net))
    mask = torch.zeros(1, 28, 28, dtype=torch.bool)
    mask[..., 14:] = True
    for flags, settings in {
        "": {},
        "--restarts 4": {"restarts": 4},
        "--step-size 0.5": {"step_size": 0.5},
        "--mask mask.png": {"mask": mask},
        "--eot-samples 2": {"eot_samples": 2},
    }.items():
        values, record = found(capsys, f"{line} {flags}")
        attacked = PGD(eps=0.06, steps=3, **settings)(net, x, data.y)
        already = net(x).argmax(1) != data.y
        assert values["fooled"] == int((attacked.success & ~already).sum()), flags
        assert values["forwards"] == int(attacked.forwards.sum()), flags
        assert record["settings"].keys() >= settings.keys() - {"mask"}


def test_a_mask_keeps_the_rest_of_each_image(capsys):
    found(capsys, "attack digits-mlp digits --count 6 --eps 0.3 --mask mask.png")
    data, x = find_data("digits", 6).read(inputopt.Frozen(inputopt.load("digits-mlp")))
    for name, clean in zip(data.names, x, strict=True):
        made = inputopt.read_photo(f"out/attack/{name}.png", 1)
        assert torch.equal(made[..., :14], clean[..., :14])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--attack fgsm --steps 3", "fgsm has no --steps, which applies to "),
        ("--attack square --restarts 3", "square has no --restarts, which applies to apgd and pgd; omit it."),
        ("--attack apgd --step-size 1", "apgd has no --step-size, which applies to bim and pgd; omit it."),
        ("--mask gone.png", "There is no file gone.png"),
        ("--mask small.png", "mask must be bool and broadcast with the inputs"),
        ("--restarts 0", "--restarts must be a whole number of at least 1"),
        ("--step-size 0", "--step-size must be a finite number above 0"),
    ],
)
def test_settings_that_do_not_apply_are_refused(line, words, capsys):
    assert main(f"attack digits-mlp digits --count 4 {line}".split()) == 2
    assert words in capsys.readouterr().err
    assert not Path("out").exists()


def test_nearest_takes_a_target(capsys):
    line = "nearest digits-mlp digits --count 10 --attack ddn --steps 20 --levels 0 --target three"
    values, record = found(capsys, line)
    assert (values["target"], values["inputs"]) == (3, 9)  # without the one that is a 3
    net = inputopt.load("digits-mlp")
    data, x = find_data("digits", 10).read(inputopt.Frozen(net))
    rows = data.y != 3
    attacked = DDN(steps=20)(net, x[rows], data.y[rows], 3)
    assert [row["distance"] for row in record["examples"]] == pytest.approx(attacked.distance.tolist(), rel=1e-5)
    assert {row["prediction"] for row in record["examples"] if row["success"]} == {3}
    assert main(line.split()) == 0
    assert "accuracy is the share of inputs that are not classified as the target" in capsys.readouterr().out


def test_evaluate_ends_with_status_1_below_the_given_share(capsys):
    line = "evaluate digits-mlp digits --count 20 --preset quick --eps 0.04"
    assert main([*line.split(), "--json"]) == 0
    share = json.loads(capsys.readouterr().out)["robust_accuracy"]
    assert 0 < share < 1
    assert main([*line.split(), "--fail-under", str(share)]) == 0
    assert "--fail-under" not in capsys.readouterr().out
    assert main([*line.split(), "--fail-under", str(share + 0.01)]) == 1
    assert (
        f"robust accuracy {100 * share:.1f} % is below {100 * share + 1:.1f} % (--fail-under)"
        in capsys.readouterr().out
    )
    assert Path("out/evaluation/report.json").exists()
    assert main([*line.split(), "--fail-under", "1", "--json"]) == 1
    printed = capsys.readouterr()
    assert "is below 100.0 % (--fail-under)" in printed.err
    assert json.loads(printed.out)["failed_gates"] == printed.err.splitlines()
    assert main([*line.split(), "--fail-under", "40"]) == 2
    assert "--fail-under must be a finite number at least 0 and at most 1, not '40'." in capsys.readouterr().err


def test_evaluate_ends_with_status_1_where_the_figure_is_in_doubt(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    code = (
        "import inputopt, torch\nnet = inputopt.load('digits-mlp')\ndef make(): return lambda x: net(torch.round(x))\n"
    )
    Path("rounded.py").write_text(code, encoding="utf-8")
    line = "evaluate rounded.py:make digits --count 10 --preset quick --json"
    assert main(line.split()) == 0
    assert main([*line.split(), "--fail-on-doubt"]) == 1
    assert "zero_gradient" in capsys.readouterr().err.splitlines()[-1]
    assert main(["evaluate", "digits-mlp", "digits", "--count", "10", "--preset", "quick", "--fail-on-doubt"]) == 0
