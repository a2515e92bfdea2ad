"""What ends a picture or an attribution in a sentence: settings, before the network is run, and answers of NaN."""

import functools

import pytest
import torch
from torch import nn

import inputopt

SIDE = (9, 8)


@functools.cache
def eye():
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 5, 3, padding=1), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(20, 4))
    return nn.Sequential(*layers)


def photo(count=None):
    shape = (3, *SIDE) if count is None else (count, 3, *SIDE)
    return torch.rand(shape, generator=torch.Generator().manual_seed(4))


# ------------------------------------------------------------------------------------------------------------------ NaN
class Spoilt(nn.Module):
    """Answers with NaN, from the forward of that number on."""

    def __init__(self, after=0, of=torch.nan):
        super().__init__()
        self.first, self.rest, self.after, self.of = eye()[0], eye()[1:], after, of
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x):
        self.count += 1
        bad = self.of if int(self.count) > self.after else 1.0
        return self.rest(self.first(x) * bad) * bad


SPOILT = {
    "visualize": lambda net, x: inputopt.visualize(net, inputopt.Channel("rest.1", 1), SIDE, 4),
    "visualize a class": lambda net, x: inputopt.visualize(net, inputopt.Class(1), SIDE, 4),
    "dream": lambda net, x: inputopt.dream(net, x[0], ["rest"], octaves=2, steps=2),
    "invert": lambda net, x: inputopt.invert(net, x[0], ["rest"], 4),
    "accentuate": lambda net, x: inputopt.accentuate(net, x[0], ["rest"], 4),
    "atlas": lambda net, x: inputopt.atlas(net, "rest.1", list(x), [1], 8, 2, patch=4),
    "evolve_images": lambda net, x: inputopt.evolve_images(net, [1, 2], (3, *SIDE), 3),
    "fool": lambda net, x: inputopt.fool(net, 1, (3, *SIDE), 2, steps=5),
    "saliency": lambda net, x: inputopt.saliency(net, x, [1, 2]),
    "spurious": lambda net, x: inputopt.spurious(net, x, [1, 2]),
}


@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize("name", SPOILT)
def test_answers_that_are_no_numbers_end_in_a_sentence(name, after):
    if (name, after) in (("fool", 2), ("spurious", 2)):
        after = 0  # a search keeps what it found before
    with pytest.raises(ValueError, match=r"NaN|finite|classifies none"):
        SPOILT[name](inputopt.Frozen(Spoilt(after)), photo(count=2))


def test_an_infinite_belief_is_no_picture():
    class Ruled(nn.Module):
        def forward(self, x):
            logits = x.mean((2, 3))
            return torch.stack([logits[:, 0], logits[:, 1], torch.full_like(logits[:, 0], -torch.inf)], 1)

    with pytest.raises(ValueError, match="The objective is NaN or infinite"):
        inputopt.visualize(Ruled(), inputopt.LogProbability(2), SIDE, 2)
    assert inputopt.visualize(Ruled(), inputopt.LogProbability(1), SIDE, 2).x.isfinite().all()


# ------------------------------------------------------------------------------------------------------ what is refused
class Untouched(nn.Module):
    """Fails if it is run."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        pytest.fail("the network was run before the settings were checked")


BAD = {
    "visualize": [
        {"steps": 0}, {"augment": -1.0}, {"skip_gradient": 2.0}, {"drop_branches": 1.0}, {"initial_scale": 0.0},
        {"canvas": "oil"},
    ],
    "dream": [{"steps": 0}, {"step_size": 0.0}, {"seed": 0.5}, {"layers": {"a": "x"}}, {"mask": torch.zeros(1, 2, 2)}],
    "invert": [{"steps": 0}, {"smooth": -1.0}, {"canvas": "oil"}, {"seed": 0.5}],
    "accentuate": [{"steps": 0}, {"augment": -1.0}, {"canvas": "oil"}],
    "atlas": [{"steps": 0}, {"top": 0}, {"patch": 0}, {"augment": -1.0}, {"canvas": "oil"}, {"axis": 0.5}, {"size": 0}],
    "evolve_images": [{"generations": 0}, {"confidence": 1.0}, {"hidden": 2}, {"depth": 0}, {"targets": []}],
    "fool": [{"steps": 0}, {"rate": 0.0}, {"start": "noise"}, {"target": -1}],
    "ascend": [{"steps": 0}, {"rate": 0.0}, {"confidence": 0.0}],
    "saliency": [{"method": "cam"}, {"samples": 0}, {"window": 0}, {"deviation": -1.0}, {"seed": 0.5}],
    "spurious": [{"grid": (0, 1)}, {"grid": (99, 1)}, {"steps": 0}, {"seed": 0.5}],
}  # fmt: skip
GIVEN = {
    "visualize": lambda: {"objective": inputopt.Channel("layer", 1), "size": SIDE},
    "dream": lambda: {"photo": photo(), "layers": ["layer"]},
    "invert": lambda: {"photo": photo(), "layers": ["layer"]},
    "accentuate": lambda: {"photo": photo(), "layers": ["layer"]},
    "atlas": lambda: {"layer": "layer", "photos": [photo()], "channels": [1]},
    "evolve_images": lambda: {"targets": [1], "shape": (3, *SIDE)},
    "fool": lambda: {"target": 1, "shape": (3, *SIDE)},
    "ascend": lambda: {"x": photo(count=2), "y": [0, 1]},
    "saliency": lambda: {"x": photo(count=2), "y": [0, 1]},
    "spurious": lambda: {"x": photo(count=2), "y": [0, 1]},
}


@pytest.mark.parametrize("name", BAD)
def test_settings_are_checked_before_the_network_is_run(name):
    for changed in BAD[name]:
        with pytest.raises((ValueError, TypeError)):
            getattr(inputopt, name)(Untouched(), **GIVEN[name]() | changed)


@pytest.mark.parametrize("name", ["visualize", "dream", "invert", "accentuate", "atlas", "saliency", "ascend"])
def test_a_bug_in_the_model_is_not_said_to_be_a_shape(name):
    class Bug(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.layer(x).mean((2, 3)) + [][0]

    given = GIVEN[name]()
    if name == "visualize":
        given["objective"] = inputopt.Class(1)
    if name in ("dream", "invert", "accentuate"):
        given["layers"] = [""]
    if name == "atlas":
        given["layer"] = ""
    with pytest.raises(Exception, match=r".") as caught:
        getattr(inputopt, name)(Bug(), **given)
    assert "list index out of range" in f"{caught.value} {caught.value.__cause__}"
    assert "does not take" not in str(caught.value)


def test_a_layer_without_a_batch_is_refused():
    class Windows(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.windows = eye()[0], nn.Identity()

        def forward(self, x):
            return self.windows(self.layer(x).reshape(-1, 1, *SIDE)).flatten(1).reshape(len(x), -1)

    for make in (
        lambda: inputopt.visualize(Windows(), inputopt.Layer("windows"), SIDE, 1),
        lambda: inputopt.dream(Windows(), photo(), ["windows"], octaves=1, steps=1),
        lambda: inputopt.invert(Windows(), photo(), ["windows"], 1),
        lambda: inputopt.accentuate(Windows(), photo(), ["windows"], 1),
    ):
        with pytest.raises(
            ValueError, match=r"not shape \[5\] for a batch of 1|for one input has shape \[5, 1, 9, 8\]"
        ):
            make()
