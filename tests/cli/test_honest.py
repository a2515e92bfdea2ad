"""What the command line promises: models of one's own, honest samples, and a sentence however a command ends."""

import errno
import json
import os
import re
import resource
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from contracts import digits, digits_net
from torch import nn
from verb_parsers import verb_parsers

import inputopt
from inputopt.cli import memory_limits, model_arguments, photo_arguments
from inputopt.cli.commands import command_attack
from inputopt.cli.data import data_arguments
from inputopt.cli.data.data_arguments import find_data, spread
from inputopt.cli.main import main, parse_words, sentence
from inputopt.cli.memory_limits import bytes_a_picture, check_memory, memory
from inputopt.files import check_writable
from inputopt.training.history import History
from inputopt.zoo import training_recipes


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for module in (data_arguments, photo_arguments):
        monkeypatch.setattr(module, "load_digits", digits)  # the same, read once


@pytest.fixture
def models(monkeypatch):
    """A module whose functions and values a --model can name."""

    def add(**values):
        monkeypatch.setitem(sys.modules, "nets_of_a_test", type("Nets", (), values))

    return add


def options(*words):
    return parse_words([str(word) for word in words])


def found(*words):
    return model_arguments.find_network(options("attack", *words))


# --------------------------------------------------------------------------------------------------------------- models
def test_a_model_may_be_a_module_a_frozen_or_a_function_or_what_makes_one(models):
    net, x = digits_net(), digits().held_x[:5]
    frozen = inputopt.Frozen(net, (0.0, 2.0))
    models(net=net, make=staticmethod(lambda: net), freeze=staticmethod(lambda: frozen), frozen=frozen)
    for name in ("net", "make", "freeze", "frozen"):
        torch.testing.assert_close(found(f"nets_of_a_test:{name}")(x), net(x))
    assert found("nets_of_a_test:freeze") is found("nets_of_a_test:frozen") is frozen
    assert found("nets_of_a_test:make").name == "nets_of_a_test:make", "so that a picture can say what made it"
    models(function=staticmethod(lambda: lambda x: net(x) * 2))
    torch.testing.assert_close(found("nets_of_a_test:function")(x), 2 * net(x))


def test_what_a_model_expects_is_said_in_options(models):
    seen = []

    class Looks(nn.Module):
        def forward(self, x):
            seen.append(x)
            return x.flatten(1)

    models(net=Looks())
    x = torch.rand(2, 3, 4, 4)
    net = found("nets_of_a_test:net", "--mean", ".5,.25,0", "--std", "2", "--bounds", "-1,1")
    assert net.bounds == (-1, 1)
    net(x)
    torch.testing.assert_close(seen[-1], (x - torch.tensor([0.5, 0.25, 0])[:, None, None]) / 2)
    assert found("nets_of_a_test:net", "--bounds", "-.5,.5").bounds == (-0.5, 0.5)
    assert found("nets_of_a_test:net", "--bounds=-3,-1").bounds == (-3, -1)


def test_every_command_that_takes_a_model_takes_what_it_expects():
    parsers = verb_parsers()
    taking = {name for name, command in parsers.items() if any(a.dest == "model" for a in command._actions)}
    assert taking - {"repeat", "train", "models"} == {  # a recipe says how its network was frozen; models runs none
        name for name, command in parsers.items() if {"mean", "std", "bounds"} <= {a.dest for a in command._actions}
    }
    assert len(taking) == 20


def test_images_are_put_into_the_bounds_and_floats_are_left(models):
    models(net=nn.Flatten())
    levels = np.random.default_rng(0).integers(0, 256, (4, 1, 3, 3), dtype=np.uint8)
    np.savez("levels.npz", x=levels, y=[0, 1, 2, 3])
    np.savez("floats.npz", x=levels.astype(np.float64), y=np.arange(4, dtype=np.uint16))
    net = found("nets_of_a_test:net", "--bounds", "-1,255")
    torch.testing.assert_close(find_data("levels.npz", 9).inputs(net), torch.tensor(levels) / 255 * 256 - 1)
    assert torch.equal(find_data("floats.npz", 9).inputs(net), torch.tensor(levels).float())
    for index, image in enumerate(levels):
        inputopt.Picture(torch.tensor(image) / 255).save(f"folder/{index}/a.png")
    torch.testing.assert_close(find_data("folder", 9).inputs(net), torch.tensor(levels) / 255 * 256 - 1)


