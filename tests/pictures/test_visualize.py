import functools

import pytest
import torch
from contracts import assert_same, chance_state, digits_net, drawn, fingerprint
from photos import frozen_lite0
from torch import nn

import inputopt
from inputopt.pictures.augmentation import growing
from inputopt.pictures.canvas_choice import CANVASES, canvas_of
from inputopt.pictures.reproduction import make_again
from inputopt.pictures.successive_halving import SuccessiveHalving
from inputopt.search.bounds import Range
from inputopt.search.canvases.colours import Squash
from inputopt.search.canvases.fourier import frequencies
from inputopt.search.problem import Evaluation, Problem


def eye():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 4)
    )


def amount(net, picture, of):
    """How much of something a picture has, after the network itself, not the library."""
    with torch.no_grad():
        return float(of(net, picture.x[None]))


LOOKS = {"steps": 30, "size": (13, 10), "augment": 0.3}


@pytest.mark.parametrize("canvas", CANVASES)
def test_on_every_canvas_there_is_more_of_what_was_asked_for(canvas):
    net, seen = eye(), []
    picture = inputopt.visualize(net, inputopt.Channel("1", 2), canvas=canvas, watch=seen.append, **LOOKS)
    assert picture.x.shape == (3, 13, 10)
    channel = [float(net[:2](snapshot.x).detach()[:, 2].mean()) for snapshot in (seen[0], seen[-1])]
    assert channel[1] > channel[0] + 0.02
    assert len(seen) == 31


