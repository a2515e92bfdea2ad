"""Public signatures: the names that editors offer are those that exist, and arrays and paths are taken for tensors."""

import inspect
from typing import Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest
import torch
from contracts import assert_same, digits, digits_net
from PIL import Image

import inputopt
from inputopt.attacks.config import AttackConfig
from inputopt.attribution.saliency import METHODS, SaliencyMethod
from inputopt.derivatives.gradient_methods import GRADIENT_METHODS, MethodName
from inputopt.evaluation.protocols import PRESETS, SPARSE, PresetName
from inputopt.nets.activations import ACTIVATIONS, ActivationName
from inputopt.nets.costs import COSTS, CostName
from inputopt.pictures.canvas_choice import CANVASES, CanvasName
from inputopt.pictures.fool import STARTS, StartName
from inputopt.search.norms import NORMS, NormName
from inputopt.training.updates import OPTIMISERS, OptimiserName

REGISTRIES = {
    "norm": (NormName, NORMS),
    "preset": (PresetName, PRESETS),
    "canvas": (CanvasName, CANVASES),
    "activation": (ActivationName, ACTIVATIONS),
    "output": (ActivationName, ACTIVATIONS),
    "cost": (CostName, COSTS),
    "optimiser": (OptimiserName, ["descent", *OPTIMISERS]),
    "start": (StartName, STARTS),
}


@pytest.mark.parametrize(
    ("names", "registry"),
    [*REGISTRIES.values(), (MethodName, GRADIENT_METHODS), (SaliencyMethod, METHODS), (PresetName, SPARSE)],
)
def test_the_names_offered_are_those_that_exist(names, registry):
    assert set(get_args(names)) == set(registry)


INPUTS = {("robustness_curve", "start")}
"""Arguments of the same name that are inputs and not names."""


def literals(hint):
    """The values of every Literal in a type."""
    if get_origin(hint) is Literal:
        return set(get_args(hint))
    return set().union(*(literals(part) for part in get_args(hint)))


def public_calls():
    for name in inputopt.__all__:
        value = getattr(inputopt, name)
        if inspect.isfunction(value):
            yield name, value
    yield "MLP", inputopt.MLP.__init__


def test_every_public_argument_with_fixed_names_offers_them():
    checked = set()
    for name, function in public_calls():
        hints = get_type_hints(function, localns={"Figure": object})  # matplotlib is imported only by type checkers
        for argument, (names, _) in REGISTRIES.items():
            if argument in hints and (name, argument) not in INPUTS:
                assert literals(hints[argument]) == set(get_args(names)), (name, argument)
                checked.add(argument)
        if "method" in hints:
            wanted = SaliencyMethod if name == "saliency" else MethodName
            assert literals(hints["method"]) == set(get_args(wanted)), name
    assert checked == set(REGISTRIES)


def test_every_attack_offers_the_norms():
    for name in inputopt.attacks.__all__:
        kind = getattr(inputopt.attacks, name)
        if issubclass(kind, AttackConfig):
            assert literals(get_type_hints(kind)["norm"]) == set(NORMS), name


def test_attacks_can_be_imported_by_name():
    from inputopt.attacks import PGD

    assert PGD is inputopt.attacks.PGD


# --------------------------------------------------------------------------------------------------- arrays and paths
def x():
    return digits().held_x[::100]


def y():
    return digits().held_y[::100]


def conv():
    return inputopt.load("digits-cnn")


def x_of(found):
    return found.x


def xor(kind):
    inputs = kind([[0.0, 1.0], [1.0, 1.0]])
    return inputopt.MLP([2, 3, 1], "tanh", "sigmoid"), inputs, kind([[1.0], [0.0]])


def same(value):
    return value


def drawn_images(figure):
    """All images of a figure, one after the other."""
    return torch.cat(
        [torch.tensor(np.asarray(image.get_array())).flatten() for axes in figure.axes for image in axes.images]
    )


