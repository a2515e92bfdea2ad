import numpy as np
import pytest
import torch
from contracts import assert_same, chance_state, digits, digits_net, drawn, small_net
from PIL import Image
from torch import nn

import inputopt
from inputopt.pictures.dream import octave_sizes, resized

NAN = float("nan")


@pytest.fixture(scope="module")
def known():
    """200 held-out digits that the shipped network recognises, and 20 that it does not."""
    data = digits()
    with torch.no_grad():
        right = digits_net()(data.held_x).argmax(1) == data.held_y
    chosen, missed = right.nonzero()[:200, 0], (~right).nonzero()[:20, 0]
    return (data.held_x[chosen], data.held_y[chosen]), (data.held_x[missed], data.held_y[missed])


# ----------------------------------------------------------------------------------------------------------------- fool
@pytest.mark.parametrize("target", range(10))
def test_static_becomes_each_class_at_99_percent(target):
    result = inputopt.fool(digits_net(), target, (1, 28, 28), count=8, seed=target)
    assert result.success.tolist() == [True] * 8
    with torch.no_grad():
        sure = digits_net()(result.x).softmax(1)
    assert float(sure[:, target].min()) >= 0.99
    assert result.prediction.tolist() == [target] * 8
    assert (result.x.shape, result.x.dtype) == ((8, 1, 28, 28), torch.float32)
    assert len({image.numpy().tobytes() for image in result.x}) == 8
    assert 0 <= float(result.x.min()) < float(result.x.max()) <= 1
    # still static: far from every real digit, nearer to what it started from
    nearest = torch.cdist(result.x.flatten(1), digits().x.flatten(1)).min(1).values
    assert bool((result.distance < nearest).all())


def test_probabilities_are_not_taken_for_logits():
    served = nn.Sequential(digits_net(), nn.Softmax(1))
    by_logits, found = (inputopt.fool(net, 4, (1, 28, 28), count=3) for net in (digits_net(), served))
    assert found.success.all()
    torch.testing.assert_close(found.x, by_logits.x, rtol=0, atol=1e-3)
    objective = inputopt.LogProbability(4)
    pictures = [
        inputopt.visualize(net, objective, 28, colours=1, steps=8, quality="draft") for net in (digits_net(), served)
    ]
    torch.testing.assert_close(pictures[1].x, pictures[0].x, rtol=0, atol=1e-2)


def test_fooling_starts_from_even_static_of_its_own():
    seen = []
    inputopt.fool(digits_net(), 3, (1, 28, 28), count=20, steps=1, watch=seen.append)
    start = seen[0].x
    assert 0 <= float(start.min()) < float(start.max()) <= 1
    assert abs(float(start.mean()) - 0.5) < 5 * (1 / 12 / start.numel()) ** 0.5
    between = torch.corrcoef(start.flatten(1)) - torch.eye(20)
    assert float(between.abs().max()) < 5 / 784**0.5


@pytest.mark.parametrize(("target", "fewest", "most"), [(3, 5, 8), (8, 0, 0)])
def test_the_result_says_how_many_starts_were_of_the_target_class_already(target, fewest, most):
    seen = []
    result = inputopt.fool(digits_net(), target, (1, 28, 28), count=8, watch=seen.append)
    with torch.no_grad():
        count = int((digits_net()(seen[0].x).argmax(1) == target).sum())
    assert fewest <= count <= most
    assert result.made_by["started in target class"] == count
    assert (f"{count} of the target class before the first step" in repr(result)) == (count > 0)


def test_the_distance_is_from_the_static():
    seen = []
    result = inputopt.fool(digits_net(), 3, (1, 28, 28), count=3, watch=seen.append)
    assert_same(result.distance, (result.x - seen[0].x).flatten(1).norm(dim=1), 1e-5)


def test_seeds_make_other_images_and_the_same_seed_the_same():
    before = chance_state()
    first, again, other = (inputopt.fool(small_net(), 0, (12,), count=4, seed=seed) for seed in (5, 5, 6))
    assert chance_state() == before
    assert_same(first, again)
    assert bool((first.x != other.x).flatten(1).any(1).all())


def test_more_images_begin_with_those_of_fewer():
    few, many = (inputopt.fool(small_net(), 0, (12,), count=count) for count in (2, 7))
    assert_same(few.x, many.x[:2], 1e-9)


def test_a_higher_confidence_takes_longer_and_is_reached():
    low, high = (inputopt.fool(small_net(), 0, (12,), count=4, confidence=level) for level in (0.8, 0.99))
    for result, level in ((low, 0.8), (high, 0.99)):
        assert result.success.all()
        assert float(result.logits.softmax(1)[:, 0].min()) >= level
    assert float(low.logits.softmax(1)[:, 0].max()) < 0.99  # and it stops there
    assert bool((high.forwards > low.forwards).all())


