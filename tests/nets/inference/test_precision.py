"""Networks and inputs of any precision: what is computed in which, by the stated rule."""

import copy

import pytest
import torch
from odd_networks import Net, X, seeded, slope
from torch import nn

import inputopt

FLOATS = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
HALF = FLOATS[2:]
WIDE = "float32 arithmetic"


@pytest.mark.parametrize("given", FLOATS)
@pytest.mark.parametrize("weights", FLOATS)
def test_every_network_takes_every_input(weights, given):
    net = seeded(Net).to(weights)
    frozen = inputopt.Frozen(net)
    assert frozen.dtype == (torch.float64 if weights == torch.float64 else torch.float32)
    x = X.to(given)
    double = torch.float64 in (weights, given)
    said = torch.float64 if double else torch.float32
    exact = copy.deepcopy(net).double()
    for _ in range(2):
        logits = frozen(x)
        layers = frozen.features(x, ["norm", ""])
        assert {logits.dtype, layers["norm"].dtype, layers[""].dtype} == {said}
        assert frozen.search_dtype(x) == said
        within = 1e-12 if (weights, given) == (torch.float64, torch.float64) else 2e-5
        torch.testing.assert_close(logits.double(), exact(x.double()), rtol=within, atol=within)
        y = x.clone().requires_grad_()
        grad = frozen.gradient(frozen(y).sum(1), y)
        assert (grad.dtype, grad.shape) == (given, x.shape)
    assert (frozen.optimisations[WIDE] == "used") is (weights in HALF)
    assert next(net.parameters()).dtype == weights


@pytest.mark.parametrize("weights", HALF)
def test_a_network_of_half_precision_is_searched_in_float32(weights):
    net = seeded(Net).to(weights)
    frozen = inputopt.Frozen(net)
    exact = copy.deepcopy(net).double()
    wanted = slope(exact, X.double())
    found = slope(frozen, X, frozen.gradient)
    half = slope(lambda x: net(x.to(weights)).float(), X)
    error, theirs = ((each.double() - wanted).norm() / wanted.norm() for each in (found, half))
    assert error < 1e-5 < 1e-4 < theirs, "its own derivatives are rounded away"
    assert set(frozen.optimisations.values()) == {"used"}


def test_the_description_is_of_the_network_that_was_given():
    net = seeded(Net).half()
    frozen = inputopt.Frozen(net)
    before = frozen.described()
    frozen(X)
    assert frozen.described() == before == inputopt.Frozen(net).described()
    assert before["weights"] != inputopt.Frozen(seeded(Net)).described()["weights"]


class Insists(Net):
    """Casts its inputs to half precision itself, so that its weights have to be."""

    def forward(self, x):
        return self.head(self.body(x.half()).mean((2, 3)).float())


def insisting():
    net = seeded(Insists)
    net.conv.half()
    net.norm.half()
    return net


class Overflows(Net):
    """Means what half precision makes of large numbers."""

    def forward(self, x):
        return self.head((super().body(x) * 60000 + 50000).mean((2, 3)).nan_to_num(posinf=1.0))


def test_a_network_that_insists_on_half_precision_keeps_it():
    net = insisting()
    frozen = inputopt.Frozen(net)
    torch.testing.assert_close(frozen(X), net(X), rtol=1e-2, atol=1e-2)
    assert frozen.optimisations[WIDE].startswith("not used: raised RuntimeError")
    assert frozen(X).dtype == torch.float32
    assert {parameter.dtype for parameter in net.parameters()} == {torch.float16, torch.float32}
    other = seeded(Overflows).half()
    frozen = inputopt.Frozen(other)
    torch.testing.assert_close(frozen(X), other(X.half()).float(), rtol=1e-2, atol=1e-2)
    assert frozen.optimisations[WIDE].startswith("not used: outputs differ by")
    assert {parameter.dtype for parameter in frozen._network.runner.model.parameters()} == {torch.float16}


class Mixed(Net):
    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)).double()).float()


def mixed():
    net = seeded(Mixed)
    net.head.double()
    return net


def first_is_another():
    """The first parameter is of another dtype than the forward takes."""

    class Scaled(Net):
        def __init__(self):
            super().__init__()
            modules = dict(self._modules)
            self._modules.clear()
            self.scale = nn.Linear(1, 1, dtype=torch.float64)
            self._modules.update(modules)

        def forward(self, x):
            return super().forward(x) * self.scale.weight.float()

    return seeded(Scaled)


def complex_weights():
    class Waves(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(192, 4, dtype=torch.complex64))

        def forward(self, x):
            return (torch.fft.fft(x.flatten(1)) @ self.weight).abs()

    return seeded(Waves)


def test_what_it_computes_in_is_what_counts():
    frozen = inputopt.Frozen(first_is_another())
    assert frozen(X).dtype == frozen.dtype == torch.float32


@pytest.mark.parametrize("make", [mixed, first_is_another, complex_weights])
def test_networks_of_several_dtypes(make):
    net = make()
    frozen = inputopt.Frozen(net)
    torch.testing.assert_close(frozen(X).float(), net(X).float(), rtol=1e-4, atol=1e-4)
    for given in FLOATS:
        torch.testing.assert_close(frozen(X.to(given)).float(), net(X.to(given).float()).float(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("weights", FLOATS)
def test_a_function_is_run_in_what_it_takes(weights):
    net = seeded(Net).to(weights)
    frozen = inputopt.Frozen(lambda x: net(x))
    for given in FLOATS:
        found = frozen(X.to(given))
        assert found.dtype == (torch.float64 if torch.float64 in (weights, given) else torch.float32)
        torch.testing.assert_close(found.float(), net(X.to(weights)).float(), rtol=2e-2, atol=2e-2)
    assert frozen.dtype == (torch.float64 if weights == torch.float64 else torch.float32)


@pytest.mark.parametrize("inside", [torch.bfloat16, torch.float16])
def test_autocast_inside_the_forward(inside):
    """d4."""

    class Casting(Net):
        def forward(self, x):
            with torch.autocast("cpu", dtype=inside):
                return super().forward(x)

    net = seeded(Casting)
    frozen = inputopt.Frozen(net)
    with torch.no_grad():
        assert net(X).dtype == inside
        torch.testing.assert_close(frozen(X), net(X).float(), rtol=3e-2, atol=3e-2)
    torch.testing.assert_close(slope(frozen, X, frozen.gradient), slope(net, X), rtol=0.1, atol=0.02)


def test_whole_numbers_are_taken_as_what_the_network_computes_in():
    levels = (255 * X).to(torch.uint8)
    net = seeded(Net)
    frozen = inputopt.Frozen(net, mean=127.5, std=127.5)
    torch.testing.assert_close(frozen(levels), net((levels.float() - 127.5) / 127.5), rtol=1e-5, atol=1e-5)


def test_embeddings_take_whole_numbers_as_they_are():
    net = nn.Sequential(nn.Embedding(10, 4), nn.Flatten(), nn.Linear(12, 3))
    x = torch.tensor([[1, 2, 3], [9, 0, 4]])
    torch.testing.assert_close(inputopt.Frozen(net)(x), net(x))
