"""The private copy: of almost every model, leading to nothing of the user's, in the mode that its own eval() means."""

import copy
import functools
import gc
import pickle
import threading
import weakref

import pytest
import torch
from contracts import fingerprint
from odd_networks import Net, X, assert_as_plain, seeded
from torch import nn

import inputopt
from inputopt.nets.inference.copying import private_copy
from inputopt.nets.model_errors import ModelError


def private(frozen):
    return frozen._network.runner.is_private


# --------------------------------------------------------------------------------------------- what cannot be copied
class Holder(Net):
    """Holds things that cannot be copied, deep inside as well."""

    def __init__(self, held):
        super().__init__()
        self.held, self.deep = held, {"list": [held, (held,)]}
        self.conv.note = held


def generated():
    yield 1


HELD = {
    "lock": threading.Lock,
    "generator": generated,
    "module of Python": lambda: threading,
    "random generator": torch.Generator,
    "tensor with a history": lambda: torch.rand(2, requires_grad=True) * 2,
    "weak reference": lambda: weakref.ref(X),
    "file": lambda: open(__file__),  # noqa: SIM115  # closed by the test
}


@pytest.mark.parametrize("kind", HELD)
def test_what_cannot_be_copied_does_not_matter(kind):
    held = HELD[kind]()
    net = seeded(lambda: Holder(held))
    frozen = assert_as_plain(net)
    assert private(frozen)
    assert net.held is held
    if kind == "file":
        held.close()


def test_random_generators_are_its_own():
    class Noisy(Holder):
        def forward(self, x):
            return super().forward(x) + torch.rand(1, generator=self.held)

    generator = torch.Generator().manual_seed(4)
    net = seeded(lambda: Noisy(generator))
    state = generator.get_state()
    found = inputopt.Frozen(net)(X)
    assert torch.equal(generator.get_state(), state), "the user's draws nothing"
    assert found.shape == (5, 4)


def test_a_tensor_with_a_history_is_copied_without_it():
    net = seeded(lambda: Holder(torch.rand(2, requires_grad=True) * 2))
    kept = private_copy(net).held
    assert kept.grad_fn is None
    assert torch.equal(kept, net.held)
    assert kept.data_ptr() != net.held.data_ptr()


def test_gradients_are_not_copied():
    net = seeded(Net)
    net(X).sum().backward()
    assert all(parameter.grad is None for parameter in private_copy(net).parameters())
    assert all(parameter.grad is not None for parameter in net.parameters())


# ---------------------------------------------------------------------------------- what leads to parts of the model
def with_functions():
    class Functional(Net):
        def __init__(self):
            super().__init__()
            self.step = lambda x: self.act(self.norm(self.conv(x)))
            self.steps = {"all": lambda x: self.step(x)}
            self.bound = self.act.forward
            self.part = functools.partial(torch.mul, other=2.0)
            self.me = weakref.ref(self)

        def body(self, x):
            return self.part(self.bound(self.me().steps["all"](x)))

    return Functional()


def with_a_hook():
    net = Net()
    net.norm.register_forward_hook(lambda module, given, output: output + net.conv.weight.sum())
    return net


def with_another_forward():
    net = Net()
    before = net.forward
    net.forward = lambda x: before(x) * 2
    return net


def recursive():
    net = Net()

    def step(x, times=2):
        return step(net.act(x), times - 1) if times else net.norm(x)

    net.step = step
    net.body = lambda x: net.step(net.conv(x))
    return net


def with_a_default():
    net = Net()
    net.body = lambda x, first=net.conv, *, last=net.act: last(net.norm(first(x)))
    return net


LEADING = [with_functions, with_a_hook, with_another_forward, recursive, with_a_default]


@pytest.mark.parametrize("make", LEADING)
def test_functions_and_references_lead_to_the_copy(make):
    net = seeded(make).train()  # the user's own would now gather statistics, and answer otherwise
    before = fingerprint(net)
    frozen = inputopt.Frozen(net)
    found = frozen(X)
    assert private(frozen)
    assert fingerprint(net) == before
    torch.testing.assert_close(found, net.eval()(X), rtol=1e-5, atol=1e-5)
    net.train()
    with torch.no_grad():
        net.conv.weight.mul_(-1)
    torch.testing.assert_close(frozen(X), found)


def test_a_function_that_counts_still_counts_for_whoever_made_it():
    seen = []
    net = seeded(Net)
    net.norm.register_forward_hook(lambda module, given, output: seen.append(module))
    inputopt.Frozen(net)(X)
    assert seen
    assert net.norm not in seen


