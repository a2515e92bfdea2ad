"""Command lines that make no sense: each ends with status 2 and one sentence, and nothing is printed or written."""

import io
import os
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from contracts import digits
from PIL import Image

import inputopt
from inputopt.cli import photo_arguments
from inputopt.cli.data import data_arguments
from inputopt.cli.main import main

MODELS = """
import sys
import torch
from torch import nn
import inputopt

class Fails(nn.Module):
    def __init__(self, error, calls=0):
        super().__init__()
        self.weight, self.error, self.calls = nn.Parameter(torch.ones(1)), error, calls

    def forward(self, x):
        if self.calls < 1:
            raise self.error
        self.calls -= 1
        return x.flatten(1)[:, :10] * self.weight

class Odd(BaseException):
    pass

class Returns(nn.Module):
    def __init__(self, made):
        super().__init__()
        self.weight, self.made = nn.Parameter(torch.ones(1)), made

    def forward(self, x):
        return self.made(x.flatten(1)[:, :10] * self.weight)

def good(): return inputopt.load("digits-mlp")
def frozen(): return inputopt.Frozen(good())
def nothing(): return None
def text(): return "a model"
def a_class(): return nn.Linear
def arguments(size, depth=2): return None
def raises(): raise RuntimeError("first line\\nsecond line\\nthird line")
def empty(): raise ValueError
def odd(): raise Odd("odd")
def exits(): sys.exit("goodbye")
def hungry(): return torch.empty(10**16)
def forward_raises(): return Fails(KeyError("a\\nb"))
def forward_exits(): return Fails(SystemExit(0))
def forward_hungry(): return Fails(MemoryError())
def forward_later(): return Fails(ZeroDivisionError("later"), 1)
def three_dimensions(): return Returns(lambda x: x[:, :, None])
def a_list(): return Returns(lambda x: [x, x])
def nan_weights():
    net = inputopt.MLP([784, 10], "identity")
    net.weights[0].data[0, 0] = float("nan")
    return net
def colours(): return nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.LazyLinear(2))
value = 3
"""


