import json
import re
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from contracts import chance_state, digits, digits_net
from PIL import Image
from verb_parsers import command_runner, verb_parsers

import inputopt
from inputopt.cli import photo_arguments
from inputopt.cli.commands import command_demo, command_fool, command_gradcheck
from inputopt.cli.data import data_arguments
from inputopt.cli.earlier_files import RECORD
from inputopt.cli.main import main
from inputopt.cli.verbs import VERBS
from inputopt.document.networks import EXAMPLES
from inputopt.files import blank_figure
from inputopt.zoo.training_recipes import accuracy


def commands():
    """Every verb that there is."""
    return sorted(VERBS)


@pytest.fixture
def run(capsys):
    return command_runner(capsys)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for module in (data_arguments, photo_arguments):
        monkeypatch.setattr(module, "load_digits", digits)  # the same, read once


@pytest.fixture
def short(monkeypatch):
    """The document's networks, trained for a moment only."""
    for name, example in list(EXAMPLES.items()):
        monkeypatch.setitem(EXAMPLES, name, replace(example, trainings=60))
    monkeypatch.setattr(command_fool, "CLASSES", 2)
    monkeypatch.setattr(command_demo, "COUNT", 8)


def files(folder):
    found = (path.relative_to(folder) for path in Path(folder).rglob("*") if path.is_file())
    return sorted(str(path) for path in found if path.name != RECORD)


# ------------------------------------------------------------------------------------------------ each command, at work
def test_gradcheck_prints_the_agreement(run, monkeypatch):
    text = run("gradcheck", "--sizes", "3,4,2", "--activation", "tanh", "--batch", 2)
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line}
    assert rows["method"][1:] == ["layer", "1", "layer", "2", "inputs", "milliseconds", "evaluations"]
    assert {"autograd", "backprop", "dual", "differences"} <= set(rows)
    for way, limit in {"backprop": 1e-10, "dual": 1e-10, "differences": 1e-6}.items():
        assert max(float(cell) for cell in rows[way][1:4]) <= limit
    monkeypatch.setitem(command_gradcheck.LIMITS, "differences", 1e-30)
    run("gradcheck", "--sizes", "3,4,2", status=1)


def test_gradcheck_takes_softmax(run):
    assert "backprop" in run("gradcheck", "--sizes", "3,4", "--output", "identity", "--cost", "cross_entropy")


def test_explain_puts_in_the_documents_numbers(run):
    text = run("explain")
    for figure in ("0.298371", "0.008771", "0.138499", "0.358916", "0.619049"):
        assert figure in text
    assert "0.238032" in run("explain", "--example", "1")


def test_explain_plots_the_gradient_norms_of_the_layers(run, tmp_path):
    values = json.loads(run("explain", "--sizes", "2,3,1", "--out", tmp_path / "o", "--json"))
    norms = values["gradient_norms"]
    assert len(norms) == 2
    assert norms[0] < norms[1], "of sigmoid layers"
    with Image.open(tmp_path / "o" / "gradients.png") as image:
        assert min(image.size) > 200
    shown = ", ".join(f"{norm:.3g}" for norm in norms)
    assert f"GRADIENT NORM by layer, from the input: {shown}" in run("explain", "--sizes", "2,3,1")


def test_explain_draws_the_network_at_each_row_of_the_inputs(run):
    run("explain", "--out", "o")
    assert files("o") == ["explain.json", "gradients.png", "network.png"]
    run("explain", "--example", "3b", "--out", "o")
    rows = [f"network-row-{row}.png" for row in range(1, 5)]
    assert files("o") == ["explain.json", "gradients.png", *rows], "the earlier drawing is replaced"


def test_explain_says_where_the_numbers_come_from(run):
    assert run("explain", "--example", "2").startswith(
        "NETWORK 2 of the document (a NOT gate)\n\nROW 1 of the inputs: 1;"
    )
    given = run("explain", "--inputs", "0.5,0.5")
    assert given.startswith("NETWORK 4 of the document (a hidden layer); inputs as given\n")


def test_explain_takes_weights_and_biases_neuron_by_neuron(run):
    """The document's network 4, by its numbers."""
    weights, biases = "0.15,0.2,0.25,0.3,0.4,0.45,0.5,0.55", "0.35,0.35,0.6,0.6"
    given = ("--weights", weights, "--biases", biases, "--inputs", "0.05,0.1", "--targets", "0.01,0.99")
    heading, text = run("explain", "--sizes", "2,2,2", *given).split("\n", 1)
    assert heading == "NETWORK of --sizes 2,2,2; weights, biases, inputs, targets as given"
    assert text == run("explain").split("\n", 1)[1]


def test_explain_takes_any_network_and_example(run):
    text = run("explain", "--sizes", "2,1", "--activation", "identity", "--inputs", "1,2", "--targets", "3")
    assert "2.000000" in text
    assert text != run("explain", "--sizes", "2,1", "--activation", "identity", "--inputs", "1,2", "--targets", "4")
    softmax = ("explain", "--sizes", "2,3", "--output", "identity", "--cost", "cross_entropy", "--targets", "2")
    assert run(*softmax) == run(*softmax)


