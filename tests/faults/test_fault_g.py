"""Faults g: what a forward does to derivatives by itself (checkpointing), and hooks of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from kinds.network import CLASSES, Convolutional, perceptron
from model_state import state_of
from networks import find
from reference import case_of
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import inputopt

A = inputopt.attacks
X = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


# -------------------------------------------------------------------------------------------------------- checkpointing
class Recomputed(nn.Module):
    """A perceptron after a checkpointed layer: some or all of it is recomputed backward."""

    def __init__(self, reentrant: bool, blocks: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Flatten(), nn.Linear(192, 192), nn.Tanh())
        self.body, self.reentrant, self.blocks = perceptron(), reentrant, blocks

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.blocks):
            x = checkpoint(self.first, x, use_reentrant=self.reentrant)
        return self.body(x)


def recomputed(reentrant: bool, blocks: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Recomputed(reentrant, blocks)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("blocks", [1, 3])
def test_both_ways_of_checkpointing_are_searched_alike_and_leave_no_gradient(blocks):
    two = recomputed(True, blocks), recomputed(False, blocks)
    y = two[1](X).argmax(1)
    states = [state_of(net) for net in two]
    for job in (
        lambda net: A.PGD("linf", 0.1, steps=5)(net, X, y).x,
        lambda net: A.DeepFool(steps=5)(net, X, y).x,
        lambda net: A.MinimalNorm("l2", queries=30)(net, X, y).x,
        lambda net: inputopt.evaluate(net, X, y, eps=0.05, preset="quick").x,
        lambda net: inputopt.saliency(net, X, y, "gradient"),
    ):
        one, other = (job(net) for net in two)
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
    assert [state_of(net) for net in two] == states
    assert all(weights.grad is None for net in two for weights in net.parameters())


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_the_gradient_through_a_checkpoint_may_be_asked_for_again():
    """`keep`: there is more to derive."""
    net, plain = inputopt.Frozen(recomputed(True, 1)), recomputed(False, 1).double()
    x, z = X.clone().requires_grad_(), X.double().requires_grad_()
    logits, wanted = net(x), plain(z)
    for column in range(2):
        slope = net.gradient(logits[:, column], x, keep=True)
        (want,) = torch.autograd.grad(wanted[:, column].sum(), z, retain_graph=True)
        torch.testing.assert_close(slope.double(), want, rtol=1e-4, atol=1e-6)
    assert x.grad is None


# ---------------------------------------------------------------------------------------------------------------- hooks
class Seen:
    """Keeps what a hook was called with, by kind of hook."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    def hooked(self, net: nn.Module) -> nn.Module:
        """Hooks of every kind on every module."""
        for module in net.modules():
            module.register_forward_pre_hook(lambda module, given: self.calls.append(("before", given[0])))
            module.register_forward_hook(lambda module, given, out: self.calls.append(("after", out)))
        return net


def convolutional() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Convolutional()


def test_freezing_calls_no_hook():
    seen = Seen()
    net = seen.hooked(convolutional().train())
    before = state_of(net)
    inputopt.Frozen(net)
    frozen = inputopt.Frozen(net, mean=[0.1, 0.2, 0.3], std=2.0)
    frozen.layer_names(), frozen.described(), frozen.first_weights(), frozen.operations(X)
    assert seen.calls == []
    assert state_of(net) == before


USES: dict[str, Callable[[nn.Module], object]] = {
    "logits": lambda net: inputopt.Frozen(net)(X),
    "features": lambda net: inputopt.Frozen(net).features(X, ["bn", "head"]),
    "layers": lambda net: inputopt.Frozen(net).layers(X),
    "attack": lambda net: A.PGD("linf", 0.05, steps=3)(net, X, [0, 1]),
    "evaluate": lambda net: inputopt.evaluate(net, X, [0, 1], eps=0.01, preset="quick"),
    "dream": lambda net: inputopt.dream(net, X[0], ["bn"], octaves=1, steps=2),
}


@pytest.mark.parametrize("use", USES)
def test_hooks_see_real_inputs_of_real_batches_only(use):
    seen = Seen()
    net = seen.hooked(convolutional().train())
    USES[use](net)
    assert seen.calls
    for _, value in seen.calls:
        assert type(value) is Tensor
        assert value.device == X.device
        assert value.shape[0] > 0
        assert bool(value.isfinite().all())
        value.detach().numpy()


def test_hooks_on_the_users_model_are_those_that_were_there():
    """None of ours stays, on it or on what its own hooks refer to."""
    net = convolutional()
    handle = net.bn.register_forward_hook(lambda module, given, out: None)
    for use in USES.values():
        use(net)
    assert [len(module._forward_hooks) for module in net.modules()] == [0, 0, 1, 0]
    handle.remove()
    assert not net.bn._forward_hooks


@pytest.mark.parametrize(
    "name", ["hook that changes an output", "hook between convolution and batch norm", "hook that changes an input"]
)
def test_hooks_that_change_what_passes_are_part_of_the_network(name):
    this = case_of(find(name))
    net = inputopt.Frozen(this.network.made())
    with torch.no_grad():
        assert float((net(this.x) - this.logits).abs().max()) < this.slack
        for layer, value in this.plain_layers(this.x).items():
            torch.testing.assert_close(net.features(this.x, [layer])[layer].double(), value, rtol=0, atol=1e-4)


def test_a_hook_that_is_added_after_freezing_belongs_to_the_users_model_alone():
    net = convolutional().eval()
    frozen = inputopt.Frozen(net)
    with torch.no_grad():
        before = frozen(X)
        net.bn.register_forward_hook(lambda module, given, out: 2 * out)
        torch.testing.assert_close(frozen(X), before, rtol=0, atol=1e-6)


def test_a_hook_that_raises_is_the_models_own_failure():
    net = convolutional()

    def broken(module: nn.Module, given: Any, out: Any) -> None:
        raise LookupError("nothing to look up")

    net.head.register_forward_hook(broken)
    inputopt.Frozen(net)  # nothing has run yet
    for use in ("logits", "attack", "evaluate"):
        with pytest.raises(inputopt.ModelError) as caught:
            USES[use](net)
        assert isinstance(caught.value.__cause__, LookupError)


def test_a_forward_that_catches_everything_is_still_ended_early():
    """What ends a forward behind the last layer that is asked for is not to be caught by the model."""
    ran = []

    class Late(nn.Module):
        def forward(self, h: Tensor) -> Tensor:
            ran.append(len(h))
            return h

    class Careful(Convolutional):
        def __init__(self) -> None:
            super().__init__()
            self.late = Late()

        def forward(self, x: Tensor) -> Tensor:
            try:
                h = torch.relu(self.bn(self.conv(x)))
            except Exception:
                h = x.new_zeros(len(x), 8, 6, 6)
            return self.late(self.read(h))

    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Careful().eval()
    frozen, want = inputopt.Frozen(net), net.bn(net.conv(X))
    torch.testing.assert_close(frozen.features(X, ["bn"])["bn"], want, rtol=0, atol=1e-5)
    ran.clear()
    torch.testing.assert_close(frozen.features(X, ["bn"])["bn"], want, rtol=0, atol=1e-5)
    assert ran == []
    assert frozen(X).shape == (2, CLASSES)
