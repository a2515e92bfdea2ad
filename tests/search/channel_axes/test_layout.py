"""Which axis holds the channels: followed through networks whose sizes would mislead a guess."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

import inputopt
from inputopt.search.channel_axes.axis_rules import axis_after_reshape
from inputopt.search.channel_axes.follower import Follower
from inputopt.search.channel_axes.layout import grid_of, network_geometry

SIDE = 16
X = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def axes(net, *layers, x=X):
    """Of each layer the axis found, or None, and what was concatenated to its places."""
    found = network_geometry(inputopt.Frozen(net), x, layers).layouts
    return [None if each is None else (each.axis, each.before, each.after) for each in found.values()]


class Tokens(nn.Module):
    """Patches as tokens behind a class token, attention by hand, and an MLP; as many tokens as features, 16 + 1."""

    def __init__(self, split=1):
        super().__init__()
        self.patches, self.token = nn.Conv2d(3, 17, 4, 4), nn.Parameter(torch.rand(1, 1, 17))
        self.norm, self.qkv, self.out = nn.LayerNorm(17), nn.Linear(17, 51), nn.Linear(17, 17)
        self.mlp = nn.Sequential(nn.Linear(17, 34), nn.GELU(), nn.Linear(34, 17))
        self.block, self.drop, self.last = nn.Identity(), nn.Dropout(), nn.Identity()

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = self.drop(torch.cat([self.token.expand(len(x), -1, -1), x], dim=1))
        q, k, v = self.qkv(self.norm(x)).chunk(3, dim=-1)
        x = x + self.out((q @ k.mT / math.sqrt(17)).softmax(-1) @ v)
        x = self.block(x + self.mlp(x))
        return self.last(x[:, 1:]).mean(1)


class ChannelsLast(nn.Module):
    """A block of images with the channels last inside, and first outside; all sides are 8."""

    def __init__(self):
        super().__init__()
        self.stem, self.depthwise = nn.Conv2d(3, 8, 2, 2), nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.norm, self.wide, self.act, self.narrow = nn.LayerNorm(8), nn.Linear(8, 32), nn.GELU(), nn.Linear(32, 8)
        self.branch, self.block = nn.Identity(), nn.Identity()

    def forward(self, x):
        x = self.stem(x)
        y = self.narrow(self.act(self.wide(self.norm(self.depthwise(x).permute(0, 2, 3, 1)))))
        return self.block(x + self.branch(y.permute(0, 3, 1, 2))).mean((2, 3))


class Windows(nn.Module):
    """Images with the channels last that are cut into windows, shifted, and put together again; 8 everywhere."""

    def __init__(self):
        super().__init__()
        self.stem, self.inside, self.norm = nn.Conv2d(3, 8, 2, 2), nn.Linear(8, 8), nn.LayerNorm(8)
        self.merge, self.block, self.merged = nn.Linear(32, 8), nn.Identity(), nn.Identity()

    def forward(self, x):
        x = self.stem(x).permute(0, 2, 3, 1)
        y = x.roll((-2, -2), (1, 2)).view(-1, 2, 4, 2, 4, 8).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, 8)
        y = self.inside(self.norm(y)).view(-1, 2, 2, 4, 4, 8).permute(0, 1, 3, 2, 4, 5).reshape(-1, 8, 8, 8)
        x = self.block(x + y.roll((2, 2), (1, 2)))
        x = torch.cat([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], -1)
        return self.merged(self.merge(x.flatten(1, 2))).mean(1)


class Mixer(nn.Module):
    """Weights that mix tokens, as many as features: there the channels of a layer are not those of the block."""

    def __init__(self):
        super().__init__()
        self.patches, self.norm = nn.Conv2d(3, 16, 4, 4), nn.LayerNorm(16)
        self.tokens, self.features, self.block = nn.Linear(16, 16), nn.Linear(16, 16), nn.Identity()

    def forward(self, x):
        x = self.patches(x).flatten(2).mT
        x = self.block(x + self.tokens(self.norm(x).mT).mT)
        return (x + self.features(x)).mean(1)


class Plain(nn.Module):
    """What convolutional networks do to axes."""

    def __init__(self):
        super().__init__()
        self.first, self.instance = nn.Conv2d(3, 8, 3, 2, 1), nn.InstanceNorm2d(8, affine=True)
        self.group, self.over_all, self.act = nn.GroupNorm(2, 8), nn.LayerNorm([8, 8, 8]), nn.Hardswish(inplace=True)
        self.gate, self.shuffle, self.second = nn.Conv2d(8, 16, 1), nn.PixelShuffle(2), nn.Conv2d(2, 8, 3, 2, 1)
        self.pool, self.up, self.padded = nn.MaxPool2d(2), nn.Upsample(scale_factor=2), nn.Identity()
        self.dense, self.mean, self.flat = nn.Identity(), nn.AdaptiveAvgPool2d(1), nn.Flatten()

    def forward(self, x):
        x = self.act(self.over_all(self.group(self.instance(self.first(x)))))
        x = functional.glu(self.gate(x), dim=1)
        x = self.second(self.shuffle(x))
        x = self.dense(torch.cat([x, self.up(self.pool(x))], 1))
        x = self.padded(functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 4, 4)))
        return self.flat(self.mean(x))


class Written(nn.Module):
    """Tokens that are written into zeros, ready-made attention with the batch in the middle, and a recurrent layer."""

    def __init__(self):
        super().__init__()
        self.patches, self.tokens, self.attention = nn.Conv2d(3, 16, 4, 4), nn.Identity(), nn.MultiheadAttention(16, 2)
        self.after, self.encoder = nn.Identity(), nn.TransformerEncoderLayer(16, 2, 8, batch_first=True)
        self.registers = nn.Parameter(torch.rand(1, 4, 16))
        self.longer, self.recurrent = nn.Identity(), nn.LSTM(16, 5, batch_first=True)
        self.state = nn.Identity()

    def forward(self, x):
        tokens = x.new_zeros(len(x), 17, 16)
        tokens[:, 1:] = self.patches(x).flatten(2).mT
        x = self.tokens(tokens).transpose(0, 1)
        x = self.after(self.attention(x, x, x)[0].transpose(0, 1))
        x = self.encoder(x)
        x = self.longer(torch.cat([x[:, :1], self.registers.expand(len(x), -1, -1), x[:, 1:]], 1))
        return self.state(self.recurrent(x)[0]).mean(1)


CASES = {
    "tokens": (
        Tokens,
        {
            "patches": (1, 0, 0), "drop": (2, 1, 0), "norm": (2, 1, 0), "qkv": (2, 1, 0), "out": (2, 1, 0),
            "mlp.1": (2, 1, 0), "block": (2, 1, 0), "last": (2, 0, 0), "": (1, 0, 0),
        },
    ),
    "channels last": (
        ChannelsLast,
        {"depthwise": (1, 0, 0), "norm": (3, 0, 0), "act": (3, 0, 0), "branch": (1, 0, 0), "block": (1, 0, 0)},
    ),
    "windows": (Windows, {"stem": (1, 0, 0), "block": (3, 0, 0), "merge": (2, 0, 0), "merged": (2, 0, 0)}),
    "mixer": (Mixer, {"patches": (1, 0, 0), "tokens": (2, 0, 0), "block": (2, 0, 0), "features": (2, 0, 0)}),
    "plain": (
        Plain,
        dict.fromkeys(
            ("first", "instance", "group", "over_all", "act", "gate", "shuffle", "second", "dense", "padded", "mean"),
            (1, 0, 0),
        ),
    ),
    "written": (
        Written,
        {"tokens": (2, 0, 0), "after": (2, 0, 0), "encoder": (2, 0, 0), "longer": (2, 0, 0), "state": (2, 0, 0)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_axis_is_followed_and_not_guessed(name):
    make, wanted = CASES[name]
    torch.manual_seed(0)
    assert dict(zip(wanted, axes(make(), *wanted), strict=True)) == wanted


@pytest.mark.parametrize("name", CASES)
def test_a_bias_moves_one_channel_of_the_axis_found(name):
    torch.manual_seed(0)
    net, given = CASES[name][0]().eval(), {}

    def note(module, inputs, output):
        given[module] = inputs

    biased = {
        layer: module
        for layer, module in net.named_modules()
        if isinstance(getattr(module, "bias", None), nn.Parameter) and module.bias.ndim == 1
    }
    handles = [module.register_forward_hook(note) for module in biased.values()]
    with torch.no_grad():
        net(X)
        for handle in handles:
            handle.remove()
        for layer, module in biased.items():
            if module not in given:  # ready-made attention keeps its own to itself
                continue
            x = X.clone()
            with Follower(x) as follower:
                seen = inputopt.Frozen(net).features(x, [layer])[layer]
            (axis,) = follower.axes(seen).channels
            before = module(*given[module])
            module.bias[1] += 1
            moved = ((module(*given[module]) - before).abs() > 0.5).movedim(axis, 0).flatten(1)
            assert moved.any(1).nonzero()[:, 0].tolist() == [1], layer
            assert bool(moved[1].all()), layer


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_what_runs_as_torchscript_is_followed_too():
    traced, x = (
        torch.jit.trace(nn.Sequential(nn.Conv2d(3, 8, 2, 2), nn.Flatten(2), nn.Linear(64, 8)).eval(), X),
        X.clone(),
    )
    with torch.no_grad(), Follower(x) as follower:
        first = traced(x)
        second = first.mT.relu()
    assert (follower.axes(first).channels, follower.axes(second).channels) == ({2}, {1})


def test_a_layer_whose_axis_is_ambiguous_asks_for_it_and_takes_it():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.other, self.sum = nn.Conv2d(3, 8, 2, 2), nn.Linear(8, 8), nn.Identity()

        def forward(self, x):
            x = self.one(x)
            return self.sum(x + self.other(x.permute(0, 2, 3, 1))).mean((2, 3))

    net = inputopt.Frozen(Both())
    with pytest.raises(ValueError, match=r"The channel axis of the output of 'sum', \[B, 8, 8, 8\].*axis="):
        inputopt.visualize(net, inputopt.Channel("sum", 1), SIDE, 1)
    pictures = [inputopt.visualize(net, inputopt.Channel("sum", 1, axis=axis), SIDE, 2) for axis in (1, 3, -1)]
    assert [picture.recipe["channels"]["sum"] for picture in pictures] == [
        f"8 channels on axis {axis} of [B, 8, 8, 8], 64 positions" for axis in (1, 3, 3)
    ]
    assert torch.equal(pictures[1].x, pictures[2].x)
    assert not torch.equal(pictures[0].x, pictures[1].x)


@pytest.mark.parametrize(
    ("layer", "axis", "words"),
    [
        ("inside", None, r"for one input has shape \[4, 16, 8\].*another layer"),
        ("block", 0, r"axis must be 1 to 3 \(or negative\) in block, not 0"),
        ("block", 4, "in block, not 4"),
        ("block", -4, "in block, not -4"),
    ],
)
def test_axes_and_layers_that_cannot_be(layer, axis, words):
    with pytest.raises(ValueError, match=words):
        inputopt.visualize(Windows(), inputopt.Channel(layer, 1, axis=axis), SIDE, 1)
    with pytest.raises(TypeError, match="axis must be a whole number"):
        inputopt.Channel(layer, 1, axis="last")


@settings(max_examples=60, derandomize=True, deadline=None)
@given(patch=st.integers(1, 40), height=st.integers(1, 300), width=st.integers(1, 300), up=st.booleans())
def test_patches_over_an_image_are_its_grid(patch, height, width, up):
    rows, columns = (-(-side // patch) if up else side // patch for side in (height, width))
    if rows and columns:
        # None where two grids of as many places fit: nobody could tell
        assert grid_of(rows * columns, height, width) in ((rows, columns), None)
    if rows and height == width:
        assert grid_of(rows * rows, height, width) == (rows, rows)
        if rows > 1:
            assert grid_of(rows * rows + 1, height, width) is None  # with a class token


@settings(max_examples=60, derandomize=True, deadline=None)
@given(sizes=st.lists(st.integers(2, 4), min_size=2, max_size=4), data=st.data())
def test_a_reshape_is_followed_as_values_move(sizes, data):
    axis = data.draw(st.integers(0, len(sizes) - 1))
    cut = data.draw(st.integers(1, len(sizes)))
    new = [math.prod(sizes[:cut]), *sizes[cut:]] if data.draw(st.booleans()) else [*sizes[:cut], math.prod(sizes[cut:])]
    along = torch.arange(sizes[axis]).reshape(-1, *(1,) * (len(sizes) - axis - 1)).expand(sizes)
    found, moved = axis_after_reshape(sizes, new, axis), along.reshape(new)
    alone = [
        place
        for place, size in enumerate(new)
        if torch.equal(moved, torch.arange(size).reshape(-1, *(1,) * (len(new) - place - 1)).expand(new))
    ]
    assert [found] == alone or (found is None and not alone)