def test_code_of_the_users_prints_to_stderr_and_leaves_the_path_alone(capsys):
    Path("chatty_net.py").write_text(
        "import sys\nimport inputopt\nprint('loading')\nsys.path.append('somewhere')\n"
        "def make():\n    print('making')\n    return inputopt.MLP([4, 2], 'identity')\n"
    )
    before = list(sys.path)
    found("chatty_net:make")
    assert sys.path == [*before, "somewhere"]
    sys.path.remove("somewhere")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "loading\nmaking\n")


# -------------------------------------------------------------------------------------------------------------- samples
def test_a_sample_has_each_class_by_its_share_and_is_drawn_from_the_seed():
    labels = np.repeat([0, 1, 2], [900, 90, 10])
    for count in (10, 100, 333, 1000):
        found = np.bincount(labels[spread(labels, count, 0)], minlength=3)
        assert found.sum() == count
        assert np.abs(found - count * np.array([0.9, 0.09, 0.01])).max() <= 1
    assert np.array_equal(spread(labels, 50, 3), spread(labels, 50, 3))
    assert not np.array_equal(spread(labels, 50, 3), spread(labels, 50, 4))
    assert (np.diff(spread(labels, 50, 3)) > 0).all(), "in the order that they have"
    mean = np.mean([np.bincount(labels[spread(labels, 20, seed)], minlength=3) for seed in range(400)], axis=0)
    np.testing.assert_allclose(mean, [18, 1.8, 0.2], atol=0.12)  # five standard errors


def test_a_sample_says_what_it_is_of(capsys, monkeypatch):
    monkeypatch.setattr(command_attack, "save_pairs", lambda *given: [])
    some = find_data("digits", 25, seed=1)
    assert some.described() == "25 of 1,000 inputs of digits: 10 classes, 2 to 3 of each"
    assert find_data("digits", 5000).described() == "1,000 of 1,000 inputs of digits: 10 classes, 100 of each"
    assert sum(some.plain()["classes"].values()) == some.plain()["inputs"] == 25
    assert torch.equal(some.inputs(found("digits-mlp")), digits().held_x[torch.from_numpy(some.positions)])
    assert torch.equal(some.y, digits().held_y[torch.from_numpy(some.positions)])
    assert set(some.without(3).counts()) == set(range(10)) - {3}
    assert main(["attack", "digits-mlp", "--count", "10", "--steps", "1", "--json", "--out", "o"]) == 0
    assert json.loads(capsys.readouterr().out)["classes"] == {str(label): 1 for label in range(10)}
    assert main(["attack", "digits-mlp", "--count", "10", "--steps", "1", "--out", "o"]) == 0
    assert capsys.readouterr().out.startswith("10 of 1,000 inputs of digits: 10 classes, 1 of each\n")