OBJECTIVES = {
    "Neuron": (inputopt.Neuron("0", 1, 3, 4), lambda net, x: net[0](x)[:, 1, 3, 4]),
    "Channel": (inputopt.Channel("0", 1), lambda net, x: net[0](x)[:, 1].mean()),
    "Layer": (inputopt.Layer("1"), lambda net, x: net[:2](x).square().mean()),
    "Direction": (
        inputopt.Direction("0", [0, 1, 0, 0, 0, -1.0]),
        lambda net, x: (net[0](x)[:, 1] - net[0](x)[:, 5]).mean(),
    ),
    "Class": (inputopt.Class(3), lambda net, x: net(x)[:, 3]),
    "less of it": (-inputopt.Class(3), lambda net, x: -net(x)[:, 3]),
    "both": (inputopt.Class(3) + inputopt.Channel("0", 1), lambda net, x: net(x)[:, 3] + net[0](x)[:, 1].mean()),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_improves(name):
    objective, of = OBJECTIVES[name]
    net = eye()
    picture = inputopt.visualize(net, objective, **LOOKS)
    starts = canvas_of("natural", (3, 13, 10), Range(0.0, 1.0)).canvas
    drawn = starts(starts.start(5, torch.arange(100)), None)
    with torch.no_grad():
        by_chance = max(float(of(net, x[None])) for x in drawn)
    assert amount(net, picture, of) > by_chance


@pytest.mark.parametrize(
    "make",
    [inputopt.activation_distance, functools.partial(inputopt.style_distance, axis=1)],
    ids=["distance", "style"],
)
def test_activations_and_styles_are_matched(make):
    net, optimise_picture = eye(), canvas_of("natural", (3, 13, 10), Range(0.0, 1.0)).canvas
    drawn = optimise_picture(optimise_picture.start(5, torch.arange(101)), None)
    distance = make({"0": net[0](drawn[:1]).detach()})

    def apart(x):
        label = torch.zeros(len(x), dtype=torch.int64)
        return distance({"0": net[0](x).detach()}, x, Problem(x, label, label))

    picture = inputopt.visualize(net, -distance, **LOOKS | {"steps": 80, "augment": 0.0})
    assert float(apart(picture.x[None])) < 0.5 * float(apart(drawn[1:]).min())
    with pytest.raises(ValueError, match="does not describe a known objective"):
        make_again(picture.recipe | {"model": picture.recipe["model"] | {"name": "eye"}}, lambda name: net)


def test_a_channel_that_is_dead_at_the_start_comes_alive():
    net = eye()
    with torch.no_grad():
        net[0].bias[2] = -0.35  # below what grey with a little noise excites
    for canvas in ("fourier", "pixels"):
        seen = []
        settings = LOOKS | {"steps": 100}
        picture = inputopt.visualize(net, inputopt.Channel("1", 2), canvas=canvas, watch=seen.append, **settings)
        assert not bool(net[:2](seen[0].x)[:, 2].any())
        assert amount(net, picture, lambda net, x: net[:2](x)[:, 2].mean()) > 0.01


def test_several_in_one_batch_are_those_made_alone():
    net = digits_net()
    settings = {"size": 28, "steps": 12, "colours": 1}
    several = inputopt.visualize(net, inputopt.Class([3, 7, 1]), **settings)
    for number, picture in zip((3, 7, 1), several, strict=True):
        alone = inputopt.visualize(net, inputopt.Class(number), **settings)
        assert_same(picture.x, alone.x, 1e-4)
        assert picture.recipe == alone.recipe


def test_digits_are_seen_as_the_class_they_were_made_for():
    several = inputopt.visualize(digits_net(), inputopt.Class(range(10)), size=28, steps=150, colours=1, augment=0.5)
    with torch.no_grad():
        sure = digits_net()(torch.stack([picture.x for picture in several])).softmax(1).diagonal()
    assert float(sure.min()) > 0.99


def test_pictures_that_shall_differ_do():
    net = eye()
    for same in (inputopt.Channel("1", [2, 0, 2]), 2 * inputopt.Class([1, 0, 1]) - inputopt.total_variation()):
        with pytest.raises(ValueError, match="picture 2 is that of picture 0, so they would be equal"):
            inputopt.visualize(net, same, **LOOKS)
    apart = inputopt.visualize(net, inputopt.Channel("1", [2, 2, 2]) + inputopt.diversity("1"), **LOOKS)
    assert float((apart[0].x - apart[1].x).abs().mean()) > 0.01
    assert float((apart[1].x - apart[2].x).abs().mean()) > 0.01


def waves(pictures):
    """Of each picture the waves of what its canvas squashed."""
    x = torch.stack([picture.x for picture in pictures]).double()
    return torch.fft.rfft2(Squash(0, 1).undo(x), norm="ortho")


@pytest.mark.parametrize("canvas", ["natural", "fourier", "phase", "pixels"])
def test_coarse_waves_can_be_one_for_all(canvas):
    net, objective = eye(), inputopt.Channel("0", [0, 3, 5])
    settings = LOOKS | {"size": (16, 16), "steps": 40, "canvas": canvas}
    pictures = inputopt.visualize(net, objective, shared_frequencies=3, **settings)
    alone = inputopt.visualize(net, objective, **settings)
    x = torch.stack([picture.x for picture in pictures]).double()
    found = torch.fft.rfft2(x, norm="ortho") if canvas == "pixels" else waves(pictures)
    ring = frequencies(16, 16).round()
    apart = (found - found.mean(0)).abs().amax((0, 1))
    common = 0.01 if canvas == "pixels" else 1e-3  # pixels are clipped where common waves lead out of the range
    assert float(apart[ring <= 3].max()) < common * float(found.abs().max())
    assert float(apart[ring > 3].max()) > 0.02
    for number, (picture, other) in enumerate(zip(pictures, alone, strict=True)):
        channel = objective_of(net, picture, (0, 3, 5)[number])
        assert channel > max(objective_of(net, each, (0, 3, 5)[number]) for each in pictures if each is not picture)
        assert channel <= objective_of(net, other, (0, 3, 5)[number]) + 0.02  # what is shared is not free


def objective_of(net, picture, channel):
    return amount(net, picture, lambda net, x: net[0](x)[:, channel].mean())


def test_sharing_nothing_changes_nothing_and_a_formula_has_no_waves():
    pair = inputopt.Channel("1", [1, 2])
    plain, none = (inputopt.visualize(eye(), pair, **LOOKS, **more) for more in ({}, {"shared_frequencies": 0}))
    assert_same([picture.x for picture in none], [picture.x for picture in plain])
    with pytest.raises(ValueError, match="no frequencies to share"):
        inputopt.visualize(eye(), pair, canvas="cppn", shared_frequencies=2, **LOOKS)


def test_pictures_that_depend_on_each_other_are_made_again_together():
    net = inputopt.load("digits-cnn")
    for objective, more in (
        (inputopt.Class([3, 8, 5]), {"shared_frequencies": 2}),
        (inputopt.Channel("conv2", [1, 1, 1]) + 2 * inputopt.diversity("conv2"), {}),
    ):
        made = inputopt.visualize(net, objective, 28, 6, colours=1, **more)
        for number, picture in enumerate(made):
            assert picture.recipe["picture"] == number
            assert_same(make_again(picture.recipe, inputopt.load).x, picture.x)
        assert not torch.equal(made[0].x, made[1].x)
    spoilt = {**made[0].recipe, "picture": 3}
    with pytest.raises(ValueError, match="index among 3"):
        make_again(spoilt, inputopt.load)


def test_less_variation_is_smoother():
    rough, smooth = (
        inputopt.visualize(
            eye(), inputopt.Channel("0", 1) - weight * inputopt.total_variation(), canvas="pixels", **LOOKS
        )
        for weight in (0, 3.0)
    )
    variation = [float(picture.x.diff(dim=2).abs().mean()) for picture in (rough, smooth)]
    assert variation[1] < 0.5 * variation[0]


def test_the_same_seed_gives_the_same_picture_and_nothing_else_is_touched():
    net, before = eye().train(), chance_state()
    held = fingerprint(net)
    first, again, other = (inputopt.visualize(net, inputopt.Class(1), seed=seed, **LOOKS).x for seed in (1, 1, 2))
    assert chance_state() == before
    assert fingerprint(net) == held
    assert_same(first, again)
    assert not torch.equal(first, other)


def test_nothing_is_left_behind_after_ten_renders_and_a_failure():
    model = inputopt.Frozen(eye())
    for _ in range(10):
        inputopt.visualize(model, inputopt.Channel("1", 2), size=8, steps=1)
    with pytest.raises(ValueError, match="at most 5"):
        inputopt.visualize(model, inputopt.Channel("1", 9), size=8, steps=1)
    held = model._network.runner.modules
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in held)


