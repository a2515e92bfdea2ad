"""What a look at a few inputs does not show: copies that lead back, answers that depend on more than the input."""

import functools
import random
import weakref

import numpy as np
import pytest
import torch
from contracts import chance_state
from error_sentences import refused
from torch import nn

import inputopt

A = inputopt.attacks


def body():
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(*layers, nn.Dropout(0.5), nn.Linear(8, 4))


class Leading(nn.Module):
    """Runs a part of itself that it holds in a way that copies do not follow."""

    def __init__(self, hold):
        super().__init__()
        self.body = body()
        self.held, self.call = hold(self.body)

    def forward(self, x):
        return self.call(self.held)(x)


class Plain:
    """An object."""


def in_an_object(part):
    held = Plain()
    held.part = weakref.ref(part)
    return held, lambda held: held.part()


LEADING = {
    "function in a tuple": lambda part: ((lambda x: part(x),), lambda held: held[0]),
    "function in a nested dict": lambda part: (
        {"a": {"b": functools.partial(part.forward)}},
        lambda held: held["a"]["b"],
    ),
    "reference in a list of lists": lambda part: ([[weakref.ref(part)]], lambda held: held[0][0]()),
    "reference in an object": in_an_object,
    "weak values": lambda part: (weakref.WeakValueDictionary({"a": part}), lambda held: held["a"]),
    "cached function": lambda part: (functools.cache(lambda: part), lambda held: held()),
}


@pytest.mark.parametrize("name", LEADING)
def test_a_copy_that_leads_back_to_the_model_is_not_used(name):
    model, x = Leading(LEADING[name]).train(), torch.rand(6, 3, 8, 8)
    with torch.no_grad():
        expected = model.eval()(x)
    model.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    net = inputopt.Frozen(model)
    with torch.no_grad():
        torch.testing.assert_close(net(x), expected, rtol=0, atol=1e-6)
    assert A.PGD(eps=0.1, steps=3)(model, x).x.shape == x.shape
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(module.training for module in model.modules())


class Counting(Leading):
    """Counts its forwards in a buffer."""

    def __init__(self, hold):
        super().__init__(hold)
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x):
        self.count.add_(1)
        return super().forward(x)


class Unique(Counting):
    """Cannot be copied."""

    def __deepcopy__(self, memo):
        raise TypeError("there is but one")


@pytest.mark.parametrize("kind", [Counting, Unique])
def test_a_model_that_would_be_changed_by_its_use_is_refused_and_left_as_it_was(kind):
    model, x = kind(LEADING["weak values"]), torch.rand(6, 3, 8, 8)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    for use in (inputopt.Frozen(model), lambda x: A.PGD(eps=0.1, steps=3)(model, x)):
        refused(functools.partial(use, x), "cannot be copied and its forward writes to its buffer 'count'")
        assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


class Masked(nn.Module):
    """Classes that are ruled out by a large number beside which nothing else counts."""

    def __init__(self, spoil):
        super().__init__()
        self.net, self.spoil = nn.Sequential(nn.Flatten(), nn.Linear(12, 4)), spoil

    def forward(self, x):
        h = self.spoil(self.net(x))
        return torch.cat([h, torch.full_like(h[:, :2], -1e9)], 1)