def archive(name, **arrays):
    np.savez(name, **arrays)


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    """A folder of things to go wrong with, in which all commands run."""
    before, folder = Path.cwd(), tmp_path_factory.mktemp("wrong")
    os.chdir(folder)
    Path("mymodels.py").write_text(MODELS)
    Path("exits_at_once.py").write_text("import sys\nprint('bye')\nsys.exit(0)\n")
    Path("no_python.py").write_text("def (:\n")
    Path("needs_more.py").write_text("import a_package_that_is_not_there\n")
    inputopt.save(inputopt.MLP([10, 10], "identity"), "ten.safetensors")
    inputopt.save(inputopt.MLP([784, 1], "identity"), "one.safetensors")
    wrong = inputopt.MLP([784, 11], "identity", weights=[np.zeros((11, 784))], biases=[np.eye(11)[10]])
    inputopt.save(wrong, "wrong.safetensors")
    whole = Path("ten.safetensors").read_bytes()
    Path("cut.safetensors").write_bytes(whole[:-20])
    Path("head.safetensors").write_bytes(b"\xff" * 8 + whole[8:])
    Path("config.safetensors").write_bytes(whole.replace(b"mlp", b"mlq"))
    for name in ("text.safetensors", "text.png", "text.npz", "file"):
        Path(name).write_text("not what its name says")
    Path("empty.safetensors").touch()
    torch.save({"weight": torch.zeros(2)}, "net.pt")
    x, y = np.random.default_rng(0).random((6, 1, 28, 28), np.float32), np.arange(6)
    archive("good.npz", x=x, y=y)
    Path("cut.npz").write_bytes(Path("good.npz").read_bytes()[:-40])
    damaged = bytearray(Path("good.npz").read_bytes())
    damaged[2000:2100] = b"\0" * 100
    Path("damaged.npz").write_bytes(damaged)
    archive("nan.npz", x=np.where(x > 0.9, np.nan, x), y=y)
    archive("names.npz", images=x, labels=y)
    archive("few.npz", x=x, y=y[:3])
    archive("none.npz", x=x[:0], y=y[:0])
    archive("negative.npz", x=x, y=y - 1)
    archive("high.npz", x=x, y=y + 10)
    archive("floats.npz", x=x, y=y.astype(float))
    archive("columns.npz", x=x, y=np.eye(6, dtype=int))
    archive("whole.npz", x=(255 * x).astype(np.int64), y=y)
    archive("complex.npz", x=x + 0j, y=y)
    archive("words.npz", x=np.array(["a"] * 6), y=y)
    archive("objects.npz", x=np.array([None] * 6), y=y)
    archive("wide.npz", x=3 * x, y=y)
    archive("only_x.npz", x=x)
    archive("levels.npz", x=np.rint(255 * (x - x.min()) / (x.max() - x.min())), y=y)
    archive("flat.npz", x=x.reshape(6, -1)[:, :100], y=y)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (6, 10**12)})
    with zipfile.ZipFile("huge.npz", "w") as huge:
        huge.writestr("x.npy", header.getvalue())
        huge.write("good.npz", "else")
        with zipfile.ZipFile("good.npz") as good:
            huge.writestr("y.npy", good.read("y.npy"))
    for place, size in {
        "sizes/0/a.png": 8,
        "sizes/1/b.png": 9,
        "broken/0/a.png": 8,
        "loose/a.png": 8,
        "tiny.png": 5,
    }.items():
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (size, size), dtype=np.uint8)).save(place)
    Path("broken/0/b.png").write_bytes(Path("broken/0/a.png").read_bytes()[:80])
    Path("cut.png").write_bytes(Path("tiny.png").read_bytes()[:60])
    Path("nothing/0").mkdir(parents=True)
    Path("huge_number", str(10**20)).mkdir(parents=True)
    Image.new("L", (8, 8)).save(f"huge_number/{10**20}/a.png")
    Path("taken/fool.png").mkdir(parents=True)
    Path("taken/evaluation").touch()
    yield folder
    os.chdir(before)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    for module in (photo_arguments, data_arguments):
        monkeypatch.setattr(module, "load_digits", digits)  # the same, read once


USAGE = [
    ("", "No verb given; choose one of fool, ascend"),
    ("paint", "Unknown verb 'paint'"),
    ("atack", "did you mean 'attack'"),
    ("--speed 3", "Unknown verb '3'"),
    ("fool digits-mlp --speed 3", "Unknown option of fool '--speed'"),
    ("fool digits-mlp --cuont 3", "did you mean '--count'"),
    ("fool digits-mlp --coun 3", "did you mean '--count'"),
    ("fool digits-mlp extra", "does not take 'extra'; see `inputopt fool --help`."),
    ("fool digits-mlp --target", "--target needs a value"),
    ("attack digits-mlp --json=3", "--json takes no value"),
    ("layers", "Missing model; see `inputopt layers --help`."),
    ("spurious ten.safetensors", "has no default data; give digits, an .npz file"),
    ("fool", "Missing model"),
    ("invert digits-cnn", "Missing photo and --layers"),
    ("completion", "Missing shell"),
    ("completion cmd", "Unknown shell 'cmd'"),
    ("evolve digits-cnn", "Missing --classes"),
    ("atlas efficientnet-lite0 --layer conv1", "Missing photos"),
    ("train", "Missing model"),
    ("train cats", "Unknown network 'cats'"),
    ("repeat", "Missing picture"),
]