def test_a_class_of_a_real_network():
    net = frozen_lite0()
    picture = inputopt.visualize(net, inputopt.Class(985), size=80, steps=40, augment=0.3)
    with torch.no_grad():
        assert int(net(picture.x[None]).argmax()) == 985
    assert picture.recipe["settings"]["objective"] == ["Class", 985]


@pytest.mark.parametrize(
    ("changed", "kind", "words"),
    [
        ({"objective": 3}, TypeError, "objective"),
        ({"objective": inputopt.Channel("7", 1)}, ValueError, "layer"),
        ({"objective": inputopt.Channel("1", 6)}, ValueError, "at most 5"),
        ({"objective": inputopt.Class(4)}, ValueError, "at most 3"),
        ({"size": 0}, ValueError, "size"),
        ({"size": (3, 4, 5)}, ValueError, "size"),
        ({"size": 8.5}, TypeError, "size"),
        ({"steps": 0}, ValueError, "steps"),
        ({"seed": 0.5}, TypeError, "seed"),
        ({"canvas": "fourrier"}, ValueError, "'fourier'"),
        ({"augment": -1.0}, ValueError, "augment"),
        ({"initial_scale": 0.0}, ValueError, "initial_scale"),
        ({"initial_scale": 1.1}, ValueError, "initial_scale"),
        ({"colours": 1}, ValueError, "does not accept inputs"),
        ({"model": 3}, TypeError, "model"),
        ({"model": lambda x: x.flatten(1)}, ValueError, "named layers"),
    ],
)
def test_visualize_refuses(changed, kind, words):
    given = {"model": eye(), "objective": inputopt.Channel("1", 2), "size": 8, "steps": 2} | changed
    with pytest.raises(kind, match=words):
        inputopt.visualize(**given)


def test_of_several_starts_the_one_that_pleases_most_goes_on():
    """Between two hills a search climbs the one that it begins on; the knockout finds out which is higher."""
    net, objective = eye(), inputopt.Class(3)
    shown = []
    one = [inputopt.visualize(net, objective, seed=seed, **LOOKS) for seed in range(4)]
    several = inputopt.visualize(net, objective, restarts=8, watch=shown.append, **LOOKS)
    assert [len(shown[index].x) for index in (0, 5, 6, 10, 11, 15, 16, 30)] == [8, 8, 4, 4, 2, 2, 1, 1]
    amounts = [amount(net, picture, lambda net, x: net(x)[:, 3]) for picture in one]
    assert amount(net, several, lambda net, x: net(x)[:, 3]) >= sorted(amounts)[2]
    assert several.recipe["settings"]["restarts"] == 8


def test_each_picture_keeps_its_own_best_start():
    net, numbers = eye(), [0, 1, 2, 3]
    together = inputopt.visualize(net, inputopt.Class(numbers), restarts=3, **LOOKS)
    for number, picture in zip(numbers, together, strict=True):
        alone = inputopt.visualize(net, inputopt.Class(number), restarts=3, **LOOKS)
        torch.testing.assert_close(picture.x, alone.x, rtol=0, atol=1e-5)
        assert picture.recipe["settings"]["objective"] == alone.recipe["settings"]["objective"]


