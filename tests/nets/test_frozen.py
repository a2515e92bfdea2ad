import copy
from types import SimpleNamespace

import pytest
import torch
from contracts import assert_same, drawn, fingerprint
from torch import nn

import inputopt
from inputopt.nets.model_errors import ModelError

calls = []  # which modules were run; outside the model, since a copy of it would count for itself


class BoomError(Exception):
    """Raised inside a model."""


class Counted(nn.Module):
    """Lets its input pass, notes that it was run, and fails at the run whose turn it is."""

    fails_at = None

    def __init__(self, name):
        super().__init__()
        self.name = name

    def forward(self, x):
        calls.append(self.name)
        if Counted.fails_at is not None and len(calls) >= Counted.fails_at:
            raise BoomError
        return x


class Net(nn.Module):
    """All that is easily disturbed: batch norm, dropout, a held bias."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU()
        self.drop = nn.Dropout(0.5)
        self.early = Counted("early")
        self.head = nn.Linear(4 * 6 * 5, 3)
        self.late = Counted("late")
        self.unused = nn.Linear(2, 2)

    def forward(self, x):
        x = self.early(self.drop(self.act(self.norm(self.conv(x)))))
        return self.late(self.head(x.flatten(1)))


class Uncopyable(Net):
    """As `Net`, which nothing can copy."""

    def __deepcopy__(self, memo):
        raise RuntimeError("there is one of me")


@pytest.fixture(autouse=True)
def _calm():
    calls.clear()
    Counted.fails_at = None
    yield
    Counted.fails_at = None


def in_training(kind=Net):
    """A model in the midst of its training: gradients, statistics, a frozen batch norm, a hook, a held weight."""
    torch.manual_seed(0)
    net = kind()
    for _ in range(3):
        net(torch.rand(8, 2, 6, 5)).square().sum().backward()
    net.norm.eval()
    net.conv.bias.requires_grad_(False)
    net.act.register_forward_hook(lambda module, inputs, output: None)
    calls.clear()
    return net


def judged(net, x):
    """What the model says in evaluation mode, found on a copy by hand."""
    still = Net().to(next(net.parameters()).dtype)
    still.load_state_dict(net.state_dict())
    with torch.no_grad():
        found = still.eval()(x)
    calls.clear()
    return found


X = torch.rand(4, 2, 6, 5, generator=torch.Generator().manual_seed(3))


def gradient(net):
    frozen = inputopt.Frozen(net)
    x = X.clone().requires_grad_()
    return frozen.gradient(frozen(x).square().sum(1), x)


def wrong_layer(net):
    with pytest.raises(ValueError, match="never calls unused"):
        inputopt.Frozen(net).features(X, ["unused", "conv"])


JOBS = {
    "call": lambda net: inputopt.Frozen(net)(X),
    "features": lambda net: inputopt.Frozen(net).features(X, ["conv", "head"]),
    "wrong layer": wrong_layer,
    "gradient": gradient,
    "fool": lambda net: inputopt.fool(net, 1, (2, 6, 5), count=3, steps=5),
    "ascend": lambda net: inputopt.ascend(net, X, [0, 1, 2, 0], steps=5),
    "dream": lambda net: inputopt.dream(net, X[0], ["norm", "head"], octaves=1, steps=4),
}


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("kind", [Net, Uncopyable])
def test_the_model_is_untouched(kind, job):
    net = in_training(kind)
    before = fingerprint(net)
    JOBS[job](net)
    assert fingerprint(net) == before


@pytest.mark.parametrize("fails_at", [1, 2, 4])  # in the first look, at its end, and within the search
@pytest.mark.parametrize("job", ["call", "features", "fool", "ascend", "dream"])
@pytest.mark.parametrize("kind", [Net, Uncopyable])
def test_the_model_is_untouched_when_it_raises(kind, job, fails_at):
    net = in_training(kind)
    before = fingerprint(net)
    Counted.fails_at = fails_at
    if job in ("call", "features"):
        Counted.fails_at = min(fails_at, 2 if job == "call" else 1)
    with pytest.raises(ModelError) as raised:
        JOBS[job](net)
    assert isinstance(raised.value.__cause__, BoomError)
    assert fingerprint(net) == before


@pytest.mark.parametrize("kind", [Net, Uncopyable])
def test_it_answers_in_evaluation_mode(kind):
    net = in_training(kind)
    torch.testing.assert_close(inputopt.Frozen(net)(X), judged(net, X))


def test_a_model_whose_graph_cannot_be_copied_works():
    class Remembers(nn.Linear):
        def forward(self, x):
            self.last = super().forward(x)
            return self.last

    net = Remembers(4, 3)
    net(torch.rand(1, 4))
    with pytest.raises(RuntimeError, match="deepcopy"):
        copy.deepcopy(net)
    frozen = inputopt.Frozen(net)
    x = torch.rand(2, 4, requires_grad=True)
    assert_same(frozen.gradient(frozen(x)[:, 1], x), net.weight[1].detach().expand(2, 4), 1e-7)
    assert net.training
    assert net.weight.grad is None


def test_the_copy_stands_still_when_the_model_learns_on():
    net = in_training()
    frozen = inputopt.Frozen(net)
    before = frozen(X)
    with torch.no_grad():
        net.head.weight.mul_(-2)
    assert_same(frozen(X), before)


def test_gradients_are_those_of_the_model_and_of_the_input_alone():
    net = in_training()
    x = X.clone().requires_grad_()
    still = copy.deepcopy(net).eval()
    still(x).square().sum().backward()
    torch.testing.assert_close(gradient(net), x.grad)


def test_inputs_that_want_gradients_are_left_alone():
    net = in_training()
    x = X.clone().requires_grad_()
    inputopt.ascend(net, x, judged(net, X).argmax(1), steps=3)
    assert x.grad is None
    assert_same(x.detach(), X)


# ------------------------------------------------------------------------------------------------------ kinds of models
def test_an_output_with_logits():
    class Wrapped(nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net = net

        def forward(self, x):
            return SimpleNamespace(logits=self.net(x), hidden=x)

    plain = in_training()
    wrapped = Wrapped(plain)
    rounding = 1e-5  # only the plain one can be traced, and so folded: float32 rounds differently
    assert_same(inputopt.Frozen(wrapped)(X), inputopt.Frozen(plain)(X), rounding)
    found, other = (inputopt.fool(net, 1, (2, 6, 5), count=2, steps=4) for net in (wrapped, plain))
    assert_same(found, other, rounding)


def test_a_plain_function():
    weight = drawn(3, 60, dtype=torch.float32)
    frozen = inputopt.Frozen(lambda x: x.flatten(1) @ weight.T)
    assert_same(frozen(X), X.flatten(1) @ weight.T)
    x = X.clone().requires_grad_()
    assert_same(frozen.gradient(frozen(x)[:, 2], x), weight[2].reshape(1, 2, 6, 5).expand(4, -1, -1, -1))
    assert frozen.layer_names() == []
    assert bool(inputopt.fool(frozen, 2, (2, 6, 5), count=2).success.all())


def test_a_model_that_writes_to_its_inputs_does_not_reach_the_users():
    net = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(60, 3))
    x = X - 0.5
    inputopt.Frozen(net, bounds=(-0.5, 0.5))(x)
    assert_same(x, X - 0.5)
    result = inputopt.ascend(inputopt.Frozen(net, bounds=(-0.5, 0.5)), x, [0, 1, 2, 0], steps=3)
    assert_same(x, X - 0.5)
    assert torch.isfinite(result.x).all()


def test_a_model_in_float64_is_derived_in_the_inputs_dtype_and_searched_in_its_own():
    net = in_training().double()
    frozen = inputopt.Frozen(net)
    x = X.clone().requires_grad_()
    out = frozen(x)
    assert (frozen.dtype, out.dtype) == (torch.float64, torch.float64)
    assert frozen.gradient(out[:, 0], x).dtype == torch.float32
    result = inputopt.ascend(net, X, judged(net, X.double()).argmax(1), steps=3)
    assert result.x.dtype == frozen.search_dtype(X) == torch.float64


@pytest.mark.parametrize(
    ("mean", "std"), [(0.3, None), (None, 0.25), (0.3, 0.25), ([0.1, 0.6], [0.5, 2.0]), ([0.1, 0.6], 2.0)]
)
def test_mean_and_std_are_subtracted_and_divided_out(mean, std):
    net = in_training().double()
    shape = (1, -1, 1, 1)
    less, over = (torch.tensor(value, dtype=torch.float64).reshape(shape) for value in (mean or 0.0, std or 1.0))
    frozen = inputopt.Frozen(net, mean=mean, std=std)
    torch.testing.assert_close(frozen(X.double()), judged(net, (X.double() - less) / over), rtol=0, atol=1e-12)


def test_mean_and_std_are_in_the_gradient():
    weight = drawn(3, 4)
    frozen = inputopt.Frozen(lambda x: x @ weight.T, mean=0.5, std=0.25)
    x = drawn(2, 4).requires_grad_()
    assert_same(frozen.gradient(frozen(x)[:, 1], x), (weight[1] / 0.25).expand(2, 4), 1e-12)


# ----------------------------------------------------------------------------------------------------------- the layers
def test_features_are_what_the_modules_put_out():
    net = in_training()
    still = copy.deepcopy(net).eval()
    found = inputopt.Frozen(net).features(X, ["norm", "conv", "head"])
    assert set(found) == {"conv", "norm", "head"}
    torch.testing.assert_close(found["conv"], still.conv(X))
    torch.testing.assert_close(found["norm"], still.norm(still.conv(X)))
    torch.testing.assert_close(found["head"], still(X))


@pytest.mark.parametrize("kind", [Net, Uncopyable])
def test_nothing_behind_the_last_layer_is_run(kind):
    frozen = inputopt.Frozen(in_training(kind))
    assert calls == [], "freezing runs nothing"
    frozen.features(X, ["act", "conv"])
    assert calls == []
    frozen.features(X, ["head"])
    assert set(calls) == {"early"}
    calls.clear()
    frozen.features(X, ["head"])
    assert calls == ["early"], "it was looked at before"
    frozen(X)
    calls.clear()
    frozen(X)
    assert calls == ["early", "late"]


def test_features_are_not_changed_by_what_comes_after():
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(48, 3))
    both = inputopt.Frozen(net).features(X, ["0", "3"])
    assert_same(both["0"], inputopt.Frozen(net).features(X, ["0"])["0"])


def test_features_follow_the_input():
    frozen = inputopt.Frozen(in_training())
    x = X.clone().requires_grad_()
    found = frozen.features(x, ["norm"])["norm"].flatten(1).square().sum(1)
    assert bool((frozen.gradient(found, x) != 0).any())


def test_a_layer_that_puts_out_more_than_a_tensor_is_refused_clearly():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.parts = nn.LSTM(5, 4, batch_first=True), nn.Identity()

        def forward(self, x):
            return self.parts({"all": self.cell(x[:, 0])[0], "none": x})["all"][:, -1]

    with pytest.raises((ValueError, TypeError), match="parts"):
        inputopt.dream(Recurrent(), X[0], ["parts"], octaves=1, steps=1)


def test_a_wrong_layer_name_suggests_the_nearest():
    frozen = inputopt.Frozen(in_training())
    assert frozen.layer_names() == ["conv", "norm", "act", "drop", "early", "head", "late", "unused"]
    with pytest.raises(ValueError, match="layer 'haed'; did you mean 'head'"):
        frozen.features(X, ["haed"])
    with pytest.raises(ValueError, match="never calls unused"):
        frozen.features(X, ["conv", "unused"])
    with pytest.raises(ValueError, match="at least one"):
        frozen.features(X, [])
    with pytest.raises(ValueError, match="no named layers"):
        inputopt.Frozen(lambda x: x).features(X, ["conv"])


class Twice(nn.Module):
    """One activation called three times, and one that a shared name leads to."""

    def __init__(self):
        super().__init__()
        self.act, self.head = nn.Tanh(), nn.Linear(60, 3)
        self.alias, self.spare = self.act, nn.Identity()

    def forward(self, x):
        calls.append("begins")
        x = self.act(2 * self.act(x))
        calls.append("between")
        return self.head(self.act(x).flatten(1))


def test_calls_of_one_module_are_told_apart():
    frozen, net = inputopt.Frozen(Twice()), Twice()
    wanted = ["act", "act:1", "act:2", "act:3", "act:last"]
    found = frozen.features(X, wanted)
    assert list(found) == wanted or set(found) == set(wanted)
    one = X.tanh()
    two = (2 * one).tanh()
    for layer, value in zip(wanted, (one, one, two, two.tanh(), two.tanh()), strict=True):
        torch.testing.assert_close(found[layer], value)
    assert isinstance(net.act, nn.Tanh)
    calls.clear()
    frozen.features(X, ["act:2"])
    assert calls == ["begins"], "it stops at the call that was asked for"


def test_a_call_that_is_not_made():
    frozen = inputopt.Frozen(Twice())
    with pytest.raises(ValueError, match=r"calls act only 3 times, so there is no act:4"):
        frozen.features(X, ["act:4"])
    with pytest.raises(ValueError, match="did you mean 'act'"):
        frozen.features(X, ["akt:2"])
    for wrong in ("act:", "act:0", "act:two", "act:-1"):
        with pytest.raises(ValueError, match=r"use act:1 for the first call, act:2 for the second, or act:last"):
            frozen.features(X, [wrong])
    with pytest.raises(ValueError, match="list of at least one layer name"):
        frozen.features(X, "act")


def test_layers_are_listed_call_by_call():
    frozen = inputopt.Frozen(Twice())
    listed = {layer.name: layer for layer in frozen.layers(X)}
    assert list(listed) == ["act", "head", "alias", "spare"]
    assert listed["act"].shapes == ((2, 6, 5),) * 3
    assert listed["act"].calls() == ("act:1", "act:2", "act:3 or act:last")
    assert (listed["head"].kind, listed["head"].shapes, listed["head"].calls()) == ("Linear", ((3,),), ("head",))
    assert (listed["spare"].shapes, listed["spare"].calls()) == ((), ())
    for layer in listed.values():
        for call in layer.calls():
            frozen.features(X, [call.split(" or ")[0]])
    assert inputopt.Frozen(lambda x: x.flatten(1)).layers(X) == []


def count_hooks(model):
    return sum(len(module._forward_hooks) for module in model.modules())


@pytest.mark.parametrize("fails_at", [None, 1, 2])
def test_no_hook_is_left(fails_at):
    frozen = inputopt.Frozen(in_training())
    calls.clear()
    Counted.fails_at = fails_at
    try:
        for _ in range(10):
            for run in (lambda: frozen.features(X, ["act", "head"]), lambda: frozen.layers(X)):
                try:
                    run()
                except ModelError:
                    assert fails_at is not None
    finally:
        Counted.fails_at = None
    assert count_hooks(frozen._network.runner.model) == 1, "the user's own stays"


# ----------------------------------------------------------------------------------------------------------- the counts
def test_counts_are_per_example():
    frozen = inputopt.Frozen(in_training())
    assert (frozen.forwards, frozen.backwards) == (0, 0)
    frozen(X)
    frozen.features(X[:3], ["conv"])
    x = X[:2].clone().requires_grad_()
    frozen.gradient(frozen(x).sum(1), x)
    assert (frozen.forwards, frozen.backwards) == (4 + 3 + 2, 2)


# -------------------------------------------------------------------------------------------------------------- refused
@pytest.mark.parametrize("model", [None, 3, torch.zeros(2, 2), "digits-mlp"])
def test_not_a_model(model):
    with pytest.raises(TypeError, match="module or a function"):
        inputopt.Frozen(model)


@pytest.mark.parametrize("bounds", [(1, 0), (0.5, 0.5), (float("nan"), 1), (0, float("nan"))])
def test_bounds_that_make_no_sense(bounds):
    with pytest.raises(ValueError, match="bounds"):
        inputopt.Frozen(nn.Identity(), bounds=bounds)


@pytest.mark.parametrize("std", [0.0, -1.0, [0.5, 0.0], float("nan")])
def test_std_must_be_above_zero(std):
    with pytest.raises(ValueError, match="std must be finite and above 0"):
        inputopt.Frozen(nn.Identity(), std=std)


@pytest.mark.parametrize("mean", [float("nan"), [0.1, float("inf")]])
def test_mean_must_be_finite(mean):
    with pytest.raises(ValueError, match="mean"):
        inputopt.Frozen(nn.Identity(), mean=mean)


def test_a_mean_for_other_channels():
    with pytest.raises(ValueError, match="shape"):
        inputopt.fool(inputopt.Frozen(in_training(), mean=[0.1, 0.2, 0.3]), 1, (2, 6, 5))


@pytest.mark.parametrize("place", ["conv.weight", "head.bias"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(place, bad):
    net = in_training()
    net.get_parameter(place).data.view(-1)[-1] = bad
    with pytest.raises(ValueError, match="NaN or infinite"):
        inputopt.Frozen(net)


@pytest.mark.parametrize(
    ("model", "kind", "words"),
    [
        (lambda x: [1.0], TypeError, "logits"),
        (lambda x: SimpleNamespace(logits="none"), TypeError, "logits"),
        (lambda x: x, ValueError, r"\[B, n\]"),
        (lambda x: x.flatten(1).sum(1), ValueError, r"\[B, n\]"),
        (lambda x: x.flatten(1)[:1], ValueError, r"\[B, n\]"),
    ],
)
def test_outputs_that_are_not_logits(model, kind, words):
    with pytest.raises(kind, match=words):
        inputopt.Frozen(model)(X)


def test_a_model_that_is_a_method_is_called_by_its_name():
    class Service:
        def scores(self, x):
            return x

    assert inputopt.Frozen(Service().scores).kind.endswith("Service.scores")