NUMBERS = [
    (f"{command} --{option} {value}", f"--{option} must be")
    for command, option, values in [
        ("fool", "count", ["0", "-1", "1.5", "x", "nan", "1e3"]),
        ("fool", "confidence", ["0", "1", "nan", "-inf", "x"]),
        ("ascend", "confidence", ["0", "1", "nan", "x"]),
        ("fool", "seed", ["1.5", "x"]),
        ("ascend", "count", ["0", "-7"]),
        ("attack", "eps", ["-1", "nan", "inf", "-inf", "much"]),
        ("attack", "steps", ["0", "-5", "2.5"]),
        ("attack digits-mlp", "levels", ["1", "2.5", "-256"]),
        ("evaluate", "count", ["0", "-3"]),
        ("nearest", "queries", ["0", "-1", "x"]),
        ("dream", "octaves", ["0", "-1", "101"]),
        ("dream", "octave-scale", ["1", "0", "nan", "inf"]),
        ("dream", "step-size", ["0", "-0.1", "nan"]),
        ("dream", "smoothing", ["-1", "inf"]),
        ("dream", "jitter", ["-1", "0.5"]),
        ("dream", "tile", ["31", "-1"]),
        ("dream", "watch", ["0", "-2"]),
        ("dream", "steps", ["0"]),
        ("zoom", "frames", ["0", "100000"]),
        ("zoom", "factor", ["1", "0.5", "nan", "inf"]),
        ("visualize efficientnet-lite0 --classes 3", "size", ["0", "-1", "28.5"]),
        ("visualize efficientnet-lite0 --classes 3", "restarts", ["0"]),
        ("visualize efficientnet-lite0 --classes 3", "initial-scale", ["0", "1.5", "nan"]),
        ("visualize efficientnet-lite0 --classes 3", "skip-gradient", ["0", "2"]),
        ("visualize efficientnet-lite0 --classes 3", "drop-branches", ["-0.1", "1"]),
        ("visualize efficientnet-lite0 --classes 3", "augment", ["-1", "inf"]),
        ("visualize efficientnet-lite0 --classes 3", "shared-frequencies", ["-1"]),
        ("visualize efficientnet-lite0 --layer conv1", "channels", ["-1", "a", "1,,2"]),
        ("evolve efficientnet-lite0 --classes 3", "population", ["0", "-1"]),
        ("evolve efficientnet-lite0 --classes 3", "generations", ["0"]),
        ("evolve efficientnet-lite0 --classes 3", "confidence", ["1", "0", "nan"]),
        ("atlas efficientnet-lite0 sizes/0 --layer conv1 --channels 1", "top", ["0"]),
        ("spurious digits-cnn digits", "grid", ["0,3", "3", "1,2,3", "a,b", "-1,2"]),
        ("gradcheck", "batch", ["0", "-1"]),
        ("gradcheck", "sizes", ["3,x", "0,2", "-1,2", ""]),
        ("explain", "learning-rate", ["0", "-1", "nan", "inf"]),
        ("explain", "inputs", ["a,b", "nan,1", "inf,1"]),
        ("explain", "weights", ["a,b", "nan,1"]),
        ("explain", "biases", ["a,b", "inf"]),
        ("explain", "targets", ["x", "nan,0"]),
        ("attack", "std", ["0", "-1", "nan", "x"]),
        ("attack", "mean", ["nan", "a,b"]),
        ("attack", "bounds", ["1,0", "0,0", "0", "0,1,2", "nan,1", "0,1:1", "a,b"]),
        ("layers digits-mlp", "size", ["0", "ax3", "3x-1", "28.5"]),
    ]
    for value in values
]

