"""Convolutions of few channels, and how many threads they are given."""

import threading

import pytest
import torch
from contracts import assert_same, drawn
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import inputopt
from inputopt.nets.inference import threads
from inputopt.nets.inference.convolution import convolve, has_few_channels, patch_matrix
from inputopt.nets.model_errors import ModelError

modest = settings(max_examples=40, derandomize=True, deadline=None)
one_or_two = st.tuples(st.integers(1, 3), st.integers(1, 2))


# ------------------------------------------------------------------------------------------------- the same convolution
@modest
@given(
    channels=st.tuples(st.integers(1, 4), st.integers(1, 3)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 4)),
    stride=one_or_two,
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=one_or_two,
    size=st.tuples(st.integers(7, 9), st.integers(7, 10)),
    bias=st.booleans(),
    last=st.booleans(),
)
def test_outputs_and_gradients_are_those_of_conv2d(channels, kernel, stride, padding, dilation, size, bias, last):
    conv = nn.Conv2d(*channels, kernel, stride, padding, dilation, bias=bias).double().requires_grad_(False)
    x = drawn(2, channels[0], *size)
    x = (x.contiguous(memory_format=torch.channels_last) if last else x).requires_grad_()
    expected = conv(x)
    found = convolve(x, conv.weight, patch_matrix(conv.weight), conv.bias, conv, last)
    assert_same(found, expected, 1e-12)
    assert found.is_contiguous(memory_format=torch.channels_last) or not last
    weights = drawn(*expected.shape, seed=1)
    (ours,), (theirs,) = (torch.autograd.grad((output * weights).sum(), x) for output in (found, expected))
    assert_same(ours, theirs, 1e-12)


def test_without_channels_last_the_output_lies_as_torchs_own():
    conv = nn.Conv2d(1, 3, 3).requires_grad_(False)
    x = torch.rand(2, 1, 8, 8)
    found = convolve(x, conv.weight, patch_matrix(conv.weight), conv.bias, conv, False)
    assert found.stride() == conv(x).stride()


def test_only_convolutions_that_are_as_they_look_count():
    assert has_few_channels(nn.Conv2d(3, 4, 3))
    for other in (
        nn.Conv2d(5, 4, 3),
        nn.Conv2d(4, 4, 3, groups=2),
        nn.Conv2d(3, 4, 3, padding_mode="reflect", padding=1),
        nn.Conv2d(3, 4, 3, padding="same"),
        nn.Conv3d(3, 4, 3),
        nn.Linear(3, 4),
    ):
        assert not has_few_channels(other)


def test_a_frozen_convolution_folded_and_channels_last_gives_the_models_gradients():
    torch_state = torch.get_rng_state()
    model = nn.Sequential(nn.Conv2d(3, 5, 3, 2, 1), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 2, 3), nn.Flatten())
    model.double().train()(drawn(8, 3, 8, 8))  # statistics to fold
    model.eval()
    torch.set_rng_state(torch_state)
    net, x = inputopt.Frozen(model), drawn(4, 3, 8, 8, seed=1).requires_grad_()
    assert_same(net(x), model(x), 1e-12)
    assert_same(net.gradient(net(x)[:, 1], x), torch.autograd.grad(model(x)[:, 1].sum(), x)[0], 1e-12)
    assert list(net.optimisations.values())[1:] == ["used"] * 4


# -------------------------------------------------------------------------------------------------------------- threads
@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_small_work_gets_one_thread_and_large_work_all(two_threads):
    with threads.threads_for_numbers(10):
        assert torch.get_num_threads() == 1
        with threads.threads_for_operations(2 * threads.SMALL):
            assert torch.get_num_threads() == 2
        with threads.threads_for_operations(1.0):
            assert torch.get_num_threads() == 1
        with threads.threads_for_operations(0):  # nobody knows how many
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    with threads.threads_for_numbers(threads.FEW + 1):
        assert torch.get_num_threads() == 2


def seen_elsewhere() -> int:
    """How many threads another thread may use, one that has computed nothing yet."""
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return seen[0]


def test_nobody_elses_threads_are_changed(two_threads):
    with threads.threads_for_numbers(10):
        assert (torch.get_num_threads(), seen_elsewhere()) == (1, 2)
    seen: list[int] = []

    def forward(x: torch.Tensor) -> torch.Tensor:
        seen.append(seen_elsewhere())
        return x.flatten(1)[:, :3]

    inputopt.attacks.PGD(steps=2)(forward, torch.rand(2, 3, 2), [0, 1])
    assert set(seen) == {2}


@pytest.mark.skipif(threads._limits() is None, reason="this build of torch computes without OpenMP")
def test_matrix_products_keep_to_the_limit_and_get_back_what_they_had(two_threads):
    limits = threads._limits()
    before = limits.set_products(0)
    limits.set_products(before)
    with threads.threads_for_numbers(10):
        inside = limits.set_products(1)
        assert inside == (0 if limits.products is None else 1)
    after = limits.set_products(before)
    assert after == before


def test_threads_come_back_after_an_exception(two_threads):
    def fail(x):
        assert torch.get_num_threads() in (1, 2)
        raise KeyError("on purpose")

    for manager in (threads.threads_for_numbers(10), threads.threads_for_operations(10)):
        with pytest.raises(KeyError), manager:
            fail(None)
        assert torch.get_num_threads() == 2
    with pytest.raises(ModelError, match="on purpose"):
        inputopt.attacks.FGSM()(fail, torch.rand(2, 3), [0, 1])
    assert torch.get_num_threads() == 2
    with threads.threads_for_numbers(10), threads.threads_for_operations(1e12):
        assert torch.get_num_threads() == 2  # and nothing is left of the count that failed inside


def test_threads_are_as_they_were_after_an_attack(two_threads):
    net = inputopt.MLP([12, 3], "identity", seed=0)
    inputopt.attacks.PGD(steps=3)(net, torch.full((4, 12), 0.5), [0, 1, 2, 0])
    assert torch.get_num_threads() == 2
