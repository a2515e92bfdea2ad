import pytest
import torch
from contracts import assert_same, digits
from torch import nn

import inputopt
from inputopt.pictures.reproduction import make_again


def eye():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(48, 4)
    )


def photo():
    smooth = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(4))
    return nn.functional.interpolate(smooth, (17, 12), mode="bicubic").clamp(0.05, 0.95)[0]


def seen(net, x, layer):
    with torch.no_grad():
        return inputopt.Frozen(net).features(x[None], [layer])[layer]


@pytest.mark.parametrize("canvas", ["fourier", "pixels"])
def test_an_early_layer_gives_the_photo_back(canvas):
    start, net = photo(), eye()
    found = inputopt.invert(net, start, ["1"], steps=500, canvas=canvas, smooth=0.0)
    wanted = seen(net, start, "1")
    distance = float((seen(net, found.x, "1") - wanted).square().sum() / wanted.square().sum())
    assert distance == pytest.approx(found.recipe["distance"], rel=1e-3)
    assert distance < 0.01
    assert float((found.x - start).abs().mean()) < 0.05  # 12 channels of a 3 x 3 convolution keep all there is
    assert float((start - start.mean((1, 2), keepdim=True)).abs().mean()) > 0.1
    assert_same(start, photo())


def test_a_late_layer_is_reached_by_another_image():
    start, net = photo(), eye()
    found = inputopt.invert(net, start, ["4"], steps=200, smooth=0.0)
    assert found.recipe["distance"] < 0.01
    assert float((found.x - start).abs().mean()) > 0.1  # four numbers tell little


def test_smoothness_is_weighed_against_the_distance():
    start, net = photo(), eye()
    rough, smooth = (inputopt.invert(net, start, ["4"], steps=60, canvas="pixels", smooth=w) for w in (0.0, 3.0))
    assert float(smooth.x.diff(dim=1).abs().mean()) < 0.5 * float(rough.x.diff(dim=1).abs().mean())
    assert smooth.recipe["distance"] >= rough.recipe["distance"]


def test_a_caricature_goes_further_the_photos_own_way():
    start, net = photo(), eye()
    found = inputopt.accentuate(net, start, ["0"], steps=160)
    before, after = seen(net, start, "0").flatten(), seen(net, found.x, "0").flatten()
    along = float(after @ before / before.square().sum())
    assert along > 1.1
    assert float(torch.cosine_similarity(before, after, 0)) > 0.8


@pytest.mark.parametrize(("canvas", "within"), [("fourier", 1e-5), ("pixels", 1e-7), ("cppn", 0.06)])
def test_a_caricature_starts_from_the_photo(canvas, within):
    seen = []
    inputopt.accentuate(eye(), photo(), ["0"], steps=1, canvas=canvas, watch=seen.append)
    assert float((seen[0].x[0] - photo()).square().mean().sqrt()) < within


def test_pictures_are_made_again_from_their_recipes(tmp_path):
    net = inputopt.load("digits-mlp")
    inputopt.Frozen(net)
    made = inputopt.visualize(net, inputopt.Class([3, 5]) - 0.1 * inputopt.total_variation(), 28, 5, colours=1)
    for picture in made:
        again = make_again(picture.recipe, inputopt.load)
        torch.testing.assert_close(again.x, picture.x, rtol=0, atol=1e-5)  # a batch of one instead of two
    alone = make_again(made[1].recipe, inputopt.load)
    assert_same(make_again(made[1].recipe, inputopt.load).x, alone.x)
    file = tmp_path / "digit.png"
    inputopt.Picture(digits().held_x[3]).save(file)
    recalled = inputopt.invert(net, file, ["layers.0"], steps=5)
    assert_same(make_again(recalled.recipe, inputopt.load).x, recalled.x)


@pytest.mark.parametrize(
    ("changed", "kind", "words"),
    [
        ({"layers": ["7"]}, ValueError, "layer"),
        ({"layers": []}, ValueError, "at least one"),
        ({"photo": photo() * 2}, ValueError, "bounds 0..1"),
        ({"photo": photo()[:2]}, ValueError, "does not accept inputs"),
        ({"steps": 0}, ValueError, "steps"),
        ({"smooth": -1.0}, ValueError, "smooth"),
        ({"canvas": "oil"}, ValueError, "canvas"),
    ],
)
def test_invert_refuses(changed, kind, words):
    with pytest.raises(kind, match=words):
        inputopt.invert(**{"model": eye(), "photo": photo(), "layers": ["1"], "steps": 1} | changed)