WORDS = [
    ("gradcheck --activation relus", "did you mean 'relu'"),
    ("gradcheck --cost hinge", "Unknown cost 'hinge'"),
    ("gradcheck --output identity2", "did you mean 'identity'"),
    ("gradcheck --sizes 2", "sizes must hold at least"),
    ("gradcheck --cost cross_entropy --output tanh", "cross_entropy needs"),
    ("explain --example 7", "Unknown example '7'"),
    ("explain --inputs 1,2,3", "inputs must have 2 numbers"),
    ("explain --targets 1", "targets must have shape"),
    ("reproduce --method guess", "Unknown method 'guess'"),
    ("attack digits-mlp --attack pgdd", "did you mean 'pgd'"),
    ("attack digits-mlp --norm l3", "Unknown norm 'l3'"),
    ("evaluate digits-mlp --preset quickly", "did you mean 'quick'"),
    ("nearest digits-mlp --attack dnn", "did you mean 'ddn'"),
    ("visualize efficientnet-lite0 --layer conv2 --canvas oil", "Unknown canvas 'oil'"),
    ("visualize efficientnet-lite0 --classes 3 --quality goof", "did you mean 'good'"),
    ("visualize digits-cnn --grey --size 28 --layer conv9", "did you mean"),
    ("visualize digits-cnn --grey --size 28 --layer conv1 --channels 99", "at most"),
    ("visualize digits-cnn --grey --size 28 --classes 10", "at most 9"),
    ("visualize efficientnet-lite0 --classes dasy", "did you mean 'daisy'"),
    ("visualize efficientnet-lite0 --classes cat", "one of tabby cat (281)"),
    ("visualize efficientnet-lite0 --classes dogs", "and 110 more up to 268"),
    ("visualize efficientnet-lite0 --classes guitar", "acoustic guitar (402), electric guitar (546)"),
    ("visualize efficientnet-lite0 --classes missile", "Classes 657 and 744"),
    ("visualize efficientnet-lite0 --classes -1", "must be a name or a whole number of at least 0"),
    ("dream digits-mlp --layers layer.0", "did you mean 'layers.0'"),
    ("dream digits-mlp --layers layers.0=much", "name=weight"),
    ("dream digits-mlp --layers layers.0=nan", "name=weight"),
    ("zoom digits-mlp --film a.avi", "--film must end in one of .gif, .webp, .mp4, not 'a.avi'"),
    ("zoom digits-mlp --film a.mp4", "needs ffmpeg"),
]

TOGETHER = [
    ("nearest digits-mlp --attack ddn --queries 50", "--queries does not apply to ddn; use --steps"),
    ("nearest digits-mlp --steps 5", "--steps does not apply to minimalnorm"),
    ("nearest digits-mlp --attack ddn ddn", "names ddn twice"),
    ("nearest digits-mlp --attack ddn --norm linf", "use FMN"),
    ("explain --example 4 --sizes 2,2,1", "two different networks"),
    ("explain --activation tanh", "give --sizes too"),
    ("explain --weights 1", "give --sizes too"),
    ("explain --sizes 2,2,1 --weights 1,2,3", "--weights must be 6 numbers for --sizes 2,2,1"),
    ("explain --sizes 2,2,1 --biases 1,2,3,4", "--biases must be 3 numbers for --sizes 2,2,1"),
    ("explain --example 1 --seed 3", "give --sizes too"),
    ("explain --sizes 2,3 --output identity --cost cross_entropy --targets 1.5", "must be a class index"),
    ("dream digits-mlp --layers ,", "--layers must be names"),
    ("dream digits-mlp --layers layers.0,layers.0=2", "has layers.0 twice"),
    ("attack digits-mlp --eps 8", "eps 8 is larger than the width of the inputs' range, 0 to 1, so that it allows any"),
    ("evaluate digits-mlp --eps 8", "did you mean 8/255?"),
    ("certify digits-mlp --eps 2", "did you mean 2/255?"),
    (
        "attack digits-mlp --eps 0.003",
        "eps 0.003 is less than one of the 256 levels of the inputs, 0.003922, so that no",
    ),
    ("evaluate digits-mlp --norm l2 --eps 1/300", "give a larger eps, or no levels (`--levels 0` at the command line)"),
    (
        "attack digits-mlp --norm l1 --eps 0.1 --bounds 0,255",
        "less than one of the 256 levels of the inputs, 1,",
    ),
    ("attack digits-mlp --eps 1/0", "--eps must be a finite number at least 0, not '1/0'"),
    ("attack digits-mlp --norm l0 --eps 0.5", "must be a whole number in l0"),
    ("attack digits-mlp --attack fgsm --steps 3", "fgsm has no --steps, which applies to apgd and bim and"),
    ("attack digits-mlp --target 10", "targets"),
    (
        "attack digits-mlp good.npz --count 1 --seed 0 --target {only}",
        "already have class {only}; choose another --target",
    ),
    ("evolve efficientnet-lite0 --classes daisy,daisy", "has daisy twice"),
    ("evolve efficientnet-lite0 --classes daisy,985", "has daisy twice"),
    ("visualize efficientnet-lite0 --classes 3,3", "has 3 twice"),
    ("visualize efficientnet-lite0 --layer conv1 --channels 1,1", "has 1 twice"),
    ("visualize efficientnet-lite0 --classes ,", "--classes must be names"),
    (
        "visualize digits-cnn --classes 1 --canvas cppn --shared-frequencies 1 --grey --size 28",
        "no frequencies to share",
    ),
    ("visualize efficientnet-lite0 --size 28", "Nothing to visualise"),
    ("visualize efficientnet-lite0 --layer conv1 --classes 3", "two different things to visualise; give one of them"),
    ("saliency digits-cnn --method gradient --samples 3", "--samples applies to integrated and smoothgrad, not to"),
    (
        "saliency digits-cnn --method integrated --window 3",
        "--window applies to occlusion, not to integrated",
    ),
    (
        "saliency digits-cnn --method occlusion --window 28 --count 2",
        "--window must be smaller than the images of 28 x 28",
    ),
    ("visualize efficientnet-lite0 --classes 3 --channels 1", "--channels needs --layer; omit it with --classes"),
    ("atlas efficientnet-lite0 sizes/0 --layer conv1 --channels 0,0", "has 0 twice"),
    ("repeat tiny.png --file photo", "contains no inputopt recipe"),
    ("attack digits-mlp --mean .5,.5 --std .5,.5,.5", "--mean and --std have different lengths"),
]