BATCHES = {
    "attribution_sheet": lambda kind: drawn_images(
        inputopt.attribution_sheet(kind(x()), kind(0.5 - x()), digits_net(), classes=kind(y()))
    ),
    "pairs_sheet": lambda kind: drawn_images(inputopt.pairs_sheet(kind(x()), kind(1 - x()), digits_net())),
    "ascend": lambda kind: inputopt.ascend(digits_net(), kind(x()), kind(y()), steps=5).x,
    "average": lambda kind: inputopt.average(kind(x()), kind(y())),
    "evaluate": lambda kind: (
        inputopt.evaluate(
            digits_net(),
            kind(x()),
            kind(y()),
            eps=kind(torch.full((10,), 0.1)),
            preset="quick",
            mask=kind(torch.ones(28, 28, dtype=torch.bool)),
            ids=kind(torch.arange(10)),
        ).x
    ),
    "certify": lambda kind: (
        inputopt.certify(digits_net(), kind(x()), kind(y()), eps=kind(torch.full((10,), 0.02)), budget=0).lower
    ),
    "certify_smoothed": lambda kind: (
        inputopt.certify_smoothed(digits_net(), kind(x()), kind(y()), draws=9, ids=kind(torch.arange(10))).radius
    ),
    "robustness_curve": lambda kind: (
        inputopt.robustness_curve(
            digits_net(), kind(x()), kind(y()), attacks={"ddn": inputopt.attacks.DDN(steps=3)}
        ).lowest
    ),
    "saliency": lambda kind: inputopt.saliency(
        digits_net(), kind(x()), kind(y()), samples=2, baseline=kind(torch.zeros(1, 28, 28))
    ),
    "spurious": lambda kind: inputopt.spurious(digits_net(), kind(x()), kind(y()), steps=20).energy,
    "PGD": lambda kind: (
        inputopt.attacks.PGD(
            eps=kind(torch.full((10,), 0.1)), steps=3, mask=kind(torch.ones(28, 28, dtype=torch.bool))
        )(digits_net(), kind(x()), kind(y()), target=kind((y() + 1) % 10)).x
    ),
    "DDN": lambda kind: inputopt.attacks.DDN(steps=3)(digits_net(), kind(x()), kind(y()), start=kind(1 - x())).x,
    "Direction": lambda kind: (
        inputopt.visualize(conv(), inputopt.Direction("conv1", kind(torch.linspace(-1, 1, 16))), 28, 2, colours=1).x
    ),
    "train": lambda kind: torch.from_numpy(inputopt.train(*xor(lambda v: kind(torch.tensor(v))), steps=5).error),
    "evolve": lambda kind: torch.from_numpy(inputopt.evolve(*xor(lambda v: kind(torch.tensor(v))), generations=2).cost),
    "gradients": lambda kind: inputopt.gradients(*xor(lambda v: kind(torch.tensor(v)))).inputs,
    "gradcheck": lambda kind: torch.tensor(inputopt.gradcheck(*xor(lambda v: kind(torch.tensor(v))))[1].layers),
}
"""What takes batches, called with tensors or with what `kind` makes of them."""


@pytest.mark.parametrize("name", BATCHES)
def test_arrays_are_taken_where_tensors_are(name):
    def reversed_twice(value):
        array = value.numpy()
        return np.ascontiguousarray(array[::-1])[::-1]  # a negative stride, which torch does not have

    expected = BATCHES[name](same)
    assert_same(BATCHES[name](torch.Tensor.numpy), expected)
    assert_same(BATCHES[name](reversed_twice), expected)


PHOTOS = {
    "dream": lambda photo: inputopt.dream(conv(), photo, ["conv1"], octaves=1, steps=2, guide=photo).x,
    "invert": lambda photo: inputopt.invert(conv(), photo, ["conv1"], steps=2).x,
    "accentuate": lambda photo: inputopt.accentuate(conv(), photo, ["conv1"], steps=2).x,
    "read_photo": lambda photo: inputopt.read_photo(photo, 1),
    "imagenet_input": lambda photo: inputopt.imagenet_input(photo),
    "atlas": lambda photo: inputopt.atlas(conv(), "conv1", [photo], [0], 28, 2, colours=1, top=1, patch=8).patches,
}


@pytest.mark.parametrize("name", PHOTOS)
def test_photos_may_be_arrays_images_or_paths(name, tmp_path):
    levels = (x()[0] * 255).round().to(torch.uint8)
    image = Image.fromarray(levels[0].numpy())
    image.save(tmp_path / "photo.png")
    expected = PHOTOS[name](levels.float() / 255)
    for photo in (
        levels.numpy().astype(np.float32) / 255,
        levels.numpy(),
        image,
        tmp_path / "photo.png",
        str(tmp_path / "photo.png"),
    ):
        assert_same(PHOTOS[name](photo), expected, 1e-5)


def test_every_public_function_of_inputs_or_photos_is_tested():
    """A new function with such an argument needs a row above."""
    takes = {"x", "y", "photo", "photos", "inputs", "targets"}
    found = {name for name, call in public_calls() if takes & set(inspect.signature(call).parameters)}
    elsewhere = {"explain", "zoom"} | {"Neuron", "evolve_images"}  # of the last two these are numbers
    assert found - elsewhere <= BATCHES.keys() | PHOTOS.keys()
