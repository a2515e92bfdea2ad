"""The graph of a traced network: equal to the network, or refused in one sentence that names the operation."""

import copy

import numpy as np
import pytest
import torch
from bounded_networks import images, square, user_cnn
from torch import nn
from torch.nn import functional

import inputopt
from inputopt.bounds.network_graph import UnsupportedNetworkError
from inputopt.bounds.tracing import graph_of, trace
from inputopt.nets.activations import ACTIVATIONS


class Run(nn.Module):
    """A function of features [B, 8] between two linear layers."""

    def __init__(self, function):
        super().__init__()
        torch.manual_seed(0)
        self.function = function
        self.first, self.last = nn.Linear(2, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.last(self.function(self.first(x)))


@pytest.fixture(autouse=True)
def _own_generator():
    with torch.random.fork_rng():
        yield


def image_of(z):
    return z.view(len(z), 2, 2, 2)


PRELU = nn.PReLU(8).double()

SUPPORTED = {
    "identity": lambda z: z,
    "relu6": functional.relu6,
    "hardtanh": lambda z: functional.hardtanh(z, -0.25, 0.5),
    "clamp": lambda z: z.clamp(min=-0.2).clamp(max=0.3),
    "leaky": lambda z: functional.leaky_relu(z, 0.2),
    "prelu": lambda z: PRELU(z),
    "abs": lambda z: z.abs(),
    "maximum": lambda z: torch.maximum(z, z.flip(1)),
    "minimum": lambda z: torch.minimum(z, z.flip(1)),
    "silu, gelu": lambda z: functional.silu(z) + functional.gelu(z, approximate="tanh") - functional.gelu(z),
    "softplus": lambda z: functional.softplus(z, beta=2.0) + functional.elu(z),
    "tanh, sigmoid": lambda z: 2 * torch.tanh(z) - torch.sigmoid(z) / 3,
    "in place": lambda z: z.clone().relu_().mul_(2).add_(1),
    "slices": lambda z: torch.cat([z[:, 4:], z[:, :4] * -1], 1),
    "split": lambda z: torch.cat(list(reversed(z.split(4, 1))), 1),
    "stack": lambda z: torch.stack([z, z + 1], 1).sum(1),
    "permute": lambda z: image_of(z).permute(0, 2, 3, 1).reshape(len(z), -1),
    "mean": lambda z: z - z.mean(1, keepdim=True),
    "pad": lambda z: functional.pad(z, (1, 1))[:, :8],
    "rsub": lambda z: 1 - z,
    "constant per element": lambda z: z * torch.arange(8.0) + torch.ones(8),
    "max pooling": lambda z: functional.max_pool2d(image_of(z), 2, 1, 1).flatten(1)[:, :8],
    "adaptive pooling": lambda z: torch.cat([functional.adaptive_avg_pool2d(image_of(z), 1).flatten(1)] * 4, 1),
    "transposed convolution": lambda z: functional.conv_transpose2d(image_of(z), z.new_ones(2, 2, 1, 1)).flatten(1),
    "grouped convolution": lambda z: functional.conv2d(image_of(z), z.new_ones(2, 1, 1, 1), groups=2).flatten(1),
    "1-dimensional convolution": lambda z: functional.conv1d(z[:, None], z.new_ones(1, 1, 3), padding=1)[:, 0],
}


@pytest.mark.parametrize("name", SUPPORTED)
def test_the_graph_is_the_network(name):
    net = Run(SUPPORTED[name]).double()
    x = square(6).double()
    graph = graph_of(inputopt.Frozen(net), x)
    other = square(50, seed=9).double() * 3 - 1
    assert torch.allclose(graph(other), net(other), rtol=1e-12, atol=1e-12)


def test_code_as_people_write_it_with_normalisation():
    net, x = user_cnn(), images(4)
    before = copy.deepcopy(net.state_dict())
    frozen = inputopt.Frozen(net.train(), mean=0.3, std=0.5)
    graph = graph_of(frozen, x)
    assert torch.allclose(graph(images(20, 3).double()).float(), frozen(images(20, 3)), atol=1e-5)
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_every_activation_of_the_package():
    for name in ACTIVATIONS:
        net = inputopt.MLP([2, 4, 3], name, "identity")
        graph = graph_of(inputopt.Frozen(net), square(3))
        assert torch.allclose(graph(square(20).double()).float(), net(square(20)), atol=1e-6), name


def through_numpy(z):
    return z + torch.from_numpy(np.sin(7 * z.detach().numpy()))


def written_to_a_buffer(z):
    kept = torch.zeros(len(z), 8)
    kept[:] = z
    return kept


def by_value(z):
    return z if float(z.sum()) > 0 else -z


REFUSED = {
    "softmax": (lambda z: z.softmax(1), "operation softmax"),
    "product": (lambda z: z * z.flip(1), "product or quotient of two values"),
    "square": (lambda z: z**2, "operation pow"),
    "batch statistics": (lambda z: functional.batch_norm(z, None, None, training=True), "statistics of the batch"),
    "batch mean": (lambda z: z - z.mean(0, keepdim=True), "mean over the batch dimension"),
    "attention": (lambda z: torch.bmm(z.view(-1, 4, 2), z.view(-1, 2, 4)[:, :, :2]).flatten(1), "operation bmm"),
    "reading a value": (by_value, "code that hands values of tensors to Python"),
    "writing to a buffer": (written_to_a_buffer, "operation copy"),
    "a detour": (through_numpy, "other logits than the network"),
    "sorting": (lambda z: z.sort(1).values, "operation sort"),
    "elu of another shape": (lambda z: functional.elu(z, alpha=2.0), "elu with alpha"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_supported_is_refused_in_one_sentence(name):
    function, words = REFUSED[name]
    x = square(3 if name == "batch statistics" else 1)  # one input is the hardest to tell from a constant
    with pytest.raises(UnsupportedNetworkError, match=words) as caught:
        graph_of(inputopt.Frozen(Run(function)), x)
    assert str(caught.value).count(". ") == 0
    assert str(caught.value).endswith(".")


def test_an_operation_beside_the_path_is_no_obstacle():
    def beside(z):
        z.detach().softmax(1)
        return z.relu()

    assert len(graph_of(inputopt.Frozen(Run(beside)), square(2)).activations) == 1


def test_a_view_that_was_overwritten_is_refused():
    def overwritten(z):
        flat = z.view(-1, 4, 2)
        z.relu_()
        return flat.reshape(len(z), 8)

    with pytest.raises(UnsupportedNetworkError, match="in-place operation on a view"):
        graph_of(inputopt.Frozen(Run(lambda z: overwritten(z.clone()))), square(2))


def test_a_traced_network_can_be_differentiated_by_its_weights():
    net = inputopt.MLP([2, 4, 3], "leaky_relu", "identity")
    x = square(5)
    expected = torch.autograd.grad(net(x).sum(), list(net.parameters()))
    found = torch.autograd.grad(trace(net, x)(x).sum(), list(net.parameters()))
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(found, expected, strict=True))