@pytest.mark.parametrize(
    ("changed", "kind", "words"),
    [
        ({"target": 6}, ValueError, "0..5"),
        ({"target": -1}, ValueError, "target"),
        ({"target": 1.0}, TypeError, "target"),
        ({"target": True}, TypeError, "target"),
        ({"shape": (13,)}, ValueError, "shape"),
        ({"shape": (12, 0)}, ValueError, "shape"),
        ({"shape": (1.5,)}, TypeError, "shape"),
        ({"count": 0}, ValueError, "count"),
        ({"count": 2.5}, TypeError, "count"),
        ({"seed": 0.5}, TypeError, "seed"),
        ({"steps": 0}, ValueError, "steps"),
        ({"confidence": 0.0}, ValueError, "confidence"),
        ({"confidence": 1.0}, ValueError, "confidence"),
        ({"confidence": NAN}, ValueError, "confidence"),
        ({"rate": 0.0}, ValueError, "rate"),
        ({"rate": -1.0}, ValueError, "rate"),
        ({"rate": NAN}, ValueError, "rate"),
        ({"rate": "fast"}, TypeError, "rate"),
        ({"model": lambda x: x[:, :1]}, ValueError, "single output"),
        ({"model": lambda x: x[:, :5] * NAN}, ValueError, "NaN"),
        ({"model": lambda x: x[:, :5].detach()}, ValueError, "derivative|gradient"),
        ({"model": 3}, TypeError, "model"),
    ],
)
def test_fool_refuses(changed, kind, words):
    with pytest.raises(kind, match=words):
        inputopt.fool(**{"model": small_net(), "target": 1, "shape": (12,), "count": 2} | changed)


# --------------------------------------------------------------------------------------------------------------- ascend
def test_every_recognised_digit_is_left(known):
    (x, y), _ = known
    before = x.clone(), y.clone()
    result = inputopt.ascend(digits_net(), x, y)
    assert len(x) == 200
    assert int(result.success.sum()) == 200
    with torch.no_grad():
        assert not bool((digits_net()(result.x).argmax(1) == y).any())
    assert_same(result.distance, (result.x - x).flatten(1).norm(dim=1), 1e-6)
    assert float(result.distance.min()) > 0
    # a person still reads them: the change is a fraction of the ink
    assert float(result.distance.max()) < float(x.flatten(1).norm(dim=1).min())
    assert float(result.distance.median()) < 0.15 * float(x.flatten(1).norm(dim=1).median())
    assert 0 <= float(result.x.min()) <= float(result.x.max()) <= 1
    assert_same((x, y), before)


@pytest.mark.parametrize("probabilities", [False, True])
def test_ascend_goes_on_until_another_class_is_that_probable(known, probabilities):
    (x, y), (strange, named) = known
    x, y = torch.cat([x[:20], strange[:3]]), torch.cat([y[:20], named[:3]])
    net = torch.nn.Sequential(digits_net(), torch.nn.Softmax(1)) if probabilities else digits_net()
    result = inputopt.ascend(net, x, y, confidence=0.95)
    with torch.no_grad():
        most, reached = digits_net()(result.x).softmax(1).max(1)
    assert result.success.all()
    assert bool((reached != y).all())
    assert 0.95 - 1e-6 <= float(most.min()) <= float(most.median()) < 0.97, "and no further"
    sooner = inputopt.ascend(net, x, y)
    assert bool((sooner.forwards <= result.forwards).all())
    assert float(sooner.logits.softmax(1).max(1)[0].median()) < 0.7
    short = inputopt.ascend(net, x[:20], y[:20], confidence=0.95, steps=int(sooner.forwards[:20].max()) + 1)
    assert not short.success.all(), "misclassified, but not with that probability"


def test_unrecognised_digits_come_back_unchanged_among_others(known):
    (x, y), (strange, named) = known
    result = inputopt.ascend(digits_net(), torch.cat([x[:20], strange]), torch.cat([y[:20], named]))
    assert result.success.all()
    assert_same(result.x[20:], strange)
    assert bool((result.distance[20:] == 0).all())
    assert bool((result.distance[:20] > 0).all())


def test_labels_may_be_a_list():
    x = torch.rand(2, 12, dtype=torch.float64)
    y = small_net()(x).argmax(1)
    assert_same(inputopt.ascend(small_net(), x, y.tolist()), inputopt.ascend(small_net(), x, y))