def test_inputs_that_are_misclassified_before_are_not_counted_as_fooled(capsys):
    weights = np.zeros((2, 784))
    weights[0, 0] = 1.0
    net = inputopt.MLP([784, 2], "identity", weights=[weights], biases=[np.array([-0.5, 0.0])])
    inputopt.save(net, "half.safetensors")  # class 0 where the first pixel is above a half
    x = np.zeros((6, 1, 28, 28), np.float32)
    x[:, 0, 0, 0] = [0.0, 0.0, 0.0, 0.48, 1.0, 1.0]
    np.savez("six.npz", x=x, y=[1, 1, 1, 1, 1, 0])
    assert main(["attack", "./half.safetensors", "six.npz", "--eps", "0.1", "--levels", "0", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["misclassified_before"], values["fooled"], values["success"]) == (1, 1, 0.2)
    assert (values["accuracy"], values["accuracy_under_attack"]) == (pytest.approx(5 / 6), pytest.approx(4 / 6))
    assert 0.02 < values["median_distance"] <= 0.1
    rows = json.loads(Path("out/attack/result.json").read_text())["examples"]
    assert (rows[4]["success"], rows[4]["distance"]) == (True, 0.0)
    assert (
        main(["attack", "./half.safetensors", "six.npz", "--eps", "0.1", "--levels", "0", "--target", "0", "--json"])
        == 0
    )
    values = json.loads(capsys.readouterr().out)
    assert (values["of_target_class_before"], values["fooled"], values["success"]) == (1, 1, 0.25)


def test_a_network_without_gradients_is_warned_of(capsys):
    weights = np.zeros((10, 784))
    inputopt.save(inputopt.MLP([784, 10], "identity", weights=[weights]), "flat.safetensors")
    for verb in ("attack --steps 2", "nearest --attack ddn --steps 2"):
        name, *flags = verb.split()
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            assert main([name, "./flat.safetensors", "digits", *flags, "--count", "20"]) == 0
        said = capsys.readouterr().err
        assert "Every gradient of this attack was zero, so it could not search" in said
        assert "`inputopt evaluate MODEL --adapt`" in said
        assert said.count("\n") == 1


def test_figures_say_that_inputs_are_8_bit_and_files_that_do_not_fool_are_counted(capsys):
    quick = "--count 10 --eps 0.06"
    for line in (
        f"attack digits-mlp {quick} --steps 5",
        f"evaluate digits-mlp {quick} --preset quick",
        "nearest digits-mlp --count 4 --queries 30",
    ):
        assert main(line.split()) == 0
        printed = capsys.readouterr().out
        assert "8-bit inputs" in printed or re.search(r"^levels +256$", printed, re.M)
        assert "PNG files" not in printed
    report = json.loads(Path("out/evaluation/report.json").read_text())
    assert ", 8-bit inputs, " in report["claim"]["evaluation_method"]
    # the boundary of this network passes within half a level of every nearest input
    weights = np.zeros((2, 784))
    weights[0, 0] = 1000.0
    inputopt.save(
        inputopt.MLP([784, 2], "identity", weights=[weights], biases=[np.array([-1.0, 0.0])]), "thin.safetensors"
    )
    np.savez("zeros.npz", x=np.zeros((4, 1, 28, 28), np.float32), y=np.ones(4, int))
    assert (
        main(["nearest", "./thin.safetensors", "zeros.npz", "--levels", "0", "--queries", "30", "--norm", "linf"]) == 0
    )
    printed = capsys.readouterr().out
    assert "searched among inputs of any values" in printed
    assert "PNG files hold 8 bits: 0 of 4 fooling inputs still fool the network as files" in printed


def test_a_folder_is_in_the_order_of_its_numbers_or_names_and_hidden_folders_are_none():
    image = inputopt.Picture(torch.zeros(1, 2, 2))
    for name in ("7", "12", ".cache"):
        image.save(f"numbers/{name}/a.png")
    for name in ("cat", "ant"):
        image.save(f"names/{name}/{name}.png")
    assert find_data("numbers", 9).y.tolist() == [7, 12]
    assert find_data("names", 9).y.tolist() == [0, 1]


# --------------------------------------------------------------------------------------------------------------- memory
def test_what_does_not_fit_is_refused_before_it_is_tried(monkeypatch):
    assert 2**20 < memory() < 2**62
    monkeypatch.setattr(memory_limits, "memory", lambda: 2**30)
    check_memory("It", 2**30, "less")
    with pytest.raises(
        ValueError, match=r"^It would need about 2 GiB of memory, but only 1 GiB is available; choose less\.$"
    ):
        check_memory("It", 2**31, "less")


def test_a_picture_is_measured_by_what_the_layers_put_out():
    net = inputopt.Frozen(nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 2, 1, stride=2)))
    # 30 copies of three numbers a pixel, and twice what the layers put out: 8, and 2 for each four pixels
    assert bytes_a_picture(net, 3, 128, 64) == 128 * 64 * 4 * (30 * 3 + 2 * (8 + 0.5))
    fixed = inputopt.Frozen(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)))
    assert bytes_a_picture(fixed, 3, 128, 64) == 128 * 64 * 4 * 30 * 3


# ------------------------------------------------------------------------------------------------------ however it ends
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "There is not enough memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "There is not enough memory"),
        (BrokenPipeError(), "The output pipe was closed"),
        (OSError(errno.ENOSPC, "No space left on device", "a.png"), "No space left on device: a.png."),
        (ValueError("one\ntwo"), "one"),
        (ValueError(), "ValueError: ValueError; `inputopt --traceback ...` prints the traceback."),
        (ZeroDivisionError("division by zero."), "ZeroDivisionError: division by zero; `inputopt --traceback"),
    ],
)
def test_every_error_is_a_sentence(error, said):
    assert sentence(error).startswith(said)
    assert "\n" not in sentence(error)