SIGNS = torch.tensor([1.0, -1, 1, -1])
SPOILED = {
    "noise": (lambda h: h + 0.5 * torch.randn_like(h), "logits are random"),
    "noise where it is bright": (lambda h: h + torch.randn_like(h) * (h.sum(1, keepdim=True) > 0), "logits are random"),
    "mean of the batch": (lambda h: h - h.mean(0), "rest of the batch"),
    "mean of a large batch": (lambda h: h - h.mean(0) if len(h) >= 16 else h, "rest of the batch"),
    "its place": (
        lambda h: h + 0.3 * (torch.arange(len(h)) // 8)[:, None] * torch.tensor([1.0, -1, 1, -1]),
        "rest of the batch",
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SPOILED)
def test_answers_that_depend_on_more_than_the_input_are_found(name):
    spoil, words = SPOILED[name]
    torch.manual_seed(1)
    model, x = Masked(spoil), torch.rand(32, 3, 2, 2)
    with torch.no_grad():
        x = x[model.net(x).sum(1).argsort()]  # the first are dark
        y = torch.cat([model(row[None]) for row in x]).argmax(1)
    report = inputopt.evaluate(model, x, y, eps=0.03, preset="quick")
    assert any(words in said for said in report.warnings), report.warnings
    if words == "rest of the batch":
        found = A.PGD(eps=0.03, steps=5)(model, x, y)
        with torch.no_grad():
            alone = torch.cat([model(row[None]) for row in found.x])
        assert torch.equal(alone.argmax(1) != y, found.success)


class Convolving(nn.Module):
    """A convolution whose output is read in a way of its own."""

    def __init__(self):
        super().__init__()
        self.body = body()


class WithoutGradients(Convolving):
    """Another network where no gradients are recorded."""

    def forward(self, x):
        h = self.body[0](x)
        z = self.body[1](h)
        return self.body[2:](z if torch.is_grad_enabled() else z + h)


class Clamped(Convolving):
    """Clamps the derivative of what a convolution puts out."""

    def forward(self, x):
        h = self.body[0](x)
        if h.requires_grad:
            h.register_hook(lambda grad: grad.clamp(-1e-3, 1e-3))
        return self.body[1:](h)


def test_a_forward_without_gradients_is_compared_too():
    model, x = WithoutGradients().eval(), torch.rand(4, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(inputopt.Frozen(model)(x), model(x), rtol=0, atol=1e-6)


def test_hooks_on_tensors_see_the_derivatives_that_they_would():
    model, x = Clamped().eval(), torch.rand(4, 3, 8, 8)
    slopes = []
    for net in (model, inputopt.Frozen(model)):
        net(torch.rand(2, 3, 8, 8, requires_grad=True) / 1e3)  # where nothing is clamped
        leaf = x.clone().requires_grad_()
        slopes.append(torch.autograd.grad(1e3 * net(leaf)[:, 0].sum(), leaf)[0])
    torch.testing.assert_close(slopes[1], slopes[0], rtol=1e-4, atol=1e-9)


@pytest.mark.filterwarnings("ignore")
def test_inputs_without_an_answer_may_come_first():
    class Dark(nn.Module):
        def forward(self, x):
            logits = torch.stack([x.flatten(1).sum(1), 1 - x.flatten(1).sum(1)], 1)
            return torch.where(x.flatten(1).amax(1, keepdim=True) > 0.2, logits, torch.nan)

    x = torch.cat([torch.full((9, 3), 0.1), torch.rand(9, 3) / 2 + 0.3])
    assert A.PGD(eps=0.01, steps=2)(Dark(), x, [0] * 18).nonfinite.tolist() == [True] * 9 + [False] * 9


X, Y = torch.rand(3, 2, 2), [0, 1, 0]
CALLBACKS = {
    "loss of no rows": (lambda net: A.PGD(steps=2)(net, X, Y, loss=lambda outputs, x, problem: outputs.sum()), "loss"),
    "loss that fails": (lambda net: A.PGD(steps=2)(net, X, Y, loss=lambda outputs: outputs), "loss failed"),
    "loss class": (lambda net: A.PGD(steps=2)(net, X, Y, loss=nn.CrossEntropyLoss), "loss"),
    "goal of numbers": (lambda net: A.PGD(steps=2)(net, X, Y, goal=lambda outputs, problem: outputs[:, 0]), "goal"),
    "half the batch": (lambda net: A.PGD(steps=2, transform=lambda x, problem, draw: x[:1])(net, X, Y), "transform"),
    "of one argument": (lambda net: A.PGD(steps=2, transform=lambda x: x)(net, X, Y), "transform failed"),
    "sparse": (lambda net: A.PGD(steps=2)(net, X.to_sparse(), Y), "dense"),
    "no pixels": (lambda net: A.PGD(steps=2)(net, X[:, :0], Y), "must not be empty"),
    "endless step": (lambda net: A.PGD(steps=2, step_size=1e39)(net, X, Y), "step_size"),
    "words for a mean": (lambda net: inputopt.Frozen(net, mean="a"), "mean and std must be numbers"),
}


@pytest.mark.parametrize("name", CALLBACKS)
def test_what_functions_and_arrays_of_the_users_do_wrong_is_a_sentence(name):
    job, words = CALLBACKS[name]
    refused(lambda: job(nn.Sequential(nn.Flatten(), nn.Linear(4, 3))), words)


class Noisy(nn.Module):
    def __init__(self, draw):
        super().__init__()
        self.body, self.draw = body(), draw

    def forward(self, x):
        return self.body(x + 0.05 * self.draw(x))


NOISE = {
    "torch": torch.randn_like,
    "numpy": lambda x: torch.as_tensor(np.random.standard_normal(x.shape), dtype=x.dtype),
    "python": lambda x: torch.full_like(x, random.random()),
}
MAKING = {
    "fool": lambda net, x: inputopt.fool(net, 1, (3, 8, 8), 2, steps=4).x,
    "ascend": lambda net, x: inputopt.ascend(net, x, steps=4, rate=0.01).x,
    "dream": lambda net, x: inputopt.dream(net, x[0], ["body.0"], octaves=1, steps=2).x,
    "visualize": lambda net, x: inputopt.visualize(net, inputopt.Channel("body.0", 1), size=8, steps=3).x,
    "invert": lambda net, x: inputopt.invert(net, x[0], ["body.0"], 3).x,
    "evolve_images": lambda net, x: inputopt.evolve_images(net, [1], (3, 8, 8), 3, confidence=0.99).pictures[0].x,
    "saliency": lambda net, x: inputopt.saliency(net, x, [0, 1], "smoothgrad", samples=3),
    "attack": lambda net, x: A.PGD(eps=0.1, steps=3)(net, x, [0, 1]).x,
}


@pytest.mark.parametrize("source", NOISE)
@pytest.mark.parametrize("name", MAKING)
def test_what_a_random_network_draws_is_keyed_and_moves_no_generator(name, source):
    net, x = Noisy(NOISE[source]).eval(), torch.rand(2, 3, 8, 8)
    before = chance_state()
    first = MAKING[name](net, x)
    assert chance_state() == before
    torch.manual_seed(5)
    assert torch.equal(MAKING[name](net, x), first)
