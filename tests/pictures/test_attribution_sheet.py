"""Sheets of attributions: what the maps show, and what is refused."""

import numpy as np
import pytest
import torch
from contracts import digits

import inputopt
from inputopt.pictures.attribution_sheet import signed_maps, size_maps


def alternating(height, width):
    """+1 and -1 like a chessboard: the sign of attributions of single pixels is often as good as random."""
    return 1.0 - 2.0 * (torch.arange(height)[:, None] + torch.arange(width)).remainder(2)


def test_a_region_of_alternating_signs_is_large_and_has_no_sign():
    x = torch.zeros(1, 3, 256, 256)
    x[..., 40:120, 40:120] = alternating(80, 80)
    x[..., 160:240, 160:240] = 0.05
    signed, sizes = signed_maps(x)[0], size_maps(x)[0]
    assert float(sizes[60:100, 60:100].min()) > 0.95
    assert float(sizes[180:220, 180:220].max()) < 0.1
    assert float(signed[60:100, 60:100].abs().max()) < 0.3
    assert float(signed[180:220, 180:220].min()) > 0.95


def test_small_images_are_not_blurred_and_single_pixels_do_not_set_the_scale():
    x = torch.full((1, 1, 28, 28), -0.5)
    x[0, 0, 3, 4] = 100.0
    expected = torch.full((28, 28), -1.0, dtype=torch.float64)
    expected[3, 4] = 1.0
    assert torch.equal(signed_maps(x)[0], expected)
    assert torch.equal(signed_maps(torch.zeros(2, 1, 28, 28)), torch.zeros(2, 28, 28, dtype=torch.float64))


def test_one_image_has_a_row_with_its_class():
    net, x = inputopt.load("digits-cnn"), digits().held_x[:1]
    figure = inputopt.attribution_sheet(x, inputopt.saliency(net, x, [4]), net, classes=[4])
    photo, heat, over = figure.axes
    assert photo.get_title().endswith(" %")
    assert heat.get_title() == "for 4"
    assert len(over.images) == 2, "the grey image and the map over it"
    labelled = inputopt.attribution_sheet(x, x, net, labels=[4]).axes[0].get_title()
    assert labelled == f"{photo.get_title()}\ntrue: 4"
    assert np.asarray(heat.images[0].get_array()).max() == 1.0


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"x": torch.zeros(2, 28, 28)}, r"images \[B, C, H, W\]"),
        ({"attributions": torch.zeros(2, 1, 28, 27)}, "the shape of x"),
        ({"classes": [1]}, "classes must hold 2 classes"),
        ({"labels": [1, 2, 3]}, "labels must hold 2 classes, one per image, not 3"),
    ],
)
def test_what_does_not_fit_is_refused(changed, words):
    x = torch.zeros(2, 1, 28, 28)
    with pytest.raises(ValueError, match=words):
        inputopt.attribution_sheet(**{"x": x, "attributions": x, "model": inputopt.load("digits-cnn")} | changed)