INPUTS = torch.full((3, 12), 0.5, dtype=torch.float64)


@pytest.mark.parametrize(
    ("changed", "kind", "words"),
    [
        ({"x": INPUTS.long()}, TypeError, "floating"),
        ({"x": INPUTS.tolist()}, TypeError, "tensor"),
        ({"x": INPUTS * NAN}, ValueError, "finite"),
        ({"x": INPUTS * 3}, ValueError, "bounds 0..1"),
        ({"x": INPUTS - 1}, ValueError, "bounds 0..1"),
        ({"x": INPUTS[:0], "y": []}, ValueError, "at least one"),
        ({"x": INPUTS[:, :5]}, ValueError, "shape"),
        ({"x": INPUTS[0, 0]}, ValueError, "at least one"),
        ({"y": [0, 1]}, ValueError, "labels"),
        ({"y": [[0], [1], [2]]}, ValueError, "labels"),
        ({"y": 1}, ValueError, "labels"),
        ({"y": [0, 1, 6]}, ValueError, "0..5"),
        ({"y": [0, 1, -1]}, ValueError, "0..5"),
        ({"y": [0.0, 1.0, 2.0]}, ValueError, "class indices"),
        ({"y": [True, False, True]}, ValueError, "class indices"),
        ({"steps": 0}, ValueError, "steps"),
        ({"steps": 1.5}, TypeError, "steps"),
        ({"rate": NAN}, ValueError, "rate"),
        ({"confidence": 1}, ValueError, "confidence must be a probability between 0 and 1"),
        ({"confidence": NAN}, ValueError, "confidence must be a probability between 0 and 1"),
        ({"confidence": "0.9"}, TypeError, "confidence must be a number"),
        ({"model": lambda x: x[:, :1]}, ValueError, "single output"),
        ({"model": lambda x: x[:, :6] * NAN}, ValueError, "NaN"),
        ({"model": lambda x: x[:, :6].detach()}, ValueError, "derivative|gradient"),
    ],
)
def test_ascend_refuses(changed, kind, words):
    with pytest.raises(kind, match=words):
        inputopt.ascend(**{"model": small_net(), "x": INPUTS, "y": [0, 1, 2]} | changed)


