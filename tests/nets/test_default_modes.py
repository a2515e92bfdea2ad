"""Whatever is on outside changes nothing inside, and is on again afterwards."""

import inspect
import multiprocessing
import threading

import pytest
import torch
from odd_networks import Net, X, seeded

import inputopt
from inputopt.nets.default_modes import default_modes, isolated

OUTSIDE = {
    "no_grad": torch.no_grad,
    "gradients off": lambda: torch.set_grad_enabled(False),
    "inference mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "a default device": lambda: torch.device("meta"),
}


def modes():
    return torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")


class Asked:
    @default_modes()
    def method(self, first: int, *, second: str = "2") -> tuple[bool, bool, bool]:
        """What is said of it."""
        return modes()


@pytest.mark.parametrize("outside", OUTSIDE)
def test_inside_gradients_are_recorded_and_nothing_else_is_on(outside):
    with OUTSIDE[outside]():
        before = modes()
        with default_modes():
            assert modes() == (True, False, False)
            with torch.no_grad(), default_modes():
                assert modes() == (True, False, False)
        assert modes() == before
        assert Asked().method(1) == (True, False, False)
        with pytest.raises(KeyError), default_modes():
            raise KeyError
        assert modes() == before
        with isolated():
            assert modes() == (before[0], False, False)
        assert modes() == before


def test_what_is_decorated_keeps_its_name_and_signature():
    assert (Asked.method.__name__, Asked.method.__doc__) == ("method", "What is said of it.")
    assert str(inspect.signature(Asked.method)) == "(self, first: int, *, second: str = '2') -> tuple[bool, bool, bool]"


def test_it_holds_for_the_calling_thread_alone():
    seen = []
    with default_modes():
        thread = threading.Thread(target=lambda: seen.append((modes(), torch.get_autocast_dtype("cpu"))))
        thread.start()
        thread.join()
    assert seen == [((True, False, False), torch.bfloat16)]


@pytest.mark.parametrize("outside", OUTSIDE)
@pytest.mark.parametrize("made", ["outside", "inside"])
def test_a_frozen_network_says_the_same_whatever_is_on(made, outside):
    """d1 of the network's side: made, looked at, asked and derived inside."""
    net = seeded(Net)
    expected, layer = net(X).detach(), net.norm(net.conv(X)).detach()
    frozen = inputopt.Frozen(net) if made == "outside" else None
    with OUTSIDE[outside]():
        frozen = inputopt.Frozen(net) if frozen is None else frozen
        given = X.clone()
        for _ in range(2):
            logits = frozen(given)
            torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
            found = frozen.features(given, ["norm"])["norm"]
            torch.testing.assert_close(found, layer, rtol=1e-5, atol=1e-5)
            assert not logits.is_inference()
            assert not logits.requires_grad
        with default_modes():
            y = torch.empty_like(X).copy_(given).requires_grad_()
            slope = frozen.gradient(frozen(y).sum(1), y)
    z = X.clone().requires_grad_()
    torch.testing.assert_close(slope, torch.autograd.grad(net(z).sum(), z)[0], rtol=1e-4, atol=1e-6)
    assert list(frozen.optimisations.values())[1:] == ["used"] * 4


def test_a_network_made_in_inference_mode_can_be_derived():
    with torch.inference_mode():
        net = Net().eval()
    frozen = inputopt.Frozen(net)
    y = X.clone().requires_grad_()
    assert frozen.gradient(frozen(y).sum(1), y).any()
    assert net.conv.weight.is_inference()


def test_deterministic_algorithms_and_warnings_as_errors():
    net = seeded(Net)
    expected = inputopt.Frozen(net)(X)
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        frozen = inputopt.Frozen(net)
        y = X.clone().requires_grad_()
        assert frozen.gradient(frozen(y).sum(1), y).any()
        torch.testing.assert_close(frozen(X), expected)
    finally:
        torch.use_deterministic_algorithms(before)


def ask(frozen, answers):
    y = X.clone().requires_grad_()
    slope = frozen.gradient(frozen(y).sum(1), y)
    answers.put((frozen(X).detach().numpy(), slope.numpy(), frozen.forwards))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system does not fork")
def test_in_a_forked_process():
    frozen = inputopt.Frozen(seeded(Net))
    y = X.clone().requires_grad_()
    slope = frozen.gradient(frozen(y).sum(1), y)
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    process = context.Process(target=ask, args=(frozen, answers))
    process.start()
    logits, other, forwards = answers.get()
    process.join()
    torch.testing.assert_close(torch.from_numpy(logits), frozen(X))
    torch.testing.assert_close(torch.from_numpy(other), slope)
    assert forwards == 15
