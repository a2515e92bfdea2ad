"""Faults a: private copies that were made quick and are no longer the network; state that is the whole process's.

Modules under two names, tied and parametrised weights, attributes and caches; threads, modes.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable

import pytest
import torch
from in_threads import PATIENCE, at_once
from kinds.network import Convolutional, small
from model_state import state_of
from networks import find
from reference import case_of
from torch import Tensor, nn
from torch.nn.modules import module as torch_modules

import inputopt

# ------------------------------------------------------------------------------------------- a1 to a5: the right values
FAULTS = {
    "a1": ["convolution under two names", "batch norm under two names", "view of a weight kept"],
    "a2": ["tied transposed convolution", "tied linear", "weight read for a scale"],
    "a3": ["features of the batch norm read", "missing bias read", "statistics read again"],
    "a4": ["spectral norm", "orthogonal", "weight norm by hooks"],
    "a5": ["tensor kept from the first call", "tensor kept by shape", "features kept for later"],
}


@pytest.mark.parametrize("name", [name for names in FAULTS.values() for name in names])
def test_accuracy_and_logits_are_those_of_the_model(name):
    this = case_of(find(name))
    model = this.network.made()
    net = inputopt.Frozen(model)
    assert inputopt.evaluate(net, this.x, this.y, eps=0.0, preset="quick").clean_accuracy == 1
    with torch.no_grad():
        assert float((net(this.x) - this.logits).abs().max()) < this.slack
    # every optimisation of the copy is either used or says why not
    assert net.optimisations
    assert all(isinstance(reason, str) and reason for reason in net.optimisations.values())


@pytest.mark.parametrize("name", ["input read by strides", "memory read by strides", "convolution under two names"])
def test_a_first_input_that_shows_nothing_decides_nothing(name):
    """Constant images read alike in any memory layout: what was verified on them alone would be wrong later."""
    this = case_of(find(name))
    net = inputopt.Frozen(this.network.made())
    with torch.no_grad():
        for first in (torch.zeros_like(this.x), torch.full_like(this.x, 0.5), this.x):
            logits = net(first)
    assert float((logits - this.logits).abs().max()) < this.slack


def test_what_holds_for_one_size_of_image_is_not_believed_of_another():
    class StrideReadInLargeImages(Convolutional):
        def read(self, h: Tensor) -> Tensor:
            return super().read(h) * (1.0 if h.shape[-1] < 8 or h.stride(-1) == 1 else -1.0)

    torch.manual_seed(0)
    model = StrideReadInLargeImages().eval()
    net = inputopt.Frozen(model)
    for side in (8, 10, 8, 10):
        x = torch.rand(3, 3, side, side)
        with torch.no_grad():
            torch.testing.assert_close(net(x), model(x), rtol=0, atol=1e-5)


def test_optimisations_say_what_was_used_and_why_not():
    torch.manual_seed(0)
    used, refused = inputopt.Frozen(small()), inputopt.Frozen(find("memory read by strides").made())
    x = torch.rand(2, 3, 8, 8)
    keys = set(used.optimisations)
    for net in (used, refused):
        assert set(net.optimisations) == keys  # also before anything was decided
        with torch.no_grad():
            net(x)
        assert set(net.optimisations) == keys
    assert "used" in used.optimisations.values()
    assert [name for name in keys if used.optimisations[name] != refused.optimisations[name]]


# ---------------------------------------------------------------------------------------------------- a6: other threads
class Unrelated(threading.Thread):
    """Derives a network of its own until it is stopped, and keeps what goes wrong."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
        self.stopped, self.errors, self.rounds = threading.Event(), [], 0

    def run(self) -> None:
        while not self.stopped.is_set() or self.rounds < 20:
            self.rounds += 1
            try:
                value = self.net(torch.rand(2, 4, requires_grad=True)).sum()
                torch.autograd.grad(value, list(self.net.parameters()))
            except Exception as error:
                self.errors.append(repr(error))


def deep() -> nn.Module:
    """Many modules, so that whatever is patched while they run stays patched for long."""
    return copy.deepcopy(DEEP)


def seeded_deep() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)  # with other seeds all rectifiers of a layer may be off, and the gradient zero
        layers = [m for _ in range(10) for m in (nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU())]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(192, 4)).eval()


DEEP = seeded_deep()

USES: dict[str, Callable[[nn.Module, Tensor], object]] = {
    "attack": lambda net, x: inputopt.attacks.PGD(steps=2)(net, x, [0, 1]),
    "features": lambda net, x: inputopt.Frozen(net).features(x, ["3", "20"]),
    "dream": lambda net, x: inputopt.dream(net, x[0], ["3"], octaves=1, steps=2),
    "evaluate": lambda net, x: inputopt.evaluate(net, x, [0, 1], eps=0.0, preset="quick"),
}


