"""Faults d: the state that surrounds a call (gradient mode, autocast, default dtype), scripted and compiled models, odd
modes, and models that write to their input. Dtypes and quantised models are in `test_fault_d_dtypes.py`.
"""

from __future__ import annotations

import functools
import multiprocessing
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import pytest
import torch
from contracts import leaves
from in_threads import at_once
from kinds.network import Convolutional, small
from networks import find
from reference import case_of
from torch import Tensor, nn

import inputopt

A = inputopt.attacks


# ------------------------------------------------------------------------------------------ d1: what surrounds the call
def made() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Convolutional()


X = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(4))
Y = torch.tensor([0, 1, 2])
USES: dict[str, Callable[[nn.Module], Any]] = {
    "attack": lambda net: A.PGD("linf", 0.05, steps=4)(net, X, Y),
    "nearest": lambda net: A.MinimalNorm("l2", queries=30)(net, X, Y),
    "without gradients": lambda net: A.Square("linf", 0.05, steps=4)(net, X, Y),
    "evaluate": lambda net: inputopt.evaluate(net, X, Y, eps=0.02, preset="quick").x,
    "saliency": lambda net: inputopt.saliency(net, X, Y, "smoothgrad", samples=2),
    "occlusion": lambda net: inputopt.saliency(net, X, Y, "occlusion", window=4),
    "dream": lambda net: inputopt.dream(net, X[0], ["bn"], octaves=2, octave_scale=1.2, steps=2).x,
    "visualize": lambda net: inputopt.visualize(net, inputopt.Channel("bn", 1), size=8, steps=2).x,
    "waves": lambda net: inputopt.visualize(net, inputopt.Class(1), size=8, steps=2, canvas="fourier").x,
    "invert": lambda net: inputopt.invert(net, X[0], ["bn"], steps=2).x,
    "fool": lambda net: inputopt.fool(net, 1, (3, 8, 8), count=2, steps=3),
    "ascend": lambda net: inputopt.ascend(net, X, Y, steps=3),
    "features": lambda net: inputopt.Frozen(net).features(X, ["bn"])["bn"].detach(),
    "logits": lambda net: inputopt.Frozen(net)(X).detach(),
}


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@contextmanager
def warnings_as_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


AMBIENT: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "set_grad_enabled": lambda: torch.set_grad_enabled(False),
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "float64 by default": lambda: default_dtype(torch.float64),
    "deterministic": deterministic,
    "warnings as errors": warnings_as_errors,
}


def mode() -> tuple[Any, ...]:
    """What surrounds a call."""
    return (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.get_default_dtype(),
        torch.are_deterministic_algorithms_enabled(),
        warnings.filters[:],
    )


@pytest.fixture(scope="module")
def usual() -> dict[str, list[Tensor]]:
    """What each use gives where nothing surrounds it."""
    return {use: list(leaves(job(made()))) for use, job in USES.items()}


def assert_usual(use: str, net: nn.Module, usual: dict[str, list[Tensor]]) -> None:
    found = list(leaves(USES[use](net)))
    for one, other in zip(found, usual[use], strict=True):
        assert not one.is_inference()
        assert not one.requires_grad
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("ambient", AMBIENT)
def test_what_surrounds_a_call_changes_nothing_and_is_not_changed(ambient, usual):
    failed = []
    for use in USES:
        net = made()
        with AMBIENT[ambient]():
            before = mode()
            try:
                assert_usual(use, net, usual)
                assert mode() == before
            except Exception as error:  # all of them are listed
                failed.append(f"{use}: {type(error).__name__} {(str(error).strip() or '?').splitlines()[0]}")
    assert not failed, "\n".join(failed)


def test_tensors_made_in_inference_mode_are_taken(usual):
    with torch.inference_mode():
        x, y, net = X.clone(), Y.clone(), made()
    found = A.PGD("linf", 0.05, steps=4)(net, x, y)
    assert torch.equal(found.x, usual["attack"][0])
    assert not found.x.is_inference()


def test_every_use_works_at_once_in_threads(usual):
    def used(use: str, net: nn.Module) -> None:
        with torch.no_grad():
            assert_usual(use, net, usual)

    assert at_once({use: functools.partial(used, use, made()) for use in USES}) == []


def attacked(queue: Any) -> None:
    """What a process of its own sends home."""
    try:
        queue.put(A.PGD("linf", 0.05, steps=2)(made(), X, Y).x.tolist())
    except BaseException as error:
        queue.put(repr(error))


