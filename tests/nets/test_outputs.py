"""Which tensor is meant where a model or a layer puts out more than one."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from odd_networks import Net, X, seeded
from torch import Tensor, nn

import inputopt

Pair = namedtuple("Pair", ["first", "second"])
Named = namedtuple("Named", ["hidden", "logits"])


@dataclass
class Said:
    scores: Any
    other: Any = None


class Marked(Tensor):
    """A tensor of a class of its own."""


def logits(x):
    return x.flatten(1)[:, :4] * 2


def states(x):
    return x.flatten(1).unsqueeze(1)


CLEAR = {
    "tensor": logits,
    "subclass": lambda x: logits(x).as_subclass(Marked),
    "attribute": lambda x: SimpleNamespace(logits=logits(x), hidden=logits(x)),
    "tuple of one": lambda x: (logits(x),),
    "tuple with nothing": lambda x: (logits(x), None, 3),
    "tuple with states": lambda x: (states(x), logits(x)),
    "list": lambda x: [logits(x), x],
    "named tuple": lambda x: Named(logits(x) + 1, logits(x)),
    "unnamed in a named tuple": lambda x: Pair(x, logits(x)),
    "mapping with the name": lambda x: {"logits": logits(x), "features": logits(x)},
    "mapping with one": lambda x: OrderedDict(out=logits(x), aux=x),
    "dataclass": lambda x: Said(logits(x), states(x)),
    "classes beside": lambda x: (logits(x), logits(x).argmax(1)),
    "of another count": lambda x: (logits(x), torch.zeros(7, 4)),
}


@pytest.mark.parametrize("kind", CLEAR)
def test_clear_outputs(kind):
    frozen = inputopt.Frozen(CLEAR[kind])
    found = frozen(X)
    assert type(found) is Tensor
    assert torch.equal(found, logits(X))
    y = X.clone().requires_grad_()
    assert frozen.gradient(frozen(y).sum(1), y).flatten(1)[:, :4].eq(2).all()


@pytest.mark.parametrize(
    ("model", "kind", "words"),
    [
        (lambda x: (logits(x), logits(x)), TypeError, r"tuple with 0, 1\); wrap it in a function"),
        (lambda x: {"a": logits(x), "b": logits(x)}, TypeError, "with a, b"),
        (lambda x: Said(x, x), TypeError, "with scores, other"),
        (lambda x: (), TypeError, r"must return logits \[B, n\]: a tensor"),
        (lambda x: None, TypeError, r"must return logits \[B, n\]: a tensor"),
        (lambda x: "cat", TypeError, r"must return logits \[B, n\]: a tensor"),
        (lambda x: SimpleNamespace(logits=[1.0]), TypeError, "logits"),
        (lambda x: logits(x).argmax(1), ValueError, r"\[B, n\], not shape \[5\] for 5 inputs"),
        (lambda x: logits(x) > 1, TypeError, "floating-point logits, not torch.bool"),
        (lambda x: logits(x).long(), TypeError, "not torch.int64"),
        (lambda x: logits(x)[..., None, None], ValueError, r"not shape \[5, 4, 1, 1\]"),
        (lambda x: logits(x).sum(0, keepdim=True), ValueError, r"not shape \[1, 4\] for 5 inputs"),
    ],
)
def test_outputs_that_are_refused(model, kind, words):
    with pytest.raises(kind, match=words):
        inputopt.Frozen(model)(X)


class Layered(nn.Module):
    """Its layer puts out what `pack` makes of a tensor."""

    def __init__(self, pack, unpack):
        super().__init__()
        self.layer, self.head, self.unpack = Packing(pack), nn.Linear(3, 2), unpack

    def forward(self, x):
        return self.head(self.unpack(self.layer(x)).mean((2, 3)))


class Packing(nn.Module):
    def __init__(self, pack):
        super().__init__()
        self.conv, self.pack = nn.Conv2d(3, 3, 3), pack

    def forward(self, x):
        return self.pack(self.conv(x))


@pytest.mark.parametrize(
    ("pack", "unpack"),
    [
        (lambda y: (y,), lambda out: out[0]),
        (lambda y: (y, None), lambda out: out[0]),
        (lambda y: ((y, 3), [y.mean(), len(y)]), lambda out: out[0][0]),
        (lambda y: {"last_hidden_state": y, "others": (y, y)}, lambda out: out["last_hidden_state"]),
        (lambda y: Said(y), lambda out: out.scores),
    ],
)
def test_a_layer_that_puts_out_one_tensor_in_something(pack, unpack):
    net = seeded(lambda: Layered(pack, unpack))
    frozen = inputopt.Frozen(net)
    found = frozen.features(X, ["layer", "layer.conv"])
    torch.testing.assert_close(found["layer"], net.layer.conv(X), rtol=1e-5, atol=1e-6)
    assert {layer.name: layer.shapes for layer in frozen.layers(X)}["layer"] == ((3, 6, 6),)


def test_of_a_layer_that_puts_out_a_tuple_the_first_tensor_is_meant():
    net = seeded(lambda: Layered(lambda y: (y, 2 * y, None), lambda out: out[0]))
    found = inputopt.Frozen(net).features(X, ["layer", "layer.conv"])
    torch.testing.assert_close(found["layer"], found["layer.conv"])


def test_a_layer_that_puts_out_several_is_refused():
    net = seeded(lambda: Layered(lambda y: {"one": y, "other": 2 * y}, lambda out: out["one"]))
    frozen = inputopt.Frozen(net)
    with pytest.raises(TypeError, match="Layer 'layer' returns several tensors"):
        frozen.features(X, ["layer"])
    assert {layer.name: layer.shapes for layer in frozen.layers(X)}["layer"] == (None,)


def test_the_models_own_outputs_are_logits_among_layers():
    class Outputs(Net):
        def forward(self, x):
            return Said(super().forward(x), x)

    frozen = inputopt.Frozen(seeded(Outputs))
    found = frozen.features(X, ["", "conv"])
    torch.testing.assert_close(found[""], frozen(X))