@pytest.mark.parametrize("use", USES)
def test_another_threads_modules_go_on_undisturbed(use):
    net, other = deep(), Unrelated()
    other.start()
    for _ in range(4):
        USES[use](net, torch.rand(2, 3, 8, 8))
    other.stopped.set()
    other.join(PATIENCE)
    assert not other.is_alive()
    assert other.errors == []


@pytest.mark.parametrize("use", USES)
def test_nothing_global_is_patched_while_a_model_runs(use):
    """The same without a race: the model itself looks, from inside its forward and from another thread."""
    call, seen = nn.Module.__call__, []

    def look() -> None:
        seen.append(nn.Module.__call__ is call)
        seen.append(not torch_modules._global_forward_hooks and not torch_modules._global_forward_pre_hooks)
        seen.append(not torch_modules._global_backward_hooks and not torch_modules._global_backward_pre_hooks)

    class Looking(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            look()
            thread = threading.Thread(target=look)
            thread.start()
            thread.join()
            return x

    net = deep()
    net[1] = Looking()
    USES[use](net, torch.rand(2, 3, 8, 8))
    assert seen
    assert all(seen)


def test_the_number_of_threads_is_the_same_for_everybody_afterwards_and_meanwhile():
    seen: list[int] = []

    def others() -> None:
        thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        thread.start()
        thread.join()

    class Looking(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            others()
            return x

    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)  # small work is worth fewer threads than that
    try:
        inputopt.attacks.PGD(steps=2)(nn.Sequential(Looking(), deep()), torch.rand(2, 3, 8, 8), [0, 1])
        others()
        assert seen == [before + 1] * len(seen)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


# ------------------------------------------------------------------------------------------------------------ a7: modes
def together(*jobs: Callable[[], object]) -> list[str]:
    """Run the jobs at once, each some times over; what they raised."""
    return at_once({f"job {number}": job for number, job in enumerate(jobs)}, times=4)


class Shared(nn.Module):
    """Cannot be copied, and answers otherwise in training."""

    def __init__(self, refuse: bool = False) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Dropout(), nn.Linear(144, 4))
        self.lock = threading.Lock()
        if refuse:
            self.__dict__["__deepcopy__"] = self.refuse

    def refuse(self, memo: object) -> nn.Module:
        raise TypeError("This model is the only one of its kind.")

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


@pytest.mark.parametrize("refuse", [False, True])
def test_a_model_that_cannot_be_copied_is_used_from_several_threads_and_left_in_training(refuse):
    torch.manual_seed(0)
    net, x = Shared(refuse).train(), torch.rand(4, 3, 8, 8)
    net.body[2].eval()
    before, y = state_of(net), [0, 1, 2, 3]
    results = []
    errors = together(
        lambda: results.append(inputopt.attacks.PGD(steps=4)(net, x, y).x),
        lambda: results.append(inputopt.attacks.PGD(steps=4)(net, x, y).x),
        lambda: inputopt.Frozen(net).features(x, ["body.0"]),
        lambda: inputopt.dream(net, x[0], ["body.0"], octaves=1, steps=2),
    )
    assert errors == []
    assert state_of(net) == before
    assert all(torch.equal(found, results[0]) for found in results)


def test_a_model_that_raises_in_one_thread_is_left_as_it_was_for_all():
    class Failing(Shared):
        def forward(self, x: Tensor) -> Tensor:
            if float(x.detach().amax()) > 2:
                raise RuntimeError("too bright")
            return self.body(x)

    net, x = Failing(refuse=True).train(), torch.rand(2, 3, 8, 8)
    before = state_of(net)
    wide = inputopt.Frozen(net, bounds=(0, 9))
    errors = together(lambda: wide(3 * x + 1), lambda: wide(x), lambda: inputopt.attacks.PGD(steps=3)(net, x, [0, 1]))
    assert len(errors) == 4
    assert all("too bright" in error for error in errors)
    assert state_of(net) == before


def test_one_frozen_network_serves_several_threads():
    torch.manual_seed(0)
    model, x, layer = deep(), torch.rand(3, 3, 8, 8), "7"
    net, want = inputopt.Frozen(model), inputopt.Frozen(model)
    with torch.no_grad():
        logits, features = want(x), want.features(x, [layer])[layer]
    errors = together(
        lambda: torch.testing.assert_close(net(x), logits, rtol=0, atol=1e-5),
        lambda: torch.testing.assert_close(net.features(x, [layer])[layer], features, rtol=0, atol=1e-5),
        lambda: inputopt.attacks.PGD(steps=2)(net, x, [0, 1, 2]),
        lambda: net.features(x, ["0", "20"]),
    )
    assert errors == []
    assert net.forwards >= 4 * (3 + 3 + 3)  # none was lost
