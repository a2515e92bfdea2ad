import json
import os

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import inputopt
from inputopt import MLP, FileError
from inputopt.nets.activations import ACTIVATIONS


def batch(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def same(one, other):
    """Whether two networks have the same numbers under the same names, bit for bit."""
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("output", ACTIVATIONS)
def test_a_saved_network_comes_back_with_its_architecture(tmp_path, output):
    net = MLP([4, 3, 2], "tanh", output, biases=[batch(3), batch(2)])
    inputopt.save(net, tmp_path / "deep" / "net.safetensors")
    back = inputopt.load(tmp_path / "deep" / "net.safetensors")
    assert isinstance(back, MLP)
    assert back.config() == {"sizes": [4, 3, 2], "activation": "tanh", "output": output}
    assert same(back, net)
    assert torch.equal(back(batch(5, 4)), net(batch(5, 4)))
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["net.safetensors"]


def test_double_precision_survives(tmp_path):
    net = MLP([4, 3, 2]).double()
    net.weights[0].data += 1e-12
    inputopt.save(net, tmp_path / "net.safetensors")
    back = inputopt.load(tmp_path / "net.safetensors")
    assert back.weights[0].dtype == torch.float64
    assert same(back, net)


def test_a_name_may_be_a_string(tmp_path):
    inputopt.save(MLP([1, 1]), str(tmp_path / "net.safetensors"))
    assert inputopt.load(str(tmp_path / "net.safetensors")).sizes == (1, 1)


def test_saving_over_a_network_replaces_it(tmp_path):
    for seed in (1, 2):
        inputopt.save(MLP([2, 2], seed=seed), tmp_path / "net.safetensors")
    assert same(inputopt.load(tmp_path / "net.safetensors"), MLP([2, 2], seed=2))


def test_any_module_is_saved_and_fills_another_of_its_kind(tmp_path):
    def made(seed):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))

    inputopt.save(made(0), tmp_path / "conv.safetensors")
    other = made(1)
    assert inputopt.load(tmp_path / "conv.safetensors", into=other) is other
    assert same(other, made(0))


def test_a_module_whose_layers_share_a_weight_is_saved_too(tmp_path):
    shared = nn.Linear(3, 3)
    net = nn.Sequential(shared, nn.ReLU(), shared)
    inputopt.save(net, tmp_path / "tied.safetensors")
    other = nn.Linear(3, 3)
    assert same(inputopt.load(tmp_path / "tied.safetensors", into=nn.Sequential(other, nn.ReLU(), other)), net)


@pytest.mark.parametrize("suffix", [".pt", ".pth"])
def test_plain_weights_of_torch_fill_a_network(tmp_path, suffix):
    net = MLP([3, 2], seed=5)
    torch.save(net.state_dict(), tmp_path / f"net{suffix}")
    assert same(inputopt.load(tmp_path / f"net{suffix}", into=MLP([3, 2])), net)