# ------------------------------------------------------------------------------------- what is no copy, or cannot be
class Uncopyable(Net):
    def __deepcopy__(self, memo):
        raise RuntimeError("there is one of me")


class HandsItselfOut(Net):
    def __deepcopy__(self, memo):
        return self


class SharesWeights(Net):
    def __deepcopy__(self, memo):
        other = type(self)()
        other.conv.weight = self.conv.weight
        return other


@pytest.mark.parametrize("kind", [Uncopyable, HandsItselfOut, SharesWeights])
def test_a_model_that_cannot_be_copied_is_borrowed(kind):
    net = seeded(kind)
    expected = net(X)
    net.train()
    net.norm.eval()
    before = fingerprint(net)
    frozen = inputopt.Frozen(net)
    assert not private(frozen)
    torch.testing.assert_close(frozen(X), expected)
    y = X.clone().requires_grad_()
    frozen.gradient(frozen.features(y, ["act"])["act"].sum((1, 2, 3)), y)
    assert fingerprint(net) == before
    assert set(frozen.optimisations.values()) == {
        "not used: no weight is of half precision",
        "not used: the model cannot be copied",
    }


class Jobs:
    """What several threads ask of one frozen network, and of its model; what they got wrong."""

    def __init__(self, net):
        self.net, self.frozen, self.errors = net, inputopt.Frozen(net), []
        plain, y = seeded(Net), X.clone().requires_grad_()
        self.logits = plain(y)
        (self.slope,) = torch.autograd.grad(self.logits.sum(), y)
        self.inner = plain.norm(plain.conv(X)).detach()

    def call(self):
        return self.frozen(X), self.logits

    def features(self):
        return self.frozen.features(X, ["norm"])["norm"], self.inner

    def gradient(self):
        y = X.clone().requires_grad_()
        return self.frozen.gradient(self.frozen(y).sum(1), y), self.slope

    def another(self):
        return inputopt.Frozen(self.net).features(X, ["conv", ""])[""], self.logits

    def repeat(self, job, begin):
        begin.wait()
        for _ in range(8):
            try:
                torch.testing.assert_close(*job(), rtol=1e-4, atol=1e-5)
            except Exception as error:
                self.errors.append(error)


