"""What makes the private copy quick is verified: on odd networks it is right or dropped, and a lie is found."""

import random
import threading

import pytest
import torch
from odd_networks import Net, X, assert_as_plain, seeded
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations, prune

import inputopt
from inputopt.nets.inference import convolution, folding, network, rectifier
from inputopt.nets.inference.rewriting import CHANNELS_LAST, FEW_CHANNELS, FOLDED_NORMS, INPLACE_RELUS

WIDE = "float32 arithmetic"


def bodied(body, **modules):
    """A `Net` with another body, and other modules."""

    class Other(Net):
        def __init__(self):
            super().__init__()
            for name, make in modules.items():
                setattr(self, name, make())

    Other.body = body
    return Other


def used(frozen):
    return {kind for kind, said in frozen.optimisations.items() if said == "used"}


# --------------------------------------------------------------------------------------------------- the kinds of fault
class Alias(Net):
    """a1: one convolution under two names."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(self.conv, self.norm, self.act)

    def body(self, x):
        return self.features(x)


class Cached(Net):
    """a5: a tensor made at the first call, another for each size, and the last one kept with its history."""

    def __init__(self):
        super().__init__()
        self.grid, self.sizes = None, {}

    def body(self, x):
        if self.grid is None:
            self.grid = torch.ones_like(x[:1, :1])
        self.sizes.setdefault(tuple(x.shape[2:]), torch.full_like(x[:1, :1], 2.0))
        self.last = super().body(x * self.grid) * self.sizes[tuple(x.shape[2:])].mean()
        return self.last


class Viewed(nn.Module):
    """d2: the network of a well-known tutorial, which flattens with view."""

    def __init__(self):
        super().__init__()
        self.conv1, self.pool, self.conv2 = nn.Conv2d(3, 6, 3), nn.MaxPool2d(2, 2), nn.Conv2d(6, 16, 2)
        self.head = nn.Linear(64, 4)

    def forward(self, x):
        x = self.pool(torch.relu(self.conv1(x)))
        return self.head(torch.relu(self.conv2(x)).view(-1, 64))


def strided(net, x):
    y = net.norm(net.conv(x))
    return torch.as_strided(y, y.shape, (288, 36, 6, 1))


def exchanged(net, x):
    own = net.conv.weight.data
    net.conv.weight.data = own * 2
    try:
        return Net.body(net, x)
    finally:
        net.conv.weight.data = own


def written(net, x):
    net.conv.weight.data.clamp_(-0.1, 0.1)  # by a tensor of its own, whose count of writes nobody else sees
    return Net.body(net, x)


def normed(net, x):
    net.norm.running_var.data.fill_(2.0)
    return Net.body(net, x)


class Called(Net):
    """Called with weights that are none of its own parameters."""

    def forward(self, x):
        weights = {name: value * 1.5 for name, value in self.named_parameters()}
        return torch.func.functional_call(_Bare(self), {f"net.{name}": value for name, value in weights.items()}, (x,))


class _Bare(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return Net.forward(self.net, x)


def pruned():
    net = Net()
    prune.l1_unstructured(net.conv, "weight", 0.5)
    return net


def registered():
    net = Net()
    net.norm.register_forward_hook(lambda module, given, output: output * 2)
    net.conv.register_forward_pre_hook(lambda module, given: (given[0] + 1,))
    return net


def exported():
    return torch.export.export(seeded(Net), (X,)).module()


ODD = {
    "plain": Net,
    "under two names": Alias,
    "tied, read by another operation": bodied(
        lambda net, x: functional.conv_transpose2d(Net.body(net, x), net.conv.weight), head=lambda: nn.Linear(3, 4)
    ),
    "tied, read as a number": bodied(lambda net, x: Net.body(net, x) * net.conv.weight.norm()),
    "statistics read": bodied(lambda net, x: Net.body(net, x) + net.norm.running_var.sum()),
    "attributes read": bodied(
        lambda net, x: Net.body(net, x).reshape(-1, net.norm.num_features, 6, net.conv.out_channels - 2)
    ),
    "spectral norm": lambda: nn.Sequential(
        parametrizations.spectral_norm(nn.Conv2d(3, 8, 3)), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(288, 4)
    ),
    "weight norm": lambda: nn.Sequential(
        parametrizations.weight_norm(nn.Conv2d(3, 8, 3)), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(288, 4)
    ),
    "orthogonal": lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), parametrizations.orthogonal(nn.Linear(288, 4))
    ),
    "pruned": pruned,
    "kept tensors": Cached,
    "view": Viewed,
    "strides written down": bodied(strided),
    "strides read": bodied(lambda net, x: net.conv(x) if net.conv(x).stride(1) == 1 else Net.body(net, x)),
    "weights exchanged in forward": bodied(exchanged),
    "weights written in forward": bodied(written),
    "statistics written in forward": bodied(normed),
    "weights given from outside": Called,
    "users hooks": registered,
    "seen by a mask": bodied(lambda net, x: net.norm(y := net.conv(x)) * (y.detach() > 0)),
    "rectified for nothing": bodied(
        lambda net, x: (y := net.norm(net.conv(x)), net.act(y))[0], act=lambda: nn.ReLU(inplace=True)
    ),
    "written to by the next line": bodied(
        lambda net, x: net.act(net.norm(net.conv(x)).add_(1)), act=lambda: nn.ReLU(inplace=True)
    ),
    "norm without statistics": lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, track_running_stats=False), nn.Flatten(), nn.Linear(288, 4)
    ),
    "norm without weights": lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, affine=False), nn.ReLU6(), nn.Flatten(), nn.Linear(288, 4)
    ),
    "exported": exported,
    "mapped over the batch": bodied(lambda net, x: torch.func.vmap(lambda one: Net.body(net, one[None])[0])(x)),
    "transposed convolution": lambda: nn.Sequential(
        nn.ConvTranspose2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_an_odd_network_is_as_the_plain_one(kind):
    exported = kind == "exported"  # for batches of this size, with a mode that cannot be set
    assert_as_plain(ODD[kind]() if exported else seeded(ODD[kind]), alone=not exported)


def test_a_one_dimensional_and_a_three_dimensional_network():
    line = seeded(
        lambda: nn.Sequential(nn.Conv1d(3, 5, 3), nn.BatchNorm1d(5), nn.ReLU(), nn.Flatten(), nn.Linear(310, 4))
    )
    frozen = assert_as_plain(line, X.flatten(2))
    assert used(frozen) == {FOLDED_NORMS, INPLACE_RELUS}
    cube = seeded(
        lambda: nn.Sequential(nn.Conv3d(1, 5, 3), nn.BatchNorm3d(5), nn.ReLU6(), nn.Flatten(), nn.Linear(180, 4))
    )
    assert used(assert_as_plain(cube, X[:, None])) == {FOLDED_NORMS, INPLACE_RELUS}


def test_the_reasons_can_be_read():
    frozen = inputopt.Frozen(seeded(Viewed))
    assert set(frozen.optimisations) == {WIDE, FOLDED_NORMS, INPLACE_RELUS, CHANNELS_LAST, FEW_CHANNELS}
    assert set(frozen.optimisations.values()) == {"decided at the first input"}
    frozen(X)
    assert frozen.optimisations == {
        WIDE: "not used: no weight is of half precision",
        FOLDED_NORMS: "not used: no convolution output is read by a batch norm only",
        INPLACE_RELUS: "not used: no output of a folded batch norm is read by a ReLU only",
        CHANNELS_LAST: frozen.optimisations[CHANNELS_LAST],
        FEW_CHANNELS: "used",
    }
    assert frozen.optimisations[CHANNELS_LAST].startswith("not used: raised RuntimeError: view size is not compatible")
    assert used(assert_as_plain(seeded(Net))) == {FOLDED_NORMS, INPLACE_RELUS, CHANNELS_LAST, FEW_CHANNELS}
    mlp = inputopt.Frozen(inputopt.MLP([3, 2]))
    mlp(torch.rand(1, 3))
    assert used(mlp) == set()


def test_buffers_written_in_forward_are_the_copys():
    class Counting(Net):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def body(self, x):
            self.calls += 1
            self.seen = self.calls.clone()
            return super().body(x)

    net = seeded(Counting)
    frozen = inputopt.Frozen(net)
    torch.testing.assert_close(frozen(X), Net.forward(seeded(Net), X), rtol=1e-5, atol=1e-5)
    assert (float(net.calls), "seen" in vars(net)) == (0, False)
    assert used(frozen) == {FOLDED_NORMS, INPLACE_RELUS, CHANNELS_LAST, FEW_CHANNELS}


# ------------------------------------------------------------------------------------------- inputs that go another way
def by_count(net, x):
    y = net.conv(x)
    return net.act(net.norm(y)) + (y if len(x) > 2 else 0)


def by_size(net, x):
    y = net.conv(x)
    return net.act(net.norm(y)) + (y if x.shape[-1] > 8 else 0)


def by_numbers(net, x):
    y = net.conv(x)
    return net.act(net.norm(y)) + (y if float(x.detach().mean()) > 0.6 else 0)


def by_list(net, x):
    y = net.conv(x)
    return net.act(net.norm(y)) + (y if x.detach().mean().tolist() > 0.6 else 0)


def by_array(net, x):
    y = net.conv(x)
    return net.act(net.norm(y)) + (y if x.detach().numpy().mean() > 0.6 else 0)


def without_norm(net, x):
    y = net.conv(x)
    return net.act(net.norm(y) if x.shape[-1] <= 8 else y)


def through_another(net, x):
    return net.act(net.norm(net.conv(x) if x.shape[-1] <= 8 else net.other(x)))


MAX_PATHS = {
    "by the count": (by_count, [X[:1], X[:2], X, X[:4]]),
    "by the size": (by_size, [X, X.repeat(1, 1, 2, 2)]),
    "by the numbers": (by_numbers, [X, X + 0.5, X]),
    "by numbers in a list": (by_list, [X, X + 0.5, X]),
    "by numbers in an array": (by_array, [X, X + 0.5, X]),
    "without the norm": (without_norm, [X, X.repeat(1, 1, 2, 2), X]),
    "through another convolution": (through_another, [X, X.repeat(1, 1, 2, 2), X]),
}


@pytest.mark.parametrize("first", ["without gradients", "with gradients"])
@pytest.mark.parametrize("way", MAX_PATHS)
def test_inputs_that_go_another_way(way, first):
    body, batches = MAX_PATHS[way]
    net = seeded(bodied(body, other=lambda: nn.Conv2d(3, 8, 3)))
    frozen = inputopt.Frozen(net)
    for x in batches:
        if first == "with gradients":
            y = x.clone().requires_grad_()
            torch.testing.assert_close(frozen(y), net(x), rtol=2e-5, atol=2e-5)
        assert_as_plain(net, x, frozen=frozen)


def test_a_forward_that_counts_its_calls_and_goes_by_it():
    class Counting(Net):
        count = 0

        def body(self, x):
            self.count += 1
            y = self.conv(x)
            return self.act(self.norm(y)) + (y if self.count > 12 else 0)

    net = seeded(Counting)
    frozen = inputopt.Frozen(net)
    plain, other = Net.forward(seeded(Net), X), seeded(bodied(by_count))(X)
    seen = []
    for _ in range(12):
        x = X.clone().requires_grad_()
        logits = frozen(x)
        near = [torch.allclose(logits, each, rtol=1e-4, atol=1e-5) for each in (plain, other)]
        assert any(near), "never a mixture of the two"
        seen.append(near.index(True))
    assert seen == sorted(seen)
    assert set(seen) == {0, 1}


def test_a_size_that_goes_the_same_way_is_compared_once_by_what_it_puts_out():
    frozen = inputopt.Frozen(seeded(Net))
    frozen.features(X.clone().requires_grad_(), ["act"])
    before = frozen._network.checks
    for _ in range(3):
        for size in (9, 12, 17):
            frozen.features(torch.rand(5, 3, size, size).requires_grad_(), ["act"])
    assert frozen._network.checks == before + 3 * 2  # a forward of two rows each, and no backward
    frozen(X.clone().requires_grad_())  # further than it was ever seen to go
    assert frozen._network.checks > before
    assert used(frozen) == {FOLDED_NORMS, INPLACE_RELUS, CHANNELS_LAST, FEW_CHANNELS}


def test_a_network_that_always_goes_another_way_is_left_alone():
    class Growing(Net):
        def body(self, x):
            self.count = getattr(self, "count", 0) + 1
            y = super().body(x)
            for _ in range(self.count):
                y = y + 0
            return y

    net = seeded(Growing)
    frozen = inputopt.Frozen(net)
    for _ in range(network.MAX_PATHS + 2):
        frozen(X.clone().requires_grad_())
    assert "change from call to call" in frozen.optimisations[FOLDED_NORMS]
    count = net.count = frozen._network.runner.model.count
    frozen(X.clone().requires_grad_())
    assert frozen._network.runner.model.count == count + 1, "one forward, and no look at it"


# ------------------------------------------------------------------------------------------------------ lies are found
def lie_in_folding(monkeypatch):
    right = folding.fold_weights
    monkeypatch.setattr(folding, "fold_weights", lambda pair: [part * 1.001 for part in right(pair)])
    return FOLDED_NORMS


def lie_in_the_forward(monkeypatch):
    right = convolution.convolve
    monkeypatch.setattr(convolution, "convolve", lambda *given: right(*given) + 1e-3)
    return FEW_CHANNELS


def lie_in_the_backward(monkeypatch):
    right = convolution._Convolve.backward
    monkeypatch.setattr(convolution._Convolve, "backward", staticmethod(lambda ctx, grad: right(ctx, 1.1 * grad)))
    return FEW_CHANNELS


def lie_in_the_rectifier(monkeypatch):
    monkeypatch.setattr(rectifier, "rectify_over", lambda module, x: x.clamp_(min=0.01))
    return INPLACE_RELUS


def lie_in_the_rectifiers_backward(monkeypatch):
    class Through(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x.relu_())
            return x

        @staticmethod
        def backward(ctx, grad):
            return grad

    monkeypatch.setattr(rectifier, "rectify_over", lambda module, x: Through.apply(x))
    return INPLACE_RELUS


def raise_in_the_backward(monkeypatch):
    def backward(ctx, grad):
        raise RuntimeError("no way back")

    monkeypatch.setattr(convolution._Convolve, "backward", staticmethod(backward))
    return FEW_CHANNELS


LIES = [
    lie_in_folding,
    lie_in_the_forward,
    lie_in_the_backward,
    lie_in_the_rectifier,
    lie_in_the_rectifiers_backward,
    raise_in_the_backward,
]


@pytest.mark.parametrize("lie", LIES)
def test_a_rewrite_that_lies_is_found_and_only_it_is_dropped(monkeypatch, lie):
    kind = lie(monkeypatch)
    frozen = assert_as_plain(seeded(Net))
    dropped = {FOLDED_NORMS, INPLACE_RELUS} if kind == FOLDED_NORMS else {kind}
    assert used(frozen) == {FOLDED_NORMS, INPLACE_RELUS, CHANNELS_LAST, FEW_CHANNELS} - dropped
    said = frozen.optimisations[kind]
    assert (
        "raised RuntimeError: no way back" if lie is raise_in_the_backward else "but rounding explains only"
    ) in said


def test_two_lies_at_once_leave_the_plain_network(monkeypatch):
    lie_in_folding(monkeypatch)
    lie_in_the_backward(monkeypatch)
    assert used(assert_as_plain(seeded(Net))) == set()


def test_a_network_whose_derivative_was_zero_is_verified_where_it_is_not(monkeypatch):
    lie_in_the_backward(monkeypatch)
    net = seeded(Net)
    net.norm.weight.data.fill_(1.0)
    net.norm.bias.data.fill_(0.0)
    net.conv.bias.data.fill_(0.0)
    net.norm.running_mean.fill_(1.0)
    frozen = inputopt.Frozen(net)
    dead = torch.zeros_like(X).requires_grad_()  # every unit is at rest there, and nothing can be told of derivatives
    assert not frozen.gradient(frozen(dead).sum(1), dead).any()
    assert_as_plain(net, 9 * X, frozen=frozen)
    assert FEW_CHANNELS not in used(frozen)


@pytest.mark.parametrize("way", ["register_full_backward_hook", "register_full_backward_pre_hook"])
def test_hooks_on_derivatives_see_those_that_are_asked_for(way):
    net, seen = seeded(Net), []
    getattr(net.norm, way)(lambda module, *grads: seen.append(grads[-1][0].clone()))
    frozen = inputopt.Frozen(net)
    frozen(X)
    y = X.clone().requires_grad_()
    frozen.gradient(frozen(y)[:, 1], y)
    assert [tuple(grad.shape) for grad in seen] == [(5, 8, 6, 6)]
    assert "backward hooks would also be called" in frozen.optimisations[CHANNELS_LAST]


# -------------------------------------------------------------------------------------------- what cannot be compared
class Random(Net):
    def body(self, x):
        return functional.dropout(super().body(x), 0.5, training=True)


def test_a_random_network_is_run_as_it_is():
    net = seeded(Random)
    frozen = inputopt.Frozen(net)
    torch.manual_seed(5)
    expected = [net(X) for _ in range(3)]
    torch.manual_seed(5)
    for one in expected:  # and draws what it would have drawn by itself, though it was looked at first
        torch.testing.assert_close(frozen(X), one, rtol=0, atol=0)
    assert set(frozen.optimisations.values()) == {
        "not used: no weight is of half precision",
        "not used: its forward draws random numbers, so two runs cannot be compared",
    }


def test_dropout_that_drops_nothing_is_not_random():
    class Tokens(Net):
        def __init__(self):
            super().__init__()
            self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.3, batch_first=True)

        def body(self, x):
            return self.layer(super().body(x).flatten(2).transpose(1, 2)).transpose(1, 2)[..., None]

    frozen = assert_as_plain(seeded(Tokens))
    assert used(frozen) == {FOLDED_NORMS, INPLACE_RELUS, CHANNELS_LAST, FEW_CHANNELS}


def test_answers_that_change_without_a_draw_of_torch():
    generator = random.Random(3)

    class Noisy(Net):
        def body(self, x):
            return super().body(x) * (1 + generator.random())

    frozen = inputopt.Frozen(seeded(Noisy))
    frozen(X)
    assert frozen.optimisations[CHANNELS_LAST] == "not used: its outputs for the same inputs differ from call to call"


def test_batches_of_one_size_only():
    class Fixed(Net):
        def forward(self, x):
            return super().forward(x.reshape(5, 3, 8, 8))

    net = seeded(Fixed)
    frozen = inputopt.Frozen(net)
    torch.testing.assert_close(frozen(X), net(X), rtol=1e-5, atol=1e-6)
    assert used(frozen) == {FOLDED_NORMS, INPLACE_RELUS, CHANNELS_LAST, FEW_CHANNELS}


# ------------------------------------------------------------------------------------------------------------ the price
class Counted(Net):
    """Notes how many rows it was run on."""

    rows = 0

    def forward(self, x):
        Counted.rows += len(x)
        return super().forward(x)


@pytest.mark.parametrize("kind", [Counted, lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 4))])
def test_verifying_costs_less_than_a_fiftieth_of_an_attack(kind):
    net = seeded(kind)
    Counted.rows = 0
    x = X.repeat(10, 1, 1, 1)
    attack = inputopt.attacks.PGD(steps=40, eps=1e-6)
    frozen = inputopt.Frozen(net)
    attack(frozen, x, net(x).argmax(1))
    assert frozen.optimisations[CHANNELS_LAST] != "decided at the first input"
    assert frozen._network.checks <= 0.02 * frozen.forwards
    if kind is Counted:
        assert Counted.rows == len(x) + frozen.forwards + frozen._network.checks


def test_a_network_with_nothing_to_rewrite_is_looked_at_once():
    frozen = inputopt.Frozen(inputopt.MLP([192, 4]))
    for count in (1, 5, 3):
        frozen(X[:count])
        frozen(X[:count].clone().requires_grad_())
    assert frozen._network.checks == 1
    assert frozen.forwards == 18


# -------------------------------------------------------------------------------------------------- nobody else notices
@pytest.mark.filterwarnings("error")
def test_neither_tracing_nor_hooks_of_all_modules():
    """a6, g2: nothing but real inputs reaches the user's hooks, and other threads see none of it."""
    net, seen, stop, errors = seeded(Net), [], threading.Event(), []
    net.norm.register_forward_hook(lambda module, given, output: seen.append(type(output)))
    other = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    call = nn.Module.__call__

    def unrelated():
        while not stop.is_set():
            x = torch.rand(2, 4, requires_grad=True)
            try:
                torch.autograd.grad(other(x).sum(), list(other.parameters()))
            except Exception as error:
                errors.append(error)

    thread = threading.Thread(target=unrelated)
    thread.start()
    try:
        frozen = inputopt.Frozen(net)
        assert seen == []
        for _ in range(10):
            inputopt.Frozen(net)(X)
            frozen.features(X, ["conv", "head"])
            assert nn.Module.__call__ is call
            assert not nn.modules.module._global_forward_hooks
    finally:
        stop.set()
        thread.join()
    assert errors == []
    assert set(seen) == {torch.Tensor}