class Closed:
    """Standard output that cannot be written to."""

    def __init__(self, error):
        self.error = error

    def write(self, text):
        pass

    def flush(self):
        raise self.error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (BrokenPipeError(), "The output pipe was closed"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left"),
    ],
)
def test_output_that_is_not_taken_is_a_sentence(error, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", Closed(error))
    assert main(["explain"]) == 2
    monkeypatch.undo()
    assert re.fullmatch(rf"inputopt: {said}[^\n]*\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("takes", "said"), [("| true", "The output pipe was closed"), ("> /dev/full", "No space left")]
)
def test_output_that_is_not_taken_leaves_no_complaint_of_pythons_behind(takes, said):
    command = f"{sys.executable} -m inputopt explain {takes}; exit ${{PIPESTATUS[0]}}"
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    ended = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=120, env=buffered, check=False
    )
    assert ended.returncode == 2
    assert re.fullmatch(rf"inputopt: {said}[^\n]+\n", ended.stderr)


def test_a_full_disk_is_a_sentence_and_leaves_nothing_half_written(capsys):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        assert main(["dream", "digits-mlp", "--steps", "1", "--out", "o"]) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert re.fullmatch(r"inputopt: Cannot write o/[a-z-]+\.png: File too large; [^\n]+\n", capsys.readouterr().err)
    assert [path.name for path in Path("o").rglob("*") if path.suffix != ".png" or not path.stat().st_size] == []


def test_warnings_are_lines_without_code(capsys, monkeypatch):
    def warns():
        import warnings

        warnings.warn("look\nout", stacklevel=1)
        return inputopt.MLP([784, 10], "identity")

    monkeypatch.setitem(sys.modules, "nets_of_a_test", type("Nets", (), {"warns": staticmethod(warns)}))
    with pytest.warns(UserWarning, match="look"):  # let through, since tests make errors of warnings
        warns()
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main(["layers", "nets_of_a_test:warns"]) == 0
    assert capsys.readouterr().err == "inputopt: warning: look\n"


def test_a_traceback_is_shown_to_those_who_ask(capsys):
    assert main(["--traceback", "layers", "digits-mlp", "--size", "3"]) == 2
    shown = capsys.readouterr().err
    assert "Traceback (most recent call last)" in shown
    assert "mat1 and mat2" in shown.splitlines()[-1]


def test_ctrl_c_in_a_models_own_code_is_an_interrupt(models, capsys):
    def interrupted():
        raise KeyboardInterrupt

    models(make=staticmethod(interrupted))
    assert main(["layers", "nets_of_a_test:make"]) == 130
    assert capsys.readouterr().err == "inputopt: interrupted.\n"


@pytest.mark.parametrize(("stopped", "status"), [("interrupted", 130), ("diverged", 1)])
def test_a_training_cut_short_says_so_in_its_card(stopped, status, monkeypatch, capsys):
    monkeypatch.setattr(training_recipes, "train", lambda *given, **settings: History((), (), 7, stopped, 0.0))
    monkeypatch.setattr(training_recipes.digits_data, "load_digits", digits)
    assert main(["train", "digits-mlp", "--out", "o"]) == status
    assert f"; {stopped} after 7 of 2,000 batches" in capsys.readouterr().out
    assert f"NOT FINISHED: {stopped} after 7 of 2,000 batches" in Path("o/card.md").read_text()


def test_nothing_of_a_folder_is_made_before_something_is_written_there(capsys):
    assert main(["fool", "gone.safetensors", "--out", "new/folder"]) == 2
    assert main(["dream", "digits-mlp", "--layers", "layers.9", "--out", "new/folder"]) == 2
    assert main(["zoom", "digits-mlp", "--layers", "layers.9", "--out", "new/folder"]) == 2
    assert not os.listdir()
    assert check_writable("new/folder/a.png") == Path("new/folder/a.png")


def test_files_of_earlier_runs_survive_a_failure(capsys):
    assert main(["dream", "digits-mlp", "--steps", "1", "--out", "o"]) == 0
    before = {path: path.read_bytes() for path in Path("o").iterdir()}
    assert main(["dream", "digits-mlp", "--layers", "layers.9", "--seed", "5", "--out", "o"]) == 2
    assert {path: path.read_bytes() for path in Path("o").iterdir()} == before
