"""Pictures and attributions on networks and photos of any type, whatever is set around the call."""

import contextlib
import functools
import threading
import warnings

import numpy as np
import pytest
import torch
from contracts import assert_same
from PIL import Image
from torch import nn

import inputopt
from inputopt.pictures.zoom import nearer

SIDE = (9, 8)


@functools.cache
def eye(dtype=torch.float32):
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 5, 3, padding=1), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(20, 4))
    return nn.Sequential(*layers).to(dtype)


def photo(seed=4, count=None):
    shape = (3, *SIDE) if count is None else (count, 3, *SIDE)
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)


BETWEEN = float(photo(count=2)[:, :, :4].mean())  # what two photos differ by


@functools.cache
def labels():
    with torch.no_grad():
        return eye()(photo(count=2)).argmax(1).tolist()


class Light(nn.Module):
    """Class 0 where the upper half is light; computed beside another network, of whose type it is."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        ahead = 200 * (x[:, :, :4].mean((1, 2, 3)) - BETWEEN)
        return torch.stack([ahead, -ahead], dim=1) + 0 * self.net(x)[:, :2]


SEEN = inputopt.Channel("1", 2) - 0.1 * inputopt.total_variation()
CALLS = {
    "visualize": lambda net, x: inputopt.visualize(net, SEEN, SIDE, 4).x,
    "visualize classes": lambda net, x: (
        inputopt.visualize(net, inputopt.LogProbability([1, 2]), SIDE, 6, restarts=2, mirror=True)[1].x
    ),
    "dream": lambda net, x: inputopt.dream(net, x[0], ["1"], octaves=2, steps=2, guide=x[1]).x,
    "nearer": lambda net, x: nearer(net, x[0], ["1"], octaves=1, steps=2).x,
    "invert": lambda net, x: inputopt.invert(net, x[0], ["1"], 4).x,
    "accentuate": lambda net, x: inputopt.accentuate(net, x[0], ["1"], 4, canvas="pixels").x,
    "atlas": lambda net, x: inputopt.atlas(net, "1", list(x), [1, 2], 8, 2, top=1, patch=4).patches,
    "evolve_images": lambda net, x: inputopt.evolve_images(net, [1, 2], (3, *SIDE), 3, confidence=0.99).pictures[1].x,
    "fool": lambda net, x: inputopt.fool(net, 1, (3, *SIDE), 2, steps=5).x,
    "ascend": lambda net, x: inputopt.ascend(net, x, labels(), steps=5, rate=0.01).x,
    "saliency": lambda net, x: inputopt.saliency(net, x, [1, 2], samples=4),
    "smoothgrad": lambda net, x: inputopt.saliency(net, x, [1, 2], "smoothgrad", samples=4),
    "occlusion": lambda net, x: inputopt.saliency(net, x, [1, 2], "occlusion", window=4),
    "spurious": lambda net, x: inputopt.spurious(Light(net), x, [0, 1], (2, 1), steps=12).swaps,
    "average": lambda net, x: inputopt.average(x, [0, 1]),
}
every = pytest.mark.parametrize("name", CALLS)


@functools.cache
def plain(name):
    return CALLS[name](eye(), photo(count=2))


# --------------------------------------------------------------------------------------------------------------- dtypes
@every
def test_half_a_network_searches_in_float32_and_a_double_in_float64(name):
    found = CALLS[name](eye(torch.float64), photo(count=2).double())
    assert found.dtype == torch.float64
    assert_same(found.float(), plain(name), 1e-3)
    if name != "average":
        for half in (torch.bfloat16, torch.float16):
            found = CALLS[name](eye(half), photo(count=2))
            assert found.dtype == torch.float32
            assert bool(found.isfinite().all())


@every
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16, torch.float8_e5m2])
def test_photos_of_any_type_are_taken(name, half):
    narrow = photo(count=2).to(half)
    found = CALLS[name](eye(), narrow)
    assert found.dtype == torch.float32
    wanted = CALLS[name](eye(), narrow.float())
    assert_same(found, wanted, 0.01 if name == "average" else 1e-6)


def test_a_search_in_halves_is_none():
    frozen, seen = inputopt.Frozen(eye(torch.bfloat16)), []
    inputopt.dream(frozen, photo(), ["1"], octaves=1, steps=3, watch=lambda snapshot: seen.append(snapshot.x))
    inputopt.visualize(frozen, SEEN, SIDE, 3, watch=lambda snapshot: seen.append(snapshot.x))
    assert {x.dtype for x in seen} == {torch.float32}
    assert len({float(x.mean()) for x in seen}) == len(seen), "small steps are lost in half precision"


# -------------------------------------------------------------------------------------------------------------- ambient
@contextlib.contextmanager
def set_around(switch, inside, after):
    """A process-wide setting, put back."""
    switch(inside)
    try:
        yield
    finally:
        switch(after)


@contextlib.contextmanager
def all_at_once():
    """No gradients, halves wherever torch may choose them, and nothing that is not deterministic."""
    with (
        torch.no_grad(),
        torch.autocast("cpu", torch.bfloat16),
        set_around(torch.use_deterministic_algorithms, True, False),
    ):
        yield


STATES = {
    "no gradients, autocast, deterministic": all_at_once,
    "inference mode": torch.inference_mode,
    "float64 by default": lambda: set_around(torch.set_default_dtype, torch.float64, torch.float32),
}


@every
@pytest.mark.parametrize("state", STATES)
def test_what_is_set_around_a_call_changes_nothing(name, state):
    net, wanted = eye(), plain(name)
    with STATES[state]():
        before = torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")
        x = photo(count=2)  # made inside, as a caller's own are
        found = CALLS[name](net, x)
        after = torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")
    assert after == before
    assert found.dtype == torch.float32
    assert_same(found, wanted)
    assert not found.is_inference()
    assert not found.requires_grad


def test_warnings_may_be_errors_and_threads_several():
    found, errors = {}, []

    def run(name):
        try:
            found[name] = CALLS[name](eye(), photo(count=2))
        except Exception as error:  # it shall be told in the thread of the test
            errors.append((name, error))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wanted = {name: plain(name) for name in CALLS}
        threads = [threading.Thread(target=run, args=(name,)) for name in ("visualize", "dream", "fool", "saliency")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []
    assert_same(list(found.values()), [wanted[name] for name in found], 1e-6)


# --------------------------------------------------------------------------------------------------------------- arrays
@every
def test_arrays_are_taken_where_tensors_are(name):
    x = photo(count=2).numpy()
    x.setflags(write=False)
    assert_same(CALLS[name](eye(), x), plain(name))


@pytest.mark.parametrize("order", ["last", "first", "grey", "with transparency"])
def test_an_array_of_levels_is_an_image(order):
    levels = np.random.default_rng(0).integers(0, 256, (*SIDE, 4), dtype=np.uint8)
    levels.setflags(write=False)
    colours = levels[..., :3]
    array = {"last": colours, "first": colours.transpose(2, 0, 1), "grey": colours[..., 0], "with transparency": levels}
    image = Image.fromarray(np.ascontiguousarray(colours[..., 0] if order == "grey" else colours))
    net = inputopt.Frozen(eye(), bounds=(-1, 1))
    made = [
        (
            inputopt.dream(net, each, ["1"], octaves=2, steps=1).x,
            inputopt.dream(net, image, ["1"], octaves=1, steps=2, guide=each).x,
            inputopt.dream(net, image, ["1"], octaves=1, steps=1, mask=each).x,
            None if order == "grey" else inputopt.invert(net, each, ["1"], 1).x,
        )
        for each in (array[order], image)
    ]
    assert_same(*([x for x in each if x is not None] for each in made))


@pytest.mark.parametrize("shape", [(5, 4, 2), (2, 4, 5), (0, 4, 3), (4,), (1, 3, 4, 4)])
def test_arrays_that_are_no_images(shape):
    with pytest.raises(ValueError, match=r"uint8 image must have shape \[H, W, C\] or \[C, H, W\]"):
        inputopt.dream(eye(), np.zeros(shape, np.uint8), ["1"])
    with pytest.raises(TypeError, match="floating-point"):
        inputopt.dream(eye(), np.zeros((3, 4, 4), np.int64), ["1"])


def test_numbers_of_numpy_are_settings_and_stand_in_the_recipe():
    made = inputopt.visualize(
        eye(), inputopt.Channel("1", np.int64(2)) * np.float32(2), np.int64(8), np.int32(2), np.int64(3)
    )
    assert made.recipe["settings"]["objective"] == ["*", ["Channel", "1", 2], 2.0]
    assert (made.recipe["settings"]["size"], made.recipe["settings"]["seed"]) == (8, 3)
    several = inputopt.visualize(eye(), inputopt.Class(np.array([1, 2])), 8, 2)
    assert [each.recipe["settings"]["objective"] for each in several] == [["Class", 1], ["Class", 2]]


# --------------------------------------------------------------------------------------------------------------- memory
@every
def test_results_own_their_memory_and_photos_are_never_written_to(name):
    x = photo(count=2)
    kept = x.clone()
    found = CALLS[name](eye(), x)
    assert_same(x, kept)
    found.fill_(0.5)
    assert_same(x, kept)


def test_pictures_of_a_batch_are_apart():
    first, second = inputopt.visualize(eye(), inputopt.Class([1, 2]), 8, 1)
    assert first.x.untyped_storage().nbytes() == first.x.numel() * 4
    assert first.x.untyped_storage().data_ptr() != second.x.untyped_storage().data_ptr()
