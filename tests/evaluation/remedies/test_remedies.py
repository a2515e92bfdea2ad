"""The parts of remedies: repairs that are found, draws, smoothed gradients, fitted heads, and rejection."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import inputopt
from inputopt.attacks.regions import ball_region
from inputopt.evaluation.remedies.adapt import fooled_share
from inputopt.evaluation.remedies.attack_network import AttackNetwork
from inputopt.evaluation.remedies.draws import LEAST, MOST, draws_needed, likeliest_classes
from inputopt.evaluation.remedies.fitted_head import INPUT, feature_taps, with_fitted_head
from inputopt.evaluation.remedies.inspection import inspect
from inputopt.evaluation.remedies.rejection import attack_despite_rejection, reject_class_of
from inputopt.evaluation.remedies.remedy_stages import BOUNDED
from inputopt.evaluation.remedies.smoothed import averaged, content_ids, estimated
from inputopt.evaluation.state import EvaluationState
from inputopt.evaluation.threat import Threat
from inputopt.search.inputs import check_problem
from inputopt.search.norms import find_norm
from inputopt.zoo.digits import load_digits

DIGITS = load_digits()
X, Y = DIGITS.held_x[::100], DIGITS.held_y[::100]


def threat(model, x: Tensor = X, y: Tensor = Y, eps: float = 0.1) -> Threat:
    net = inputopt.Frozen(model)
    problem, traits = check_problem(net, x, y)
    problem = replace(problem, region=ball_region(net, problem, find_norm("linf"), eps, None))
    return Threat(net, problem, traits, "linf", 0)


class Before(nn.Module):
    """A network of digits behind a function of its input and before one of its logits."""

    def __init__(self, before=lambda x: x, after=lambda z: z):
        super().__init__()
        self.net, self.before, self.after = inputopt.load("digits-mlp"), before, after

    def forward(self, x):
        return self.after(self.net(self.before(x)))


def found(model):
    net = inputopt.Frozen(model)
    net(X)
    return inspect(net, X)


@pytest.mark.parametrize("name", ["digits-mlp", "digits-cnn", "digits-cnn-robust"])
def test_a_sound_network_needs_no_likely_repair(name):
    seen = found(inputopt.load(name))
    assert seen.likely == ()
    assert seen.outputs == ()


def test_repairs_are_found_where_they_exist():
    rounding = found(Before(lambda x: torch.round(4 * x) / 4))
    assert [repair.straight_through for _, repair in rounding.likely] == [True, True]
    assert [repair.input_tap is None for _, repair in rounding.likely] == [True, False]
    assert [len(taps) for _, taps in found(Before(after=lambda z: torch.softmax(z, 1))).outputs] == [1]

    def vote(x: Tensor) -> Tensor:
        answers = [net(x).argmax(1) for net in (inputopt.load("digits-mlp"), inputopt.load("digits-cnn"))]
        votes = torch.zeros(len(x), 10)
        for place, answer in enumerate(answers):
            votes[torch.arange(len(x)), answer] += 1 - 0.1 * place
        return votes

    assert [len(taps) for _, taps in found(vote).outputs] == [2]


def test_what_only_some_draws_run_is_found_whatever_the_global_generators():
    def sometimes(x: Tensor) -> Tensor:
        x = x + 0.01 * torch.rand(())
        return torch.round(4 * x) / 4 if random.random() < 0.5 else x

    seen = set()
    for seed in range(6):
        random.seed(seed)
        net = inputopt.Frozen(Before(sometimes))
        net.observed(X)
        assert net.is_random
        seen.add(inspect(net, X).likely)
    assert len(seen) == 1
    assert next(iter(seen))[0][1].straight_through


def test_as_many_draws_as_the_noise_of_the_gradient_asks_for():
    weights = torch.randn(2, 36, generator=torch.Generator().manual_seed(0))

    def noisy(level: float):
        return lambda x: x.flatten(1) @ (weights + level * torch.randn(weights.shape)).T

    x = torch.rand(8, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    needed = {}
    for level in (0.01, 2.5, 100.0):
        given = threat(noisy(level), x, torch.zeros(8, dtype=torch.long))
        assert given.traits.random
        needed[level] = draws_needed(given.net, given, torch.arange(8))
    assert needed[0.01] == LEAST
    assert 4 <= needed[2.5] <= 12  # the squared noise is 2.5 ** 2 = 6.25 times the squared gradient
    assert needed[100.0] == MOST


def test_smoothed_gradients_of_an_input_do_not_depend_on_its_batch():
    net = inputopt.load("digits-mlp")
    for smooth in (averaged, estimated):
        variable = X.clone().requires_grad_()
        outputs = smooth(net, 0.05)(variable)
        assert torch.equal(outputs, net(X))
        (grad,) = torch.autograd.grad(outputs[:, 3].sum(), variable)
        row = X[4:5].clone().requires_grad_()
        (alone,) = torch.autograd.grad(smooth(net, 0.05)(row)[:, 3].sum(), row)
        assert torch.allclose(grad[4:5], alone, atol=1e-4)
        exact = torch.autograd.grad(net(row)[:, 3].sum(), row)[0]
        assert float(nn.functional.cosine_similarity(alone.flatten(), exact.flatten(), 0)) > 0.1
    assert len(content_ids(X).unique()) == len(X)


def test_an_averaged_gradient_sees_through_a_fine_sine():
    def shattered(x: Tensor) -> Tensor:
        return (x + 0.01 * torch.sin(500 * x)).flatten(1) @ torch.ones(784, 2)

    def spread(function) -> float:
        variable = torch.rand(X.shape, generator=torch.Generator().manual_seed(0)).requires_grad_()
        return float(torch.autograd.grad(function(variable)[:, 0].sum(), variable)[0].std())

    assert spread(averaged(shattered, 0.05)) < 0.5 * spread(shattered)


def test_a_fitted_head_has_the_models_predictions_and_a_gradient():
    class Nearest(nn.Module):
        """The class of the nearest training digit by features of the network."""

        def __init__(self):
            super().__init__()
            self.net = inputopt.load("digits-mlp")
            self.bank = self.features(DIGITS.x[::20]).detach()
            self.classes = DIGITS.y[::20]

        def features(self, x):
            return self.net.layers[0](x.flatten(1))

        def forward(self, x):
            nearest = torch.cdist(self.features(x), self.bank).argmin(1)
            return nn.functional.one_hot(self.classes[nearest], 10).float()

    model = Nearest()
    net = inputopt.Frozen(model)
    assert not net(X.clone().requires_grad_()).requires_grad
    taps = feature_taps(net, X)
    assert taps[-1] == INPUT
    assert len(taps) > 1
    ids = torch.arange(len(X))
    variable = X.clone().requires_grad_()
    outputs = with_fitted_head(net, X, taps[0], 0.05, ids)(variable)
    assert torch.equal(outputs.argmax(1), model(X).argmax(1))
    assert (torch.autograd.grad(outputs.amax(1).sum(), variable)[0].flatten(1).abs().amax(1) > 0).all()


def test_a_rejected_input_is_not_fooled():
    def answers(x: Tensor) -> Tensor:
        """Class 0 below 0.45, class 1 above 0.55, class 2 between."""
        value = x[:, :1]
        return torch.cat([0.5 - value, value - 0.5, 0.1 - (value - 0.5).abs()], 1)

    x, y = torch.tensor([[0.1], [0.2], [0.35], [0.9]]), torch.tensor([0, 0, 0, 1])
    assert reject_class_of(y, 3) == 2
    given = threat(answers, x, y, eps=0.3)
    logits = given.net(x)
    state = EvaluationState.at_start(given.net, given.problem, logits, given.traits, 0)
    networks = [AttackNetwork("", given.net, changed=False)]
    seen = attack_despite_rejection(given, networks, state)
    assert seen.robust.tolist() == [True, True, False, True]
    assert str(seen).startswith(
        "Attacks that avoid class 2 leave 75.0 % (95 % interval: 30.1 % to 95.4 %) of the inputs"
    )
    # images of the protocol: the first is rejected, and the second is accepted in a wrong class
    found = replace(state, x=torch.tensor([[0.5], [0.6], [0.35], [0.9]]))
    assert attack_despite_rejection(given, networks, found).robust.tolist() == [True, False, False, True]
    assert attack_despite_rejection(given, [], state).robust.tolist() == [True] * 4


class RandomMember(nn.Module):
    """One of two networks is drawn for each forward: one is easily fooled, the other one never."""

    def __init__(self):
        super().__init__()
        self.weak, self.strong = inputopt.load("digits-mlp"), inputopt.load("digits-mlp")

    def forward(self, x: Tensor) -> Tensor:
        strong = 10 * functional.one_hot(self.strong(X.to(x)).argmax(1), 10)[: len(x)] + 1e-2 * self.strong(x)
        return torch.where(torch.rand(()) < 0.5, self.weak(x), strong.to(x))


def test_the_bounded_loss_gives_its_steps_to_draws_that_can_be_fooled():
    outputs = torch.tensor([[0.2, 0.0, -0.1], [9.0, 0.0, -0.1]], requires_grad=True)
    problem = threat(inputopt.load("digits-mlp"), X[:2], Y[:2]).problem
    problem = replace(problem, label=torch.tensor([0, 0]))
    (grad,) = torch.autograd.grad(BOUNDED(outputs, X[:2], problem).sum(), outputs)
    relative = grad[:, 0] * outputs.detach().std(1)
    assert relative[0] > 1.5 * relative[1] > 0
    targeted = replace(problem, target=torch.tensor([2, 2]))
    (grad,) = torch.autograd.grad(BOUNDED(outputs, X[:2], targeted).sum(), outputs)
    assert (grad[:, 1] == 0).all()
    assert (grad[:, 2] < 0).all()


def test_images_of_a_random_network_are_compared_on_the_same_draws():
    case = threat(RandomMember())
    assert case.traits.stochastic
    again = fooled_share(case, X)
    assert torch.equal(again, fooled_share(case, X))
    assert float((again - 0.5).clamp(min=0).max()) <= 0.2  # the strong member is never fooled


def test_the_likeliest_classes_are_those_of_the_mean_scores():
    case = threat(inputopt.load("digits-mlp"))
    logits = case.net(X).scatter(1, Y[:, None], -torch.inf)
    assert torch.equal(likeliest_classes(case)[:, 0], logits.argmax(1))