MODEL_LINES = [
    ("mymodels:nothing", "must return a torch module, a Frozen or a function of inputs, not NoneType"),
    ("mymodels:text", "not str"),
    ("mymodels:a_class", "not the class Linear"),
    ("mymodels:value", "must be a function that returns a model, not int"),
    ("mymodels:arguments", "cannot be called without arguments (missing a required argument: 'size')"),
    ("mymodels:godo", "did you mean 'good'"),
    ("mymodels:", "has no ''"),
    (":good", "Cannot import ''"),
    (
        "mymodels.py",
        "mymodels.py is Python code; name the function in it that returns the model, such as mymodels.py:make.",
    ),
    ("mymodels", "mymodels.py is Python code; name the function in it, such as mymodels.py:make."),
    ("mymodels.py:godo", "mymodels has no 'godo'; did you mean 'good'"),
    ("gone.py:make", "There is no file gone.py; check the name."),
    ("nomodels:good", "No module named 'nomodels'"),
    ("needs_more:good", "No module named 'a_package_that_is_not_there'"),
    ("no_python:good", "SyntaxError"),
    ("exits_at_once:good", "Cannot import 'exits_at_once' (SystemExit: 0)"),
    ("mymodels:raises", "mymodels:raises failed (RuntimeError: first line)"),
    ("mymodels:empty", "mymodels:empty failed (ValueError: ValueError)"),
    ("mymodels:odd", "failed (Odd: odd)"),
    ("mymodels:exits", "failed (SystemExit: goodbye)"),
    ("mymodels:hungry", "not enough memory"),
    ("mymodels:forward_raises", "own forward failed on inputs of shape 1 x 28 x 28 (KeyError: 'a\\nb')"),
    ("mymodels:forward_exits", "own code ended the program (SystemExit: 0)"),
    ("mymodels:forward_hungry", "not enough memory"),
    ("mymodels:three_dimensions", "logits [B, n]"),
    ("mymodels:a_list", "logits"),
    ("mymodels:nan_weights", "must be finite"),
    ("mymodels:colours", "colours cannot be used"),
    ("mymodels:frozen --mean 0.5", "omit --mean"),
    ("mymodels:frozen --bounds 0,2", "omit --bounds"),
    ("digit-mlp", "did you mean 'digits-mlp'"),
    ("zzz", "choose one of"),
    ("gone.safetensors", "There is no file gone.safetensors"),
    ("nothing/", "There is no file nothing/"),
    ("ten.safetensors", "does not accept inputs of shape 1 x 28 x 28"),
    ("net.pt", "contains weights without an architecture; write a function"),
    ("cut.safetensors", "cut.safetensors"),
    ("head.safetensors", "head.safetensors"),
    ("config.safetensors", "config.safetensors"),
    ("text.safetensors", "text.safetensors"),
    ("empty.safetensors", "empty.safetensors"),
    ("text.png", "text.png"),
    ("digits-mlp --mean 1,2,3", "cannot be broadcast to inputs of shape [1, 28, 28]"),
]