@pytest.mark.parametrize("starts", range(1, 10))
def test_a_knockout_ends_with_one_start_of_the_lowest_mean(starts):
    losses = torch.tensor([float((7 * start) % starts) for start in range(starts)])
    stop, ids = SuccessiveHalving(1, starts, 20), torch.arange(starts)
    for index in range(21):
        noise = 3.0 if starts > 1 and index % 2 else -3.0  # a lucky look does not decide
        seen = Evaluation(torch.zeros(len(ids), 1), torch.zeros(len(ids), 2), losses[ids] + noise, ids < 0)
        ids = ids[~stop(seen, Problem(torch.zeros(len(ids), 1), torch.zeros_like(ids), ids))]
    assert losses[ids].tolist() == [0.0]


def test_the_network_is_shown_smaller_pictures_first():
    sides = []

    class Noted(nn.Module):
        def forward(self, x):
            sides.append(x.shape[2])
            return x.mean((2, 3))

    net = inputopt.Frozen(Noted())
    net(torch.rand(1, 3, 32, 32))  # which looks at it
    sides.clear()
    picture = inputopt.visualize(net, inputopt.Class(0), 96, 8, initial_scale=1 / 3)
    assert sides.pop(0) == 96  # to count its operations, of which it has none
    assert sides[:4] == sorted(sides[:4])
    assert sides[0] == 32
    assert set(sides[4:]) == {96}
    assert picture.x.shape == (3, 96, 96)
    assert picture.recipe["settings"]["initial_scale"] == 1 / 3


def test_in_a_mirror_left_and_right_please_alike():
    class Left(nn.Module):
        def forward(self, x):
            left, right = (half.mean((1, 2, 3)) for half in x.chunk(2, dim=3))
            return torch.stack([left - right, left + right], 1)

    def lighter_left(**more):
        x = inputopt.visualize(Left(), inputopt.Class(0), 16, 100, augment=0.0, **more).x
        return float((x[..., :8] - x[..., 8:]).mean())

    assert lighter_left() > 0.3
    assert abs(lighter_left(mirror=True)) < 0.1


def test_branches_are_followed_less_than_skips():
    class Outweighed(nn.Module):
        def __init__(self):
            super().__init__()
            self.branch = nn.Conv2d(3, 3, 1, bias=False)
            nn.init.zeros_(self.branch.weight)
            self.branch.weight.data[0, 0] = -1.5

        def forward(self, x):
            return (x + self.branch(x)).mean((2, 3))

    def red(**more):
        settings = {"canvas": "pixels", "augment": 0.0, "drop_branches": 0.0, **more}
        picture = inputopt.visualize(Outweighed(), inputopt.Class(0), 16, 50, **settings)
        return float(picture.x[0].mean()), picture.recipe["settings"]["skip_gradient"]

    assert red(skip_gradient=1.0) == (0.0, 1.0)  # d logit / d red is 1 - 1.5
    assert red(skip_gradient=0.5) == (1.0, 0.5)  # and 1 - 0.75 by the skip
    assert red() == (1.0, 0.5)  # which a good picture has where there are skips


def test_pictures_that_depend_on_each_other_have_one_start():
    objective = inputopt.Class([0, 1])
    for more in ({"shared_frequencies": 2}, {}):
        dependent = objective if more else objective + inputopt.diversity("0")
        with pytest.raises(ValueError, match="do not support restarts"):
            inputopt.visualize(eye(), dependent, restarts=2, **more, **LOOKS)


def test_looks_grow_to_the_whole_image():
    x = drawn(2, 3, 224, 128)
    problem = Problem(x, torch.zeros(2, dtype=torch.long), torch.arange(2))
    look = growing(0.5, 10)
    sides = [tuple(look(x, problem, index).shape[2:]) for index in range(12)]
    assert sides[0] == (128, 64)
    assert sides[5] == (160, 96)
    assert sides[10:] == [(224, 128)] * 2
    assert sides == sorted(sides)
    plain = torch.arange(6.0, dtype=x.dtype).reshape(2, 3, 1, 1).expand_as(x)
    assert_same(look(plain, problem, 0), plain[..., :128, :64], 1e-9)
    assert look(x, problem, 10) is x
    small = drawn(2, 1, 28, 20)
    assert look(small, problem, 0) is small  # nothing smaller than the grain is left out
