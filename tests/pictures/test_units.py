"""The same search in other units finds the same picture, scaled: nothing in pixels is absolute."""

import functools

import pytest
import torch
from contracts import assert_same
from torch import nn

import inputopt
from inputopt.pictures.canvas_choice import CANVASES
from inputopt.pictures.picture import read_photo, to_image

SIDE = (10, 8)


@functools.cache
def net():
    """Smooth, in float64, so that a rounding error stays one; its classes are told apart by where the light is."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 5, 3, padding=1), nn.Tanh(), nn.Conv2d(5, 4, 3, stride=2, padding=1), nn.Tanh())
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 4)).double()


class Parts(nn.Module):
    """The same network for inputs in another range."""

    def __init__(self, low, high):
        super().__init__()
        self.net = net()
        self.register_buffer("low", torch.as_tensor(low, dtype=torch.float64))
        self.register_buffer("width", torch.as_tensor(high, dtype=torch.float64) - self.low)

    def forward(self, x):
        return self.net((x - self.low) / self.width)


def bounded(low, high):
    """It held still, with numbers or tensors for bounds."""
    return inputopt.Frozen(Parts(low, high), (low, high))


def each_channel(*numbers):
    return torch.tensor(numbers, dtype=torch.float64).reshape(-1, 1, 1)


RANGES = {
    "0 to 255": (0.0, 255.0),
    "one a channel": (each_channel(-1.0, 0.0, 3.0), each_channel(1.0, 0.5, 100.0)),
}
UNIT = (0.0, 1.0)


@pytest.mark.parametrize("canvas", ["natural", "pixels"])
def test_one_number_a_channel_is_as_good_as_a_tensor_that_broadcasts(canvas, tmp_path):
    low, high = RANGES["one a channel"]
    pair = [bounded(low, high), inputopt.Frozen(Parts(low, high), (low.flatten(), high.flatten()))]
    first, second = (inputopt.visualize(model, SEEN, SIDE, 3, canvas=canvas) for model in pair)
    assert_same(first.x, second.x)
    for picture, name in ((first, "a.png"), (second, "b.png")):
        picture.save(tmp_path / name)
    assert_same(*(read_photo(tmp_path / name) for name in ("a.png", "b.png")))


def photo(seed=4, count=None):
    shape = (3, *SIDE) if count is None else (count, 3, *SIDE)
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def scaled(parts, low, high):
    return low + (high - low) * parts


SEEN = inputopt.Channel("net.1", 2)
PICTURES = {
    **{
        f"visualize on {canvas}": lambda model, to, canvas=canvas: inputopt.visualize(
            model, SEEN - 0.3 * inputopt.total_variation(), SIDE, 12, canvas=canvas
        )
        for canvas in CANVASES
    },
    "several with common waves": lambda model, to: inputopt.visualize(
        model, inputopt.Class([1, 2]), SIDE, 8, shared_frequencies=2, canvas="pixels"
    )[1],
    "dream": lambda model, to: inputopt.dream(model, to(photo()), ["net.1"], octaves=2, steps=4),
    "dream with a guide": lambda model, to: inputopt.dream(
        model, to(photo()), ["net.3"], octaves=1, steps=4, guide=to(photo(5)), mask=photo()[:1]
    ),
    "dream in tiles": lambda model, to: inputopt.dream(
        model, to(photo().tile(1, 5, 5)), ["net.1"], octaves=1, steps=3, tile=32
    ),
    "dream of an image": lambda model, to: inputopt.dream(model, to_image(photo()), ["net.1"], octaves=1, steps=4),
    "invert": lambda model, to: inputopt.invert(model, to(photo()), ["net.3"], 12, canvas="pixels"),
    "accentuate": lambda model, to: inputopt.accentuate(model, to(photo()), ["net.1"], 12),
    "evolve_images": lambda model, to: inputopt.evolve_images(model, [2], (3, *SIDE), 4, confidence=0.999).pictures[0],
}


@functools.cache
def in_unit(name):
    return PICTURES[name](bounded(*UNIT), lambda parts: parts).x


@pytest.mark.parametrize("bounds", RANGES)
@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_the_same_in_any_range(name, bounds, tmp_path):
    low, high = RANGES[bounds]
    found = PICTURES[name](bounded(low, high), lambda parts: scaled(parts, low, high))
    assert_same((found.x - low) / (high - low), in_unit(name), 1e-9)
    assert bool(((found.x >= low) & (found.x <= high)).all())
    assert float(in_unit(name).std()) > 0.01
    found.save(tmp_path / "a.png")
    assert_same(read_photo(tmp_path / "a.png").double(), in_unit(name), 0.5 / 255 + 1e-6)


ARRAYS = {
    "fool": lambda model, to: inputopt.fool(model, 1, (3, *SIDE), 2, steps=6, confidence=0.999).x,
    "fool from waves": lambda model, to: inputopt.fool(model, 1, (3, *SIDE), 2, steps=6, start="fourier").x,
    "ascend": lambda model, to: inputopt.ascend(model, to(photo(count=2)), y(), steps=20).x,
    "atlas": lambda model, to: inputopt.atlas(model, "net.1", [to(photo())], [1, 2], 8, 2, top=1, patch=4).patches[0],
}
SHARES = {
    method: lambda model, to, method=method: inputopt.saliency(model, to(photo(count=2)), [1, 3], method, samples=4)
    for method in ("gradient_x_input", "integrated", "occlusion")
}
SLOPES = {
    method: lambda model, to, method=method: inputopt.saliency(model, to(photo(count=2)), [1, 3], method, samples=4)
    for method in ("gradient", "smoothgrad")
}


def y():
    with torch.no_grad():
        return net()(photo(count=2)).argmax(1)


@pytest.mark.parametrize("bounds", RANGES)
@pytest.mark.parametrize("name", [*ARRAYS, *SHARES, *SLOPES])
def test_inputs_and_attributions_are_the_same_in_any_range(name, bounds):
    low, high = RANGES[bounds]
    make = (ARRAYS | SHARES | SLOPES)[name]
    found = make(bounded(low, high), lambda parts: scaled(parts, low, high))
    if name in ARRAYS:
        found = (found - low) / (high - low)
    if name in SLOPES:
        found = found * (high - low)
    assert_same(found, make(bounded(*UNIT), lambda parts: parts), 1e-9)


class Sky(nn.Module):
    """Class 1 where the upper half is brighter than 0.5, in parts of the range."""

    def __init__(self, low, high):
        super().__init__()
        self.low, self.high = low, high

    def forward(self, x):
        ahead = 10 * ((x - self.low) / (self.high - self.low))[:, :, :5].mean((1, 2, 3)) - 5
        return torch.stack([-ahead, ahead], dim=1)


@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (0.0, 255.0)], ids=str)
def test_what_hangs_on_a_region_hangs_on_it_in_any_range(bounds):
    y = torch.arange(12) % 2
    x = 0.3 + 0.2 * photo(count=12) + 0.2 * y.reshape(-1, 1, 1, 1)

    def found(low, high):
        model = inputopt.Frozen(Sky(low, high), bounds=(low, high))
        return inputopt.spurious(model, scaled(x, low, high), y, (2, 1), steps=130)

    plain, other = found(*UNIT), found(*bounds)
    assert_same(other.swaps, plain.swaps, 1e-9)
    assert [(row.region, row.decisive_region) for row in other.findings] == [((0, 0), (0, 0))] * 2


INF = float("inf")
ENDLESS = {
    "visualize": lambda model: inputopt.visualize(model, SEEN, SIDE, 1),
    "dream": lambda model: inputopt.dream(model, photo(), ["net.1"], octaves=1),
    "invert": lambda model: inputopt.invert(model, photo(), ["net.1"], 1),
    "accentuate": lambda model: inputopt.accentuate(model, photo(), ["net.1"], 1),
    "evolve_images": lambda model: inputopt.evolve_images(model, [1], (3, *SIDE), 1),
    "fool": lambda model: inputopt.fool(model, 1, (3, *SIDE), 1),
    "atlas": lambda model: inputopt.atlas(model, "net.1", [photo()], [1], 8, 1),
}


@pytest.mark.parametrize("low", [-INF, each_channel(-INF, 0, 0)], ids=["all", "a channel"])
@pytest.mark.parametrize("name", ENDLESS)
def test_pictures_need_a_black_and_a_white(name, low):
    model = inputopt.Frozen(Parts(*UNIT), (low, 1.0))
    with pytest.raises(ValueError, match="Pictures need finite bounds"):
        ENDLESS[name](model)
    assert model.forwards == 0


def test_without_bounds_inputs_are_moved_and_attributed_all_the_same():
    free, held, x = inputopt.Frozen(Parts(*UNIT), (-INF, INF)), bounded(*UNIT), photo(count=2)
    for method in ("gradient", "smoothgrad", "integrated"):
        more = {"baseline": 0.0} if method == "integrated" else {}
        assert_same(*(inputopt.saliency(model, x, [1, 3], method, samples=3, **more) for model in (free, held)))
    with pytest.raises(ValueError, match="baseline="):
        inputopt.saliency(free, x, [1, 3])


@pytest.mark.parametrize("shape", [(2, 1, 1), (3, 9, 8)])
def test_bounds_that_do_not_fit_a_picture_say_so(shape):
    model = inputopt.Frozen(Parts(*UNIT), (torch.zeros(shape), torch.ones(shape)))
    with pytest.raises(ValueError, match=r"cannot be broadcast to (pictures|inputs) of shape"):
        inputopt.visualize(model, SEEN, SIDE, 1)