DATA_LINES = [
    ("digits-cnn", "digits-cnn is a network, not data; give the model first and the data second."),
    ("only_x.npz", "contains x; add the labels as y."),
    (
        "levels.npz",
        "The inputs of levels.npz must lie in the network's bounds 0 to 1, but range from 0 to 255; scale them",
    ),
    ("levels.npz", "as with --bounds 0,255."),
    ("photos --resize 28,28", "--resize must be height x width, such as 28x28, not '28,28'."),
    ("gone.npz", "There is no file or folder gone.npz"),
    ("text.npz", "must be an .npz file with arrays x and y"),
    ("file", "must be an .npz file with arrays x and y"),
    ("tiny.png", "does not accept images of 1 x 5 x 5"),
    ("cut.npz", "cut.npz"),
    ("damaged.npz", "damaged.npz"),
    ("huge.npz", "of memory"),
    ("names.npz", "contains images, labels"),
    ("nan.npz", "the inputs of nan.npz must be finite"),
    ("few.npz", "the same length, not shapes [6, 1, 28, 28] and [3]"),
    ("none.npz", "contains no inputs"),
    ("negative.npz", "class indices from 0 to 2**31 - 1, but ranges from -1 to 4"),
    ("high.npz", "the classes of high.npz must lie in 0..9"),
    ("floats.npz", "class indices of shape [B], not float64"),
    ("columns.npz", "class indices of shape [B], not int64 [6, 6]"),
    ("whole.npz", "or uint8 levels, not int64"),
    ("complex.npz", "not complex"),
    ("words.npz", "not <U1"),
    ("objects.npz", "not object"),
    ("wide.npz", "as with --bounds 0,3."),
    ("flat.npz", "does not accept inputs of shape 100"),
    ("loose", "no images in subfolders"),
    ("nothing", "no images in subfolders"),
    ("sizes", "scale them with --resize"),
    ("broken", "broken/0/b.png"),
    ("huge_number", "which is too large for a class index"),
]

FILES = [
    ("evaluate digits-mlp tiny.png", "is a single image, whose class is not known; give it with --label, or put"),
    ("dream digits-mlp gone.png", "There is no file gone.png"),
    ("dream digits-mlp text.png", "text.png cannot be read as an image"),
    ("dream digits-mlp cut.png", "cut.png cannot be read as an image"),
    ("dream digits-mlp .", "cannot be read as an image"),
    ("dream digits-mlp tiny.png", "does not accept"),
    ("dream digits-mlp --guide gone.png", "There is no file gone.png"),
    ("dream digits-mlp --mask text.png", "text.png"),
    ("dream digits-mlp --mask tiny.png", "as large as the photo"),
    ("dream digits-mlp --octaves 2", "octaves=1"),
    ("dream ten.safetensors --layers layers.0", "has no default photo; give an image file"),
    ("dream ten.safetensors tiny.png", "has no default layers; give --layers"),
    ("zoom digits-mlp --layers layer.0", "did you mean 'layers.0'"),
    ("zoom digits-mlp text.png", "text.png cannot be read as an image"),
    ("atlas efficientnet-lite0 gone --layer conv1 --channels 1", "There is no file gone"),
    ("atlas efficientnet-lite0 nothing --layer conv1 --channels 1", "contains no images"),
    ("atlas efficientnet-lite0 broken/0 --layer conv1 --channels 1", "broken/0/b.png"),
    ("spurious digits-cnn flat.npz", "does not accept inputs"),
    ("spurious digits-cnn gone", "There is no file or folder"),
    ("spurious digits-cnn digits --grid 29,1", "at least as many rows and columns, not 1 x 28 x 28"),
    ("layers digits-mlp --size 783", "give --size"),
    ("layers digits-cnn --size 3x28x28x7", "up to three numbers"),
    ("layers mymodels:forward_raises", "has no named layers"),
    ("repeat gone.png", "no file gone.png"),
    ("repeat text.png", "cannot be read as an image"),
    ("repeat tiny.png", "contains no inputopt recipe"),
    ("repeat file", "file cannot be read as an image"),
    ("fool one.safetensors", "single output"),
    ("fool digits-mlp --target 10", "must lie in 0..9"),
    ("fool digits-mlp --target -1", "must be a name or a whole number of at least 0"),
    ("fool ten.safetensors --size 3", "does not accept inputs"),
    ("ascend digits", "did you mean 'digits-mlp'"),
    ("ascend ten.safetensors digits", "does not accept inputs"),
    ("ascend wrong.safetensors digits", "classifies none of these inputs of digits correctly"),
    ("dream digits", "did you mean 'digits-mlp'"),
    ("attack mymodels:forward_later digits", "ZeroDivisionError: later"),
]