def test_fool_makes_pictures_of_every_target(run):
    before = chance_state()
    text = run("fool", "digits-mlp", "--target", 3, "--count", 2, "--out", "o")
    assert "2 of 2 noise images" in text
    assert files("o") == ["fool-all.png", "fool.png"]
    for name in files("o"):
        with Image.open(Path("o") / name) as image:
            assert min(image.size) > 50
    assert "wrote o/fool.png" in text
    assert chance_state() == before


def test_fool_says_when_an_image_missed(run):
    blind = inputopt.MLP([784, 10], "identity", weights=[np.zeros((10, 784))])
    inputopt.save(blind, "blind.safetensors")
    assert "0 of 2 noise images" in run("fool", "./blind.safetensors", "--target", 3, "--count", 2, status=1)


def test_ascend_leaves_the_digits(run):
    text = run("ascend", "digits-mlp", "--count", 5, "--out", "o", "--seed", 3)
    assert re.search(r"(\d) of \1 correctly classified inputs", text)
    sizes = [float(cell) for cell in re.search(r"L2 distance +(.*)", text)[1].split()]
    assert 0 < sizes[0] <= sizes[1] <= sizes[2] <= sizes[3]
    assert files("o") == ["ascend.png"]
    assert text != run("ascend", "digits-mlp", "--count", 5, "--out", "o", "--seed", 4)


@pytest.mark.parametrize(
    ("line", "title"),
    [
        (["--target", 8], "From noise to class 8 by gradient descent"),
        ([], "From noise to each of 2 classes, a row per class, by gradient descent"),
    ],
)
def test_the_sheet_of_fool_says_which_classes(run, monkeypatch, line, title):
    monkeypatch.setattr(command_fool, "CLASSES", 2)
    titles = []
    monkeypatch.setattr(command_fool, "sheet", lambda journeys, net, title: titles.append(title) or blank_figure())
    run("fool", "digits-mlp", "--count", 1, *line)
    assert titles == [title]


def test_ascend_goes_on_to_a_probability(run):
    text = run("ascend", "digits-mlp", "--count", 5, "--confidence", 0.99)
    found = re.search(r"(\d+) of (\d+) correctly classified inputs are now misclassified, with a probability of", text)
    assert int(found[1]) == int(found[2]) > 0
    assert text.splitlines()[2].endswith("of at least 0.99.")
    assert text.startswith(f"5 of 1,000 inputs of digits: 5 classes, 1 of each (left out: {5 - int(found[2])} that are")


def test_ascend_says_when_a_digit_stays(run):
    bias = np.eye(10)[3]
    fixed = inputopt.MLP([784, 10], "identity", weights=[np.zeros((10, 784))], biases=[bias])
    inputopt.save(fixed, "fixed.safetensors")
    assert "0 of 4 correctly classified" in run("ascend", "./fixed.safetensors", "digits", "--count", 40, status=1)


def test_dream_writes_the_dream_and_the_way_there(run):
    run("dream", "digits-mlp", "--out", "o", "--steps", 5, "--seed", 7)
    assert files("o") == ["dream-steps.png", "dream.png", "photo.png"]
    with Image.open("o/dream.png") as image:
        assert image.size == (28, 28)
        assert json.loads(image.text["inputopt"])["settings"]["steps"] == 5


def test_dream_takes_a_photo_and_several_layers(run):
    levels = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    Image.fromarray(levels).convert("RGB").save("photo.png")
    run("dream", "digits-mlp", "photo.png", "--layers", "layers.0,layers.1", "--steps", 1, "--out", "o")
    with Image.open("o/dream.png") as image:
        moved = np.asarray(image).astype(int) - levels
    assert 0 < np.abs(moved).mean() < 4  # one step of a hundredth of the range


def test_train_makes_the_shipped_network_again(run):
    text = run("train", "digits-mlp", "--out", "o")
    assert files("o") == ["card.md", "weights.safetensors"]
    net = inputopt.load("o/weights.safetensors")
    right = accuracy(net, digits().held_x, digits().held_y)
    assert right >= 0.93
    assert f"{100 * right:.1f} %" in text
    # another processor may give other last digits, and those a few other verdicts
    same = net(digits().held_x).argmax(1) == digits_net()(digits().held_x).argmax(1)
    assert float(same.double().mean()) > 0.97


def test_reproduce_prints_every_figure_and_writes_the_logs(run, short):
    text = run("reproduce", "--out", "o", "--method", "backprop", status=1)  # 60 trainings do not get there
    lines = text.splitlines()
    assert lines[0].split() == ["network", "figure", "printed", "backprop", "verdict"]
    verdicts = {re.split(r" {2,}", line)[-1] for line in lines[1 : lines.index("")]}
    assert {"same", "DIFFERENT"} <= verdicts
    assert [name for name in files("o") if name.endswith(".csv")] == [
        f"backprop/network-{name}.csv" for name in ("1", "2", "3a", "3b", "4-held", "4")
    ]
    assert {"error.png", "gradients.png"} <= set(files("o"))
    assert "of {} figures".format(lines.index("") - 1) in text
    assert "4 held, a hidden layer, fixed biases" in text
    net = EXAMPLES["4"].network()
    inputopt.train(net, EXAMPLES["4"].inputs, EXAMPLES["4"].targets, steps=59, method="backprop")
    assert f"network 4: weight 0[0,0] {net.weights[0][0, 0]:.6f}, weight 0[0,1] " in text, "before the last update"
    assert "network 4 held:" in text
    finals = [line.split(":")[0] for line in text.splitlines() if ": weight 0[0,0] " in line]
    assert finals == ["network 3a", "network 4", "network 4 held"], "the document prints those of the others"