@pytest.mark.parametrize("kind", [Uncopyable, Net])
def test_threads_neither_race_nor_leave_modes_changed(kind):
    """a7, with everything that one frozen network is asked for, and several of one model."""
    net = seeded(kind).train()
    before = fingerprint(net)
    jobs, begin = Jobs(net), threading.Barrier(4)
    threads = [
        threading.Thread(target=jobs.repeat, args=(job, begin))
        for job in (jobs.call, jobs.features, jobs.gradient, jobs.another)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert jobs.errors == []
    assert fingerprint(net) == before
    assert (jobs.frozen.forwards, jobs.frozen.backwards) == (8 * 3 * 5, 8 * 5)
    assert not any(module._forward_hooks for module in jobs.frozen._network.runner.modules)


# ---------------------------------------------------------------------------------------------------------------- modes
def test_eval_is_the_users_own_and_what_it_returns_is_not_asked():
    class Silent(Net):
        def eval(self):
            super().eval()

        def train(self, mode=True):
            super().train(mode)
            self.norm.training = False

    assert_as_plain(seeded(Silent))

    class SquareState(Net):
        """Keeps its dropout, as Bayesian networks do."""

        def __init__(self):
            super().__init__()
            self.drop = nn.Dropout(0.5)

        def train(self, mode=True):
            super().train(mode)
            self.drop.train()
            return self

        def body(self, x):
            return self.drop(super().body(x))

    frozen = inputopt.Frozen(seeded(SquareState))
    assert not torch.equal(frozen(X), frozen(X))

    class Wrong(Net):
        def train(self):
            return self

    with pytest.raises(ModelError, match=r"own eval\(\) failed \(TypeError"):
        inputopt.Frozen(Wrong())


def test_weights_keep_their_gradients_where_a_forward_derives_by_them():
    class Adapting(Net):
        """Test-time training: a step of the head against a loss of its own before it answers."""

        def forward(self, x):
            with torch.enable_grad():
                features = self.body(x).mean((2, 3))
                loss = self.head(features).square().mean()
                (step,) = torch.autograd.grad(loss, self.head.weight, create_graph=True)
            return nn.functional.linear(features, self.head.weight - step, self.head.bias)

    class Silently(Net):
        """The same with backward(), which says nothing where no weight wants a gradient."""

        def forward(self, x):
            with torch.enable_grad():
                self.head.weight.grad = None
                self.head(self.body(x.detach()).mean((2, 3))).square().mean().backward()
            step = self.head.weight.grad
            weight = self.head.weight if step is None else self.head.weight - step
            return nn.functional.linear(self.body(x).mean((2, 3)), weight, self.head.bias)

    for kind in (Adapting, Silently):
        net = seeded(kind)
        frozen = inputopt.Frozen(net)
        y = X.clone().requires_grad_()
        found, slope = frozen(y), frozen.gradient(frozen(y)[:, 1], y)
        assert all(parameter.grad is None for parameter in net.parameters())
        z = X.clone().requires_grad_()
        expected = net(z)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(slope, torch.autograd.grad(expected[:, 1].sum(), z)[0], rtol=1e-4, atol=1e-6)
        assert not torch.allclose(found, Net.forward(net, X), atol=1e-3), "the step is not nothing"
        assert frozen.optimisations["channels last"] == "not used: its forward computes gradients itself"


# ------------------------------------------------------------------------------------------------------ wrapped modules
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_modules_run_what_they_were_made_from():
    net = seeded(Net)
    compiled = torch.compile(net, backend=refused)
    frozen = inputopt.Frozen(compiled)
    torch.testing.assert_close(frozen(X), net(X), rtol=1e-5, atol=1e-5)
    assert frozen.layer_names() == [name for name, _ in compiled.named_modules() if name]
    norm = frozen.features(X, ["_orig_mod.norm"])["_orig_mod.norm"]
    torch.testing.assert_close(norm, net.norm(net.conv(X)), rtol=1e-5, atol=1e-5)
    assert frozen.optimisations["folded batch norms"] == "used"
    part = seeded(Net)
    part.norm = torch.compile(part.norm, backend=refused)
    torch.testing.assert_close(inputopt.Frozen(part)(X), net(X), rtol=1e-5, atol=1e-5)
    assert isinstance(part.norm, type(compiled))
    within = seeded(Net)
    within.compile(backend=refused)
    torch.testing.assert_close(inputopt.Frozen(within)(X), net(X), rtol=1e-5, atol=1e-5)
    function = torch.compile(lambda x: net(x), backend=refused)
    torch.testing.assert_close(inputopt.Frozen(function)(X), net(X), rtol=1e-5, atol=1e-5)


def refused(graph, inputs):
    raise AssertionError("nothing is compiled")


def test_parallel_modules_run_on_one_device():
    net = nn.DataParallel(seeded(Net))
    frozen = assert_as_plain(net)
    assert frozen.layer_names()[:2] == ["module", "module.conv"]
    assert frozen.features(X, ["module.act"])["module.act"].shape == (5, 8, 6, 6)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("make", [torch.jit.script, lambda net: torch.jit.trace(net, X), "part"])
def test_scripted_and_traced_modules(make):
    """d3: they are copied, derived and run as they are; their inside has no names."""
    if make == "part":
        net = seeded(Net)
        net.head = torch.jit.script(net.head)
        names = ["conv", "norm", "act"]
    else:
        net, names = make(seeded(Net)), []
    frozen = assert_as_plain(net, X)
    assert private(frozen)
    assert frozen.layer_names() == names
    inputopt.attacks.PGD(steps=2)(net, X, [0, 1, 2, 3, 0])
    with pytest.raises(ValueError, match="no named layers" if not names else "Unknown layer 'head'"):
        frozen.features(X, ["head"])
    assert frozen.features(X, [""])[""].shape == (5, 4)


# --------------------------------------------------------------------------------------------------------- travelling
def test_a_frozen_network_can_be_copied_and_sent():
    net = seeded(Net)
    frozen = inputopt.Frozen(net, bounds=(-1, torch.ones(3)), mean=[0.1, 0.2, 0.3], std=0.5)
    expected = frozen(X)
    for other in (
        copy.deepcopy(frozen),
        pickle.loads(pickle.dumps(frozen)),
        pickle.loads(pickle.dumps(copy.copy(frozen))),
    ):
        torch.testing.assert_close(other(X), expected)
        assert other.described() == frozen.described()
        assert other.optimisations["folded batch norms"] == "used"
        assert other.forwards == 2 * frozen.forwards


def test_nothing_is_kept_alive():
    net = seeded(Net)
    frozen = inputopt.Frozen(net)
    frozen(X)
    model, copied = weakref.ref(net), weakref.ref(frozen._network.runner.model)
    del net, frozen
    gc.collect()
    assert model() is None
    assert copied() is None