@pytest.mark.parametrize("start", ["fork"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python 3.12 warns of a fork while threads run
def test_a_process_that_was_forked_after_a_call_attacks_alike(start):
    want = A.PGD("linf", 0.05, steps=2)(made(), X, Y).x.tolist()
    context = multiprocessing.get_context(start)
    queue = context.Queue()
    process = context.Process(target=attacked, args=(queue,), daemon=True)
    process.start()
    try:
        assert queue.get(timeout=60) == want
    finally:
        process.kill()
        process.join()


# ---------------------------------------------------------------------- d2, d3, d4, d6, d7: models as people write them
@pytest.mark.parametrize(
    "name",
    [
        "view after a convolution",
        "view of channels in groups",
        "scripted",
        "traced",
        "compiled",
        "autocast inside",
        "autocast inside and not undone",
        "train returns none",
        "eval returns none",
        "derivative by the input",
        "derivative by the weights",
    ],
)
def test_it_is_attacked_as_it_is_passed_even_under_no_grad(name):
    this = case_of(find(name))
    with torch.no_grad():
        found = A.PGD("linf", 2 * this.eps("linf"), steps=5, step_size=0.5)(this.network.made(), this.x, this.y)
    lead = this.margin(found.x)
    assert bool(found.success.any())
    assert bool((lead[found.success] < this.slack).all())
    assert bool((lead[~found.success] > -this.slack).all())


@pytest.mark.parametrize(("name", "prefix"), [("compiled", "_orig_mod."), ("compiled part", "0._orig_mod.")])
def test_layers_of_compiled_modules_have_the_names_that_torch_gives_them(name, prefix):
    this = case_of(find(name))
    net = inputopt.Frozen(this.network.made())
    for layer, value in this.plain_layers(this.x).items():
        found = net.features(this.x, [prefix + layer])[prefix + layer]
        torch.testing.assert_close(found.double(), value, rtol=0, atol=1e-4)


def test_the_tutorials_network_takes_its_own_size():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.pool, self.conv2 = nn.Conv2d(3, 6, 5), nn.MaxPool2d(2, 2), nn.Conv2d(6, 16, 5)
            self.fc1, self.fc2 = nn.Linear(16 * 5 * 5, 84), nn.Linear(84, 10)

        def forward(self, x: Tensor) -> Tensor:
            h = self.pool(torch.relu(self.conv2(self.pool(torch.relu(self.conv1(x))))))
            return self.fc2(torch.relu(self.fc1(h.view(-1, 16 * 5 * 5))))

    torch.manual_seed(0)
    net, x = Net(), torch.rand(4, 3, 32, 32)
    y = net(x).argmax(1)
    found = A.PGD("linf", 0.1, steps=5)(net, x, y)
    assert torch.equal(net(found.x).argmax(1) != y, found.success)
    torch.testing.assert_close(inputopt.Frozen(net)(x), net(x), rtol=0, atol=1e-6)


# ----------------------------------------------------------------------------------------------- d8: what is written to
WRITES: dict[str, Callable[[Any, Tensor], Any]] = {
    "logits": lambda model, x: inputopt.Frozen(model)(x),
    "square": lambda model, x: A.Square("linf", 0.05, steps=3)(model, x, [0, 1, 2]),
    "pgd": lambda model, x: A.PGD("linf", 0.05, steps=3)(model, x, [0, 1, 2]),
    "nearest": lambda model, x: A.DDN(steps=3)(model, x, [0, 1, 2]),
    "evaluate": lambda model, x: inputopt.evaluate(model, x, [0, 1, 2], eps=0.01, preset="quick"),
    "saliency": lambda model, x: inputopt.saliency(model, x, [0, 1, 2], "gradient"),
    "occlusion": lambda model, x: inputopt.saliency(model, x, [0, 1, 2], "occlusion", window=4),
    "ascend": lambda model, x: inputopt.ascend(model, x, [0, 1, 2], steps=2),
}


def function() -> Callable[[Tensor], Tensor]:
    net = small().eval()
    return lambda x: net(x.sub_(0.5))


@pytest.mark.parametrize("use", WRITES)
@pytest.mark.parametrize(
    "build",
    [
        function,
        find("input normalised in place").made,
        find("rectifier in place comes first").made,
        find("input written through a view").made,
        find("input written at the end").made,
    ],
)
def test_the_callers_x_is_never_written_to_by_their_model(use, build):
    for grad in (nullcontext, torch.no_grad):
        x, model = X.clone(), build()
        version = x._version
        with grad():
            WRITES[use](model, x)
        assert torch.equal(x, X)
        assert x._version == version
        assert not x.requires_grad


def test_a_leaf_that_wants_its_gradient_is_taken_and_left_alone():
    """A variable of the caller's own: written to in place it would raise, or lose its gradient."""
    net = inputopt.Frozen(function())
    x = X.clone().requires_grad_()
    slope = net.gradient(net(x).sum(1), x)
    assert torch.equal(x.detach(), X)
    assert x.grad is None
    assert float(slope.abs().sum()) > 0


def test_a_model_that_writes_only_now_and_then_is_found_out():
    """Its first inputs were left alone."""
    net = small().eval()

    def model(x: Tensor) -> Tensor:
        return net(x.mul_(2) if float(x.detach().mean()) < 0.3 else x)

    frozen = inputopt.Frozen(model)
    for x in (X / 2 + 0.4, X / 4):
        kept = x.clone()
        try:
            with torch.no_grad():
                frozen(x)
        except ValueError as error:
            assert str(error).endswith(".")  # noqa: PT017  # either is right: a clone, or a sentence
        else:
            assert torch.equal(x, kept)