TOO_MUCH = [
    ("fool digits-mlp --count 100000000", "choose a smaller --count"),
    ("visualize efficientnet-lite0 --classes 3 --size 100000", "choose a smaller --size"),
    ("visualize digits-cnn --grey --layer conv1 --size 1000000", "choose a smaller --size"),
    ("evolve efficientnet-lite0 --classes 3 --population 1000000000", "of memory"),
    ("evolve efficientnet-lite0 --classes 3 --size 100000", "of memory"),
    ("atlas efficientnet-lite0 sizes/0 --layer stem --channels 1 --size 1000000", "of memory"),
    ("gradcheck --sizes 100000,100000", "smaller --sizes or --batch"),
    ("gradcheck --batch 10000000000", "smaller --sizes or --batch"),
    ("explain --sizes 100000,100000", "too large to explain"),
    ("layers digits-cnn --size 10000000", "choose a smaller --size"),
    ("layers digits-mlp --size 99999999999999999999x9", "choose a smaller --size"),
]

PLACES = [
    *(
        (f"{command} --out {out}", f"Cannot write into {out}: ")
        for command in ("fool digits-mlp", "demo")
        for out in ("file", "file/x")
    ),
    *(
        (f"{command} --out /proc/none", "Cannot write into /proc/none: ")
        for command in ("reproduce", "train digits-mlp")
    ),
    ("fool digits-mlp --out taken", "Cannot write taken/fool.png: Is a directory; choose another folder with --out."),
    ("evaluate digits-mlp --out taken", "Cannot write taken/evaluation/report.json: Not a directory"),
]

LINES = [
    *USAGE,
    *NUMBERS,
    *WORDS,
    *TOGETHER,
    *((f"attack {line} digits --count 4", words) for line, words in MODEL_LINES),
    *((f"attack digits-mlp {name}", words) for name, words in DATA_LINES),
    *FILES,
    *TOO_MUCH,
    *PLACES,
]


def seen(folder):
    """Everything in a folder but what Python keeps there of modules, with when it was written."""
    paths = [path for path in folder.rglob("*") if "__pycache__" not in path.parts]
    return {path: path.stat().st_mtime_ns for path in paths}


def test_there_are_many_of_them():
    assert len(LINES) == len(set(LINES)) > 250


@pytest.mark.parametrize(("line", "words"), LINES, ids=[line or "nothing" for line, _ in LINES])
def test_a_wrong_line_is_one_sentence_and_writes_nothing(line, words, folder, capsys):
    if "{only}" in line:
        only = data_arguments.find_data("good.npz", 1, 0).y.item()
        line, words = line.replace("{only}", str(only)), words.replace("{only}", str(only))
    before = seen(folder)
    assert main(line.split(" ") if line else []) == 2
    printed = capsys.readouterr()
    assert re.fullmatch(r"inputopt: [^\n]+\n", printed.err.removeprefix("bye\n"))
    assert words in printed.err
    assert printed.out == ""
    assert seen(folder) == before
