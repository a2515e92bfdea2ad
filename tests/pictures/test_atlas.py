import pytest
import torch
from contracts import assert_same
from torch import nn

import inputopt
from inputopt.pictures.atlas import strongest


class Spots(nn.Module):
    """A grid of 4-pixel means: channel 0 of brightness, channel 1 of darkness."""

    def __init__(self):
        super().__init__()
        self.pool = nn.AvgPool2d(4)
        self.both = nn.Conv2d(1, 2, 1, bias=False)
        with torch.no_grad():
            self.both.weight.copy_(torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1))

    def forward(self, x):
        return self.both(self.pool(x)).mean((2, 3))


def photos():
    """Grey, with a bright spot in the first, a brighter one in the corner of the second, and a dark one there too."""
    first, second = torch.full((1, 20, 16), 0.5), torch.full((1, 12, 24), 0.5)
    first[:, 8:12, 4:8] = 0.8
    second[:, 0:4, 20:24] = 1.0
    second[:, 4:8, 0:4] = 0.0
    return [first, second]


def test_the_patches_are_those_that_excite_each_channel_most():
    net = inputopt.Frozen(Spots())
    patches, strengths = strongest(net, "both", [photo[None] for photo in photos()], [0, 1], 2, 6)
    assert_same(strengths, torch.tensor([[1.0, 0.8], [0.0, -0.5]]), 1e-6)
    assert patches.shape == (2, 2, 1, 6, 6)
    first, second = photos()
    assert_same(patches[0, 0], second[:, 0:6, 18:24])  # moved inside the photo
    assert_same(patches[0, 1], first[:, 7:13, 3:9])  # about its middle
    assert_same(patches[1, 0], second[:, 3:9, 0:6])
    small, _ = strongest(net, "both", [photos()[0][None]], [0], 1, 30)
    assert small.shape == (1, 1, 1, 30, 30)  # a photo that is too small is enlarged


def test_an_atlas_shows_channels_beside_what_excites_them(tmp_path):
    found = inputopt.atlas(Spots(), "both", photos(), [1, 0], size=12, steps=20, colours=1, top=5, patch=6)
    assert found.channels == (1, 0)
    assert found.patches.shape == (2, 2, 1, 6, 6)  # no more than there are photos
    dark, bright = (float(picture.x.mean()) for picture in found.pictures)
    assert dark < 0.45 < 0.55 < bright
    found.sheet().savefig(tmp_path / "atlas.png")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"photos": []}, "at least one photo"),
        ({"numbers": []}, "one channel"),
        ({"numbers": [2]}, "at most 1"),
        ({"layer": "bath"}, "'both'"),
        ({"patch": 0}, "patch"),
        ({"photos": [photos()[0] * 3]}, "bounds"),
    ],
)
def test_an_atlas_refuses(changed, words):
    given = {"layer": "both", "photos": photos(), "numbers": [0], "patch": 6} | changed
    with pytest.raises(ValueError, match=words):
        inputopt.atlas(Spots(), given["layer"], given["photos"], given["numbers"], 8, 1, patch=given["patch"])
