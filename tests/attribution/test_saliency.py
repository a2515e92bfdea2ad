import pytest
import torch
from contracts import CLASSES, assert_same, chance_state, drawn, known_inputs, small_net
from torch import nn

import inputopt

METHODS = ("gradient", "gradient_x_input", "integrated", "smoothgrad")


def linear():
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 3, bias=False)).double()
    with torch.no_grad():
        net[1].weight.copy_(drawn(3, 12, seed=7))
    return net


def test_on_a_linear_network_every_method_knows_the_weights():
    net, x = linear(), torch.rand(4, 1, 3, 4, dtype=torch.float64)
    y = torch.tensor([0, 1, 2, 1])
    weights = net[1].weight.detach()[y].reshape(x.shape)
    assert_same(inputopt.saliency(net, x, y, "gradient"), weights, 1e-12)
    assert_same(inputopt.saliency(net, x, y, "smoothgrad"), weights, 1e-12)
    for method in ("gradient_x_input", "integrated"):
        assert_same(inputopt.saliency(net, x, y, method), weights * x, 1e-12)
        assert_same(inputopt.saliency(net, x, y, method, baseline=0.5), weights * (x - 0.5), 1e-12)
    assert_same(inputopt.saliency(net, x, y, "occlusion", window=1), weights * x, 1e-12)
    whole = inputopt.saliency(net, x, y, "occlusion", window=9)
    assert_same(whole, (weights * x).mean((1, 2, 3), keepdim=True).expand_as(x), 1e-12)


def test_integrated_gradients_add_up_to_what_the_logit_gained():
    net, (x, y) = small_net(), known_inputs()
    base = torch.full((12,), 0.25, dtype=torch.float64)
    with torch.no_grad():
        gained = (net(x) - net(base[None])).gather(1, y[:, None])[:, 0]
    errors = [
        float((inputopt.saliency(net, x, y, samples=samples, baseline=base).sum(1) - gained).abs().max())
        for samples in (8, 64)
    ]
    assert errors[1] < 1e-3 * float(gained.abs().max())
    assert errors[1] < errors[0] / 20  # by the square of the samples


@pytest.mark.parametrize(
    ("name", "same"), [("integrated_gradients", "integrated"), ("input_x_gradient", "gradient_x_input")]
)
def test_a_method_has_the_name_of_other_libraries_too(name, same):
    net, (x, y) = small_net(), known_inputs()
    found = inputopt.saliency(net, x, y, name, samples=4)
    assert_same(found, inputopt.saliency(net, x, y, same, samples=4))
    assert not torch.equal(found, inputopt.saliency(net, x, y, "gradient"))


def test_covering_what_matters_costs_most():
    class Corner(nn.Module):
        def forward(self, x):
            return torch.stack([x[:, :, :4, :4].sum((1, 2, 3)), x.flatten(1).sum(1) * 0], dim=1)

    found = inputopt.saliency(Corner(), torch.full((2, 1, 10, 10), 0.5), [0, 0], "occlusion", window=4)
    assert_same(found[:, :, :4, :4], torch.full((2, 1, 4, 4), 0.5), 1e-6)
    assert float(found.sum()) == pytest.approx(2 * 16 * 0.5)  # and nothing elsewhere


@pytest.mark.parametrize("method", METHODS)
def test_any_rank_and_each_example_by_itself(method):
    x, y = known_inputs()
    whole = inputopt.saliency(small_net(), x, y, method, samples=4)
    assert whole.shape == x.shape
    shaped = inputopt.saliency(small_net(), x.reshape(-1, 3, 4), y, method, samples=4)
    assert_same(shaped.flatten(1), whole, 1e-12)
    part = inputopt.saliency(small_net(), x[[3, 1]], y[[3, 1]], method, samples=4, ids=[3, 1])
    assert_same(part, whole[[3, 1]], 1e-12)


def test_noise_is_seeded_and_its_own():
    (x, y), before = known_inputs(), chance_state()
    first, again, other = (inputopt.saliency(small_net(), x, y, "smoothgrad", seed=seed) for seed in (1, 1, 2))
    assert chance_state() == before
    assert_same(first, again)
    assert not torch.equal(first, other)


def test_the_average_of_a_class_is_the_mean_of_its_inputs():
    x, y = drawn(6, 2, 3), torch.tensor([0, 2, 2, 0, 0, 2])
    found = inputopt.average(x, y, classes=4)
    assert_same(found[0], x[[0, 3, 4]].mean(0), 1e-12)
    assert_same(found[2], x[[1, 2, 5]].mean(0), 1e-12)
    assert_same(found[[1, 3]], torch.zeros(2, 2, 3, dtype=torch.float64))
    assert len(inputopt.average(x, y)) == 3
    with pytest.raises(ValueError, match="one per input"):
        inputopt.average(x, y[:3])


@pytest.mark.parametrize(
    ("changed", "kind", "words"),
    [
        ({"method": "gradcam"}, ValueError, "method"),
        ({"samples": 0}, ValueError, "samples"),
        ({"baseline": torch.zeros(5)}, ValueError, "baseline"),
        ({"baseline": float("nan")}, ValueError, "finite"),
        ({"method": "smoothgrad", "deviation": 0.0}, ValueError, "deviation"),
        ({"method": "occlusion"}, ValueError, "occlusion needs images"),
        ({"y": [CLASSES] * 5}, ValueError, "0..5"),
    ],
)
def test_saliency_refuses(changed, kind, words):
    x, y = known_inputs()
    with pytest.raises(kind, match=words):
        inputopt.saliency(**{"model": small_net(), "x": x, "y": y} | changed)