# ---------------------------------------------------------------------------------------------------------------- dream
def eye():
    """A small convolutional network that takes any size."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 4)
    )


def photo(height=20, width=14, channels=3):
    return torch.rand(channels, height, width, generator=torch.Generator().manual_seed(4))


def energy(net, x, layer="1"):
    with torch.no_grad():
        return float(inputopt.Frozen(net).features(x[None], [layer])[layer].square().mean())


@pytest.mark.parametrize("octaves", [1, 3])
@pytest.mark.parametrize("jitter", [0, 3])
def test_a_dream_shows_the_layer_more_of_what_it_sees(octaves, jitter):
    start = photo()
    picture = inputopt.dream(eye(), start, ["1"], octaves=octaves, steps=8, jitter=jitter)
    assert energy(eye(), picture.x) > 1.2 * energy(eye(), start)
    assert (picture.x.shape, picture.x.dtype) == (start.shape, start.dtype)
    assert 0 <= float(picture.x.min()) < float(picture.x.max()) <= 1
    assert_same(start, photo())


def test_a_dream_of_a_digit():
    start = digits().held_x[0]
    picture = inputopt.dream(digits_net(), start, ["layers.0"], octaves=1, steps=20)
    assert energy(digits_net(), picture.x, "layers.0") > 2 * energy(digits_net(), start, "layers.0")


def test_several_layers_count_together():
    seen = []
    inputopt.dream(eye(), photo(), ["0", "1"], octaves=1, steps=6, watch=seen.append)
    both = [energy(eye(), snapshot.x[0], "0") + energy(eye(), snapshot.x[0], "1") for snapshot in seen]
    assert both == sorted(both)


def test_octaves_go_from_small_to_the_photos_own_size():
    seen = []
    inputopt.dream(eye(), photo(28, 21), ["1"], octaves=3, octave_scale=1.4, steps=2, watch=seen.append)
    sizes = [tuple(snapshot.x.shape[2:]) for snapshot in seen]
    assert sizes == [(14, 11)] * 3 + [(20, 15)] * 3 + [(28, 21)] * 3


def test_octaves_lose_none_of_the_photos_detail():
    # dreams so faint that they change nothing: what went down to a few pixels must come back sharp
    start = photo(40, 30)
    faint = inputopt.dream(eye(), start, ["1"], octaves=4, octave_scale=2.0, steps=2, step_size=1e-7)
    assert_same(faint.x, start, 1e-5)


def test_octaves_put_coarse_shapes_under_fine_ones():
    start = photo(32, 32)
    initial_scale, fine = (
        resized(inputopt.dream(eye(), start, ["1"], octaves=n, octave_scale=2.0, steps=4).x[None] - start, 8, 8)
        for n in (3, 1)
    )
    assert float(initial_scale.norm()) > 1.5 * float(fine.norm())


def test_octave_sizes_are_never_nothing():
    assert octave_sizes(28, 21, 3, 1.4) == [(14, 11), (20, 15), (28, 21)]
    assert octave_sizes(2, 1, 4, 2.0) == [(1, 1), (1, 1), (1, 1), (2, 1)]
    assert octave_sizes(7, 9, 1, 1.4) == [(7, 9)]


def test_resizing_keeps_flat_images_flat_and_smooths_before_it_shrinks():
    assert_same(resized(torch.full((1, 3, 9, 7), 0.3), 4, 5), torch.full((1, 3, 4, 5), 0.3), 1e-6)
    board = (torch.arange(64).reshape(-1, 1) + torch.arange(64)).remainder(2).float()[None, None]
    assert float((resized(board, 16, 16) - 0.5).abs().max()) < 0.01  # grey, where picked pixels would be black or white
    x = drawn(1, 1, 4, 4)
    assert resized(x, 4, 4) is x


def test_a_seed_gives_the_same_dream_and_another_seed_another():
    net, before = eye(), chance_state()
    first, again, other = (
        inputopt.dream(net, photo(), ["1"], octaves=2, steps=3, jitter=4, seed=seed).x for seed in (1, 1, 2)
    )
    assert chance_state() == before
    assert_same(first, again)
    assert not torch.equal(first, other)
    assert_same(*(inputopt.dream(eye(), photo(), ["1"], octaves=1, steps=3, jitter=0, seed=seed).x for seed in (1, 2)))


def test_a_dream_in_other_bounds_takes_a_picture_in_them():
    net = inputopt.Frozen(eye(), bounds=(-1, 3))
    image = Image.fromarray((photo() * 255).byte().movedim(0, -1).numpy())
    faint = inputopt.dream(net, image, ["1"], octaves=1, steps=1, step_size=1e-9)
    assert_same(faint.x, torch.from_numpy(np.array(image)).movedim(-1, 0) / 255 * 4 - 1, 1e-5)
    assert faint.bounds == (-1, 3)


def test_the_recipe_says_what_made_it():
    picture = inputopt.dream(eye(), photo(), ["1", "0"], 2, 1.5, 3, step_size=0.02, jitter=1, seed=9)
    wanted = {"layers": ["1", "0"], "octaves": 2, "octave_scale": 1.5, "steps": 3}
    assert picture.recipe["made by"] == "dream"
    assert picture.recipe["settings"].items() >= (wanted | {"step_size": 0.02, "jitter": 1, "seed": 9}).items()


def test_a_model_of_one_size_wants_one_octave():
    with pytest.raises(ValueError, match="octaves=1"):
        inputopt.dream(digits_net(), digits().held_x[0], ["layers.0"], octaves=3)


@pytest.mark.parametrize(
    ("changed", "kind", "words"),
    [
        ({"layers": ["7"]}, ValueError, "layer"),
        ({"layers": []}, ValueError, "at least one"),
        ({"octaves": 0}, ValueError, "octaves"),
        ({"octaves": 1.5}, TypeError, "octaves"),
        ({"octave_scale": 1.0}, ValueError, "octave_scale"),
        ({"octave_scale": NAN}, ValueError, "octave_scale"),
        ({"steps": 0}, ValueError, "steps"),
        ({"step_size": 0.0}, ValueError, "step_size"),
        ({"jitter": -1}, ValueError, "jitter"),
        ({"photo": photo()[0]}, ValueError, r"\[C, H, W\]"),
        ({"photo": photo()[None]}, ValueError, r"\[C, H, W\]"),
        ({"photo": photo()[:, :0]}, ValueError, r"\[C, H, W\]"),
        ({"photo": photo() * NAN}, ValueError, "finite"),
        ({"photo": photo() * 2}, ValueError, "bounds 0..1"),
        ({"photo": photo(channels=2)}, ValueError, "does not accept inputs"),
        ({"photo": 3}, TypeError, "photo"),
        ({"model": lambda x: x.flatten(1)}, ValueError, "named layers"),
    ],
)
def test_dream_refuses(changed, kind, words):
    with pytest.raises(kind, match=words):
        inputopt.dream(**{"model": eye(), "photo": photo(), "layers": ["1"]} | changed)