def test_demo_shows_everything_on_one_page(run, short):
    text = run("demo", "--out", "o", status=1)
    page = Path("o/index.html").read_text(encoding="utf-8")
    shown = re.findall(r'src="([^"]+)"', page)
    assert set(shown) == {
        *(
            "ascend.png",
            "photo.jpg",
            "dream.png",
            "trust.png",
            "fool.png",
            "reproduce/error.png",
            "reproduce/gradients.png",
        )
    }
    for name in shown:
        with Image.open(Path("o") / name) as image:
            image.load()
    assert "http" not in page
    assert "5 of 5 noise images" in page
    assert re.search(r"(\d+) of \1 correctly classified digits", page)
    assert page.index("ascend.png") < page.index("<table"), "pictures first, tables after"
    assert "prefers-color-scheme: dark" in page
    assert "{{" not in page
    assert str(Path("o/index.html").resolve()) in text


# ------------------------------------------------------------------------------------------------------- help and usage
@pytest.mark.parametrize("command", [[], *([name] for name in commands())])
def test_help(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(" ".join(["usage: inputopt", *command]))
    if not command:
        assert all(re.search(rf"^ +{name}\s+\w", text, re.MULTILINE) for name in commands())


def test_every_option_says_what_it_is():
    for name, command in verb_parsers().items():
        assert all(action.help for action in command._actions), name


def test_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"inputopt {inputopt.__version__}\n"


HUGE = 2**70


@pytest.mark.parametrize("seed", [-1, HUGE])
def test_a_seed_may_be_any_whole_number(run, seed):
    heading, text = run("explain", "--sizes", "2,3,1", "--seed", seed).split("\n", 1)
    assert heading == f"NETWORK of --sizes 2,3,1; weights, inputs, targets at random (seed {seed})"
    assert text == run("explain", "--sizes", "2,3,1", "--seed", seed % 2**63).split("\n", 1)[1]
    assert text != run("explain", "--sizes", "2,3,1", "--seed", 12).split("\n", 1)[1]


def test_ctrl_c_is_no_traceback(monkeypatch, capsys):
    def interrupted(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(command_fool, "fool", interrupted)
    assert main(["fool", "digits-mlp", "--out", "o"]) == 130
    assert capsys.readouterr().err == "inputopt: interrupted.\n"


def test_nearest_draws_a_curve_and_says_what_it_found(run, tmp_path):
    text = run(
        "nearest",
        "digits-mlp",
        "--count",
        6,
        "--queries",
        60,
        "--attack",
        "minimalnorm",
        "ddn",
        "--steps",
        5,
        "--out",
        "out",
    )
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line}
    assert int(rows["minimalnorm"][4]) + int(rows["minimalnorm"][5]) <= 60
    assert float(rows["all"][2]) <= min(float(rows["minimalnorm"][1]), float(rows["ddn"][1]))
    assert {"curve.png", "nearest.json", "nearest.png", "nearest/result.json"} <= set(files("out"))
    assert len(list(Path("out/nearest").glob("*/*.png"))) == 6
    with Image.open("out/curve.png") as image:
        assert min(image.size) > 300
    plain = json.loads(run("nearest", "digits-mlp", "--count", 4, "--queries", 60, "--out", "out", "--json"))
    assert [row["attack"] for row in plain["attacks"]] == ["minimalnorm", "all attacks"]


def test_nearest_refuses_a_norm_that_an_attack_is_not_defined_in(capsys):
    assert main(["nearest", "digits-mlp", "--attack", "ddn", "--norm", "linf", "--count", "2"]) == 2
    assert "use FMN" in capsys.readouterr().err


def test_nearest_says_infinite_where_nothing_was_found(run, capsys):
    weights = np.zeros((2, 4))
    net = inputopt.MLP([4, 2], "identity", weights=[weights], biases=[np.array([8.0, 0.0])])
    inputopt.save(net, "fixed.safetensors")
    np.savez("four.npz", x=np.full((4, 4), 0.5, np.float32), y=np.zeros(4, int))
    line = ["nearest", "./fixed.safetensors", "four.npz", "--attack", "sigmazero", "--norm", "l0", "--steps", "3"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # every gradient is zero
        assert main([*line, "--json"]) == 0
        rows = json.loads(capsys.readouterr().out)["attacks"]
        assert [(row["median"], row["area"], row["failed"]) for row in rows] == [("inf", "inf", 4)] * 2
        assert main(line) == 0
    assert re.search(r"^all attacks +inf +inf +4$", capsys.readouterr().out, re.M)
