"""The qualities of `visualize`: which settings they stand for, and where they do not apply."""

import pytest
import torch
from contracts import assert_same
from photos import frozen_lite0
from torch import nn

import inputopt
from inputopt.pictures.picture_quality import QUALITIES, WITHOUT_DROPPING, default_steps
from inputopt.pictures.reproduction import make_again

SIDE = 96
PLAIN = {"restarts": 1, "initial_scale": 1.0, "mirror": False, "skip_gradient": 1.0, "drop_branches": 0.0}


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.branch = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return x + self.branch(x)


def seeded(*layers):
    torch.manual_seed(3)
    net = nn.Sequential(*(make() for make in layers))
    return net.eval()


def residual():
    """Runs on images of any size, with a residual branch, and does not distinguish left from right."""
    net = seeded(lambda: nn.Conv2d(3, 6, 3, padding=1), lambda: Block(6), lambda: nn.AdaptiveAvgPool2d(1))
    net.extend([nn.Flatten(), nn.Linear(6, 4)])
    with torch.no_grad():
        for conv in (net[0], net[1].branch):
            conv.weight.copy_((conv.weight + conv.weight.flip(3)) / 2)
    return net


def of_one_size():
    """Runs on one size alone, without residual branches."""
    return seeded(lambda: nn.Conv2d(3, 4, 8, 8), nn.Flatten, lambda: nn.Linear(4 * (SIDE // 8) ** 2, 3))


class Halves(nn.Module):
    """Class 0 where the left is lighter than the right, class 1 for light images."""

    def forward(self, x):
        left, right = (half.mean((1, 2, 3)) for half in x.chunk(2, dim=3))
        return torch.stack([left - right, left + right], 1)


def settings(picture):
    return {name: picture.recipe["settings"][name] for name in ("steps", *PLAIN)}


def test_a_network_that_everything_applies_to_gets_everything():
    picture = inputopt.visualize(residual(), inputopt.Class(2), SIDE, 64)
    assert settings(picture) == {"steps": 64, **PLAIN} | {
        "initial_scale": 0.8,
        "mirror": True,
        "skip_gradient": 0.5,
        "drop_branches": 0.5,
    }
    assert "left_out" not in picture.recipe
    assert picture.recipe["settings"]["quality"] == "good"


def test_what_a_network_cannot_do_is_left_out():
    picture = inputopt.visualize(of_one_size(), inputopt.Class(2), SIDE, 64)
    left_out = picture.recipe["left_out"]
    assert settings(picture)["initial_scale"] == 1.0
    assert settings(picture)["skip_gradient"] == 1.0
    assert left_out["initial_scale"] == "the network is not run on smaller images"
    assert left_out["skip_gradient"] == left_out["drop_branches"] == "the network has no residual branches"
    assert settings(picture)["drop_branches"] == 0.0


def test_bounds_of_each_pixel_leave_the_initial_scale_out():
    net = inputopt.Frozen(residual(), bounds=(torch.zeros(3, SIDE, SIDE), torch.ones(3, SIDE, SIDE)))
    picture = inputopt.visualize(net, inputopt.Class(2), SIDE, 4)
    assert settings(picture) == {"steps": 4, **PLAIN} | {"skip_gradient": 0.5, "drop_branches": 0.5}
    assert list(picture.recipe["left_out"]) == ["initial_scale", "mirror"]


def test_each_picture_is_mirrored_only_if_its_objective_allows_it():
    left, light = inputopt.visualize(Halves(), inputopt.Class([0, 1]), SIDE, 64)
    assert (settings(left)["mirror"], settings(light)["mirror"]) == (False, True)
    assert left.recipe["left_out"]["mirror"] == "the objective is lower on mirror images"
    assert "mirror" not in light.recipe["left_out"]
    half = SIDE // 2
    assert float((left.x[..., :half] - left.x[..., half:]).mean()) > 0.1
    for picture, number in ((left, 0), (light, 1)):
        assert_same(inputopt.visualize(Halves(), inputopt.Class(number), SIDE, 64).x, picture.x, 1e-5)


def test_digits_are_not_mirrored():
    digits = inputopt.visualize(inputopt.load("digits-cnn"), inputopt.Class([3, 7]), 28, 64, colours=1)
    assert [settings(picture) for picture in digits] == [{"steps": 64, **PLAIN}] * 2


def test_objectives_on_layers_are_as_they_were():
    net, objective = residual(), inputopt.Channel("0", [1, 3])
    default = inputopt.visualize(net, objective, SIDE, 4)
    plain = inputopt.visualize(net, objective, SIDE, 4, **PLAIN)
    assert_same([picture.x for picture in default], [picture.x for picture in plain])
    assert set(default[0].recipe["left_out"]) == {"initial_scale", "mirror", "skip_gradient", "drop_branches"}


@pytest.mark.parametrize("quality", QUALITIES)
def test_a_picture_is_made_again_from_its_recipe(quality):
    for net in (residual(), of_one_size()):
        made = inputopt.visualize(net, inputopt.Class([0, 2]), SIDE, 64, quality=quality)
        for picture in made:
            recipe = picture.recipe | {"model": picture.recipe["model"] | {"name": "net"}}
            assert_same(make_again(recipe, lambda name, net=net: net).x, picture.x, 1e-5)


def test_joint_pictures_are_made_again_and_have_no_restarts():
    made = inputopt.visualize(Halves(), inputopt.Class([0, 1]), SIDE, 64, quality="best", shared_frequencies=2)
    assert [settings(picture) for picture in made] == [{"steps": 64, **PLAIN} | {"initial_scale": 0.8}] * 2
    assert made[0].recipe["left_out"]["restarts"] == "the pictures are optimised jointly"
    recipe = made[1].recipe | {"model": made[1].recipe["model"] | {"name": "halves"}}
    assert_same(make_again(recipe, lambda name: Halves()).x, made[1].x, 1e-6)


def test_given_settings_override_the_quality():
    given = {
        "steps": 3,
        "restarts": 2,
        "initial_scale": 0.5,
        "mirror": True,
        "skip_gradient": 0.8,
        "drop_branches": 0.1,
    }
    picture = inputopt.visualize(residual(), inputopt.Class(1), SIDE, quality="draft", **given)
    assert settings(picture) == given
    plain = inputopt.visualize(residual(), inputopt.Class(1), SIDE, 3, quality="best", **PLAIN)
    assert settings(plain) == {"steps": 3, **PLAIN}
    with pytest.raises(ValueError, match="Unknown quality 'goof'; did you mean 'good'"):
        inputopt.visualize(residual(), inputopt.Class(1), SIDE, 3, quality="goof")
    with pytest.raises(ValueError, match="residual branches"):
        inputopt.visualize(of_one_size(), inputopt.Class(1), SIDE, 3, skip_gradient=0.5)


def test_a_draft_costs_less_than_a_third_of_a_good_picture():
    net, forwards = inputopt.Frozen(Halves()), []
    for quality in ("draft", "good"):
        before = net.forwards
        assert settings(inputopt.visualize(net, inputopt.Class(1), 32, quality=quality))["steps"] > 0
        forwards.append(net.forwards - before)
    assert forwards[0] < forwards[1] / 3


def test_a_good_picture_of_a_real_network_uses_every_setting():
    picture = inputopt.visualize(frozen_lite0(), inputopt.Class(985), SIDE, 2)
    expected = {"initial_scale": 0.8, "skip_gradient": 0.5, "drop_branches": 0.5}
    assert settings(picture) == {"steps": 2, **PLAIN} | expected
    assert picture.recipe["left_out"] == {"mirror": "it needs at least 64 steps"}


def test_networks_without_branches_take_fewer_steps():
    with_branches, without = residual(), of_one_size()
    for net, objective, steps in (
        (with_branches, inputopt.Class(1), QUALITIES["draft"].steps),
        (without, inputopt.Class(1), WITHOUT_DROPPING["draft"]),
        (with_branches, inputopt.Channel("0", 1), WITHOUT_DROPPING["draft"]),
    ):
        assert inputopt.visualize(net, objective, SIDE, quality="draft").recipe["settings"]["steps"] == steps
    x = torch.full((1, 3, SIDE, SIDE), 0.5)
    for quality, preset in QUALITIES.items():
        assert default_steps(inputopt.Frozen(without), inputopt.Class(1), quality, x) == WITHOUT_DROPPING[quality]
        assert default_steps(inputopt.Frozen(with_branches), inputopt.Class(1), quality, x) == preset.steps
    small = inputopt.visualize(inputopt.load("digits-cnn"), inputopt.Class(3), 28, colours=1)
    assert small.recipe["settings"]["steps"] == WITHOUT_DROPPING["good"] < QUALITIES["good"].steps
