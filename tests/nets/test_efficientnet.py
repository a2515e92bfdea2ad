"""The real network: any size, the same answers folded, and derivatives that stop early."""

import copy

import pytest
import torch
from photos import batch, frozen_lite0, lite0, pixels
from torch import nn

import inputopt
from inputopt.nets.efficientnet import ConvNorm, EfficientNetLite, padded


def test_the_modules_are_named_as_promised():
    net = lite0()
    assert [name for name, _ in net.named_children()] == ["stem", "blocks", "head", "classifier"]
    assert [name for name, _ in net.blocks.named_children()] == [str(number) for number in range(16)]
    assert sum(parameter.numel() for parameter in net.parameters()) == 4_652_008  # as published


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("size", [(1, 1), (2, 7), (8, 5), (224, 3)])
def test_a_strided_convolution_covers_any_size(kernel, size):
    x = torch.ones(1, 2, *size)
    layer = ConvNorm(2, 4, kernel, 2).eval()
    assert layer(x).shape[2:] == tuple(-(-side // 2) for side in size)
    wide = padded(x, kernel, 2)
    for side, before in zip(wide.shape[2:], size, strict=True):
        assert side == max((-(-before // 2) - 1) * 2 + kernel, before)
    assert float(wide.sum()) == x.numel(), "only zeros are added"
    added = [wide.shape[2] - size[0], wide.shape[3] - size[1]]
    assert bool((wide[..., added[0] // 2 :, added[1] // 2 :][..., : size[0], : size[1]] == 1).all()), "the odd one last"


@pytest.mark.parametrize("size", [(1, 1), (33, 64), (97, 50)])
def test_any_size_works(size):
    with torch.no_grad():
        assert lite0()(torch.full((2, 3, *size), 0.5)).shape == (2, 1000)


def test_every_batch_norm_is_folded_at_no_cost():
    net, fast = lite0(), frozen_lite0()
    x = batch(64, 96)
    with torch.no_grad():
        exact = copy.deepcopy(net).double()(x.double())
        assert float((fast(x) - exact).abs().max()) < 1e-4
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(fast._network._rewrites._pairs) == len(norms) == 49
    assert set(fast.optimisations.values()) == {"used", "not used: no weight is of half precision"}


def test_stopping_early_does_not_change_the_gradient():
    # against autograd through the whole of the user's own model, caught by a hook
    net, x = lite0(), pixels("coffee.png", 64, 80)
    for layer in ("stem.norm", "blocks.4", "blocks.8.depthwise.act", "blocks.8.expand.convolution"):
        caught = []
        handle = net.get_submodule(layer).register_forward_hook(lambda module, inputs, output: caught.append(output))  # noqa: B023
        y = x.clone().requires_grad_()
        net(y)
        handle.remove()
        (whole,) = torch.autograd.grad(caught[0].square().mean(), y)
        z = x.clone().requires_grad_()
        early = frozen_lite0().features(z, [layer])[layer].square().mean(dim=(1, 2, 3))
        mine = frozen_lite0().gradient(early, z)
        torch.testing.assert_close(mine, whole, rtol=1e-3, atol=1e-4 * float(whole.abs().max()))


def test_it_travels_as_a_file(tmp_path):
    net = EfficientNetLite(0.5, 1.0, classes=7).eval()
    inputopt.save(net, tmp_path / "small.safetensors")
    again = inputopt.load(tmp_path / "small.safetensors").eval()
    x = torch.rand(1, 3, 20, 30)
    assert torch.equal(again(x), net(x))
    assert again.config() == {"width": 0.5, "depth": 1.0, "classes": 7}