class Trap:
    """Unpickling one makes a folder: it shows whether anybody did."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors", ".pkl"])
def test_nothing_is_ever_unpickled(tmp_path, suffix):
    torch.save({"layers.0.weight": Trap(tmp_path / "sprung")}, tmp_path / f"net{suffix}")
    with pytest.raises(FileError, match=f"net{suffix} is not a "):
        inputopt.load(tmp_path / f"net{suffix}", into=MLP([3, 2]))
    assert not (tmp_path / "sprung").exists()


def write_raw(content):
    return lambda path: path.write_bytes(content)


def write_cut(keep, suffix):
    def write(path):
        if suffix == ".pt":
            torch.save(MLP([3, 2]).state_dict(), path)
        else:
            inputopt.save(MLP([3, 2]), path)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(keep * len(whole))])

    return write


def write_header(header, tensors=None):
    return lambda path: save_file(MLP([3, 2]).state_dict() if tensors is None else tensors, path, metadata=header)


def described(**config):
    return {"inputopt": json.dumps({"kind": "mlp", "sizes": [3, 2], **config})}


NAN_WEIGHTS = {**MLP([3, 2]).state_dict(), "layers.0.bias": torch.tensor([0.0, float("nan")])}
INFINITE_WEIGHTS = {**MLP([3, 2]).state_dict(), "layers.0.bias": torch.tensor([0.0, float("inf")])}
BAD_FILES = {
    "missing": ("a.safetensors", lambda path: None, "There is no file .*; check the name"),
    "a folder": ("a.safetensors", lambda path: path.mkdir(), "There is no file"),
    "empty": ("a.safetensors", write_raw(b""), "is not a valid safetensors file"),
    "text": ("a.safetensors", write_raw(b"weights = 3\n" * 50), "is not a valid safetensors file"),
    "cut in the header": ("a.safetensors", write_cut(0.1, ".safetensors"), "is not a valid safetensors file"),
    "cut in the weights": ("a.safetensors", write_cut(0.95, ".safetensors"), "is not a valid safetensors file"),
    "foreign": (
        "a.safetensors",
        write_header(None),
        "contains no network architecture; pass a network with into=",
    ),
    "header of another tool": (
        "a.safetensors",
        write_header({"format": "pt"}),
        "contains no network architecture",
    ),
    "broken header": ("a.safetensors", write_header({"inputopt": "{"}), "is not a valid safetensors file"),
    "header without a kind": ("a.safetensors", write_header({"inputopt": "{}"}), "cannot build"),
    "header that is a list": ("a.safetensors", write_header({"inputopt": "[1]"}), "cannot build"),
    "unknown kind": ("a.safetensors", write_header(described(kind="transformer")), "cannot build"),
    "unknown activation": ("a.safetensors", write_header(described(activation="swish")), "cannot build"),
    "unknown setting": ("a.safetensors", write_header(described(dropout=0.5)), "cannot build"),
    "absurd sizes": ("a.safetensors", write_header(described(sizes=[10**9, 10**9])), "cannot build|do not fit"),
    "other sizes": (
        "a.safetensors",
        write_header(described(sizes=[4, 2])),
        r"do not fit .* be \(2, 4\) and is \(2, 3\)",
    ),
    "a layer too few": ("a.safetensors", write_header(described(sizes=[3, 2, 1])), "do not fit .* is absent"),
    "a layer too many": (
        "a.safetensors",
        write_header(described(), MLP([3, 2, 1]).state_dict()),
        "do not fit .* should be absent and is",
    ),
    "NaN": ("a.safetensors", write_header(described(), NAN_WEIGHTS), "NaN or infinite values in layers.0.bias"),
    "infinite": ("a.safetensors", write_header(described(), INFINITE_WEIGHTS), "NaN or infinite values"),
    "no architecture in .pt": (
        "a.pt",
        lambda path: torch.save(MLP([3, 2]).state_dict(), path),
        "pass a network with into=",
    ),
    "a whole module in .pt": ("a.pt", lambda path: torch.save(nn.Linear(3, 2), path), "is not a file of plain weights"),
    "a tensor in .pt": ("a.pt", lambda path: torch.save(torch.ones(3), path), "something other than a state_dict"),
    "more than weights in .pt": ("a.pt", lambda path: torch.save({"epoch": 3}, path), "something other than"),
    "empty .pt": ("a.pt", write_raw(b""), "is not a file of plain weights"),
    "text .pt": ("a.pt", write_raw(b"hello there"), "is not a file of plain weights"),
    "cut .pt": ("a.pt", write_cut(0.5, ".pt"), "is not a file of plain weights"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_refused_in_one_sentence(tmp_path, case):
    name, write, words = BAD_FILES[case]
    write(tmp_path / name)
    with pytest.raises(FileError, match=words) as caught:
        inputopt.load(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    "tensors",
    [NAN_WEIGHTS, MLP([3, 4]).state_dict(), MLP([3, 2, 2]).state_dict(), {"layers.0.weight": torch.ones(2, 3)}],
)
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_network_is_not_touched_by_weights_that_do_not_fit_it(tmp_path, tensors, suffix):
    (torch.save if suffix == ".pt" else save_file)(tensors, tmp_path / f"net{suffix}")
    net = MLP([3, 2], seed=7)
    with pytest.raises(FileError, match=r"do not fit|NaN"):
        inputopt.load(tmp_path / f"net{suffix}", into=net)
    assert same(net, MLP([3, 2], seed=7))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_network_with_nan_weights_is_not_saved(tmp_path, bad):
    net = MLP([3, 2])
    net.biases[0].data[1] = bad
    with pytest.raises(ValueError, match=r"contain NaN or infinite values in layers\.0\.bias"):
        inputopt.save(net, tmp_path / "new" / "net.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_place_is_refused_and_nothing_half_written_is_left(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.safetensors").mkdir()
    for place in (tmp_path / "file" / "net.safetensors", tmp_path / "folder.safetensors"):
        with pytest.raises(FileError, match=r"^Cannot write .*; choose another path\.$"):
            inputopt.save(MLP([3, 2]), place)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder.safetensors"]


def test_an_unknown_shipped_name_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="Unknown model 'digits-mpl'; did you mean 'digits-mlp'"):
        inputopt.load("digits-mpl")
