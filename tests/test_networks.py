"""Each network of the table works like its plain float64 self, or is refused in one sentence."""

from __future__ import annotations

import functools
import re

import network_checks
import pytest
import torch
from error_sentences import refused
from model_state import state_of
from networks import KINDS, NETWORKS, WORKING
from reference import Case, assert_feasible, assert_judged, assert_owned, case_of, expected, untouched
from torch import Tensor

import inputopt
from inputopt.evaluation import protocols

working = pytest.mark.parametrize("name", WORKING)


def those(**wanted: bool) -> list[str]:
    """The names of the networks whose attributes are so, as truth values."""
    return [
        name
        for name, network in NETWORKS.items()
        if all(bool(getattr(network, attribute)) == value for attribute, value in wanted.items())
    ]


def tried_on(**wanted: bool) -> pytest.MarkDecorator:
    """A test of each of them."""
    return pytest.mark.parametrize("name", those(**wanted))


@functools.cache
def case(name: str) -> Case:
    """Made once: the plain model keeps nothing of a call."""
    return case_of(NETWORKS[name])


def test_the_table_has_at_least_sixty_networks_of_every_kind_each_under_one_name():
    assert len(NETWORKS) == sum(len(kind.networks) for kind in KINDS)
    assert len(WORKING) >= 60


# ------------------------------------------------------------------------------------------------- those that just work
@pytest.mark.parametrize("name", WORKING + those(no_derivative=True))
def test_it_answers_and_derives_as_the_plain_network(name):
    network_checks.check_answers(case(name))


@working
def test_it_is_searched_as_the_plain_network_in_every_norm(name):
    network_checks.check_searches(case(name))


@working
def test_a_preset_and_a_picture_take_it_as_it_is(name):
    network_checks.check_model_as_it_is(case(name))


# ------------------------------------------------------------------------------------------------- without a derivative
DERIVING = {
    "PGD": lambda net, x, y: inputopt.attacks.PGD("linf", 0.1)(net, x, y),
    "DDN": lambda net, x, y: inputopt.attacks.DDN(steps=5)(net, x, y),
    "saliency": lambda net, x, y: inputopt.saliency(net, x, y, "gradient"),
}


@tried_on(no_derivative=True)
def test_what_needs_a_derivative_says_that_there_is_none_and_what_to_use(name):
    this = case(name)
    model = this.network.made()
    for job in DERIVING.values():
        with untouched(model, this.x, this.y):
            refused(lambda job=job: job(model, this.x, this.y), r"gradient with respect to its input.*Square")


@tried_on(no_derivative=True)
def test_square_needs_no_derivative(name):
    this = case(name)
    model, eps = this.network.made(), torch.full((len(this.x),), 0.3)
    with untouched(model, this.x, this.y, eps):
        found = inputopt.attacks.Square("linf", eps, steps=40)(model, this.x, this.y)
    assert bool(found.success.any())
    assert_owned(found, this.x, this.y, eps)
    assert_feasible(this, "linf", eps, found.x)
    assert_judged(this, found)


@tried_on(no_derivative=True)
def test_an_evaluation_runs_what_needs_no_derivative_and_says_so(name, monkeypatch):
    monkeypatch.setitem(protocols.BLACK_BOX, "quick", 30)
    monkeypatch.setitem(protocols.DECISIONS, "quick", 30)
    this = case(name)
    model = this.network.made()
    with untouched(model, this.x, this.y):
        report = inputopt.evaluate(model, this.x, this.y, eps=0.3, preset="quick")
    assert "no_gradient" in {each.id for each in report.indicators}
    assert sum(row.forwards for row in report.attacks) > 0 == sum(row.backwards for row in report.attacks)


# -------------------------------------------------------------------------------------------------------------- refused
REFUSING = {
    **DERIVING,
    "evaluate": lambda net, x, y: inputopt.evaluate(net, x, y, eps=0.1, preset="quick"),
    "Square": lambda net, x, y: inputopt.attacks.Square("linf", 0.1, steps=5)(net, x, y),
    "fool": lambda net, x, y: inputopt.fool(net, 0, tuple(x.shape[1:]), count=2, steps=2),
}


@tried_on(refused=True)
def test_what_is_not_supported_is_refused_in_one_sentence(name):
    network = NETWORKS[name]
    (x, y), model = network.inputs(), network.made()
    for job in REFUSING.values():
        with untouched(model, x, y):
            refused(lambda job=job: job(model, x, y), network.refused)


# ------------------------------------------------------------------------------------------------------------ at random
DRAWS = 150


@torch.no_grad()
def misread(model: inputopt.Frozen, x: Tensor, y: Tensor) -> Tensor:
    """The share of fresh draws, each of its own forward, in which the plain model does not see y, [B]."""
    with torch.random.fork_rng():
        torch.manual_seed(11)
        return torch.stack([model(x).argmax(1) != y for _ in range(DRAWS)]).double().mean(0)


@tried_on(random=True)
def test_a_random_network_is_judged_on_fresh_draws(name):
    network = NETWORKS[name]
    (x, y), plain, model = network.inputs(), network.plain(), network.made()
    before, state = torch.get_rng_state(), state_of(model)
    with expected(network):
        found = inputopt.attacks.PGD("linf", 0.05, steps=8)(model, x, y)
    assert torch.equal(torch.get_rng_state(), before)
    assert state_of(model) == state
    share = misread(plain, found.x, y)
    sure = (share - 0.5).abs() > 0.25
    assert torch.equal(found.success[sure], share[sure] > 0.5)
    assert torch.equal(found.success, found.success_rate > 0.5)
    assert float((found.success_rate - share).abs().max()) < 0.35  # four deviations of the mean of 32 draws


@pytest.mark.parametrize(
    "name", ["dropout kept active", "noise from numpy", "noise from its own generator", "member of an ensemble drawn"]
)
def test_a_random_network_has_a_mean_accuracy_with_an_interval(name):
    network = NETWORKS[name]
    (x, y), plain, model = network.inputs(), network.plain(), network.made()
    before = torch.get_rng_state()
    with expected(network):
        report = inputopt.evaluate(model, x, y, eps=0.05, preset="quick")
    assert torch.equal(torch.get_rng_state(), before)
    robust = 1 - float(misread(plain, report.x, y).mean())
    low, high = report.interval
    assert -1e-9 <= low <= report.robust_accuracy + 1e-9
    assert report.robust_accuracy <= high + 1e-9 <= 1 + 2e-9
    assert low < high
    assert low - 0.1 <= robust <= high + 0.1
    assert abs(report.robust_accuracy - robust) < 0.2


@pytest.mark.parametrize("name", ["dropout by a function", "noise on the input", "member of an ensemble drawn"])
def test_a_random_network_is_searched_alike_with_the_same_seed(name):
    network = NETWORKS[name]
    x, y = network.inputs()
    with expected(network):
        one, two = (inputopt.attacks.PGD("linf", 0.05, steps=4)(network.made(), x, y, seed=3) for _ in range(2))
    assert torch.equal(one.x, two.x)
    assert torch.equal(one.success_rate, two.success_rate)


# --------------------------------------------------------------------------------------------- not each input by itself
@tried_on(together=True)
def test_a_network_that_does_not_answer_each_input_by_itself_is_found_and_said(name):
    network = NETWORKS[name]
    (x, y), model = network.inputs(), network.made()
    with untouched(model, x, y), expected(network):
        report = inputopt.evaluate(model, x, y, eps=0.05, preset="quick")
    assert any(re.search(network.together, warning) for warning in report.warnings), report.warnings


@pytest.mark.parametrize("name", [name for name in those(together=True) if "call" not in NETWORKS[name].together])
def test_images_are_judged_alone_where_rows_depend_on_each_other(name):
    network = NETWORKS[name]
    x, _ = network.inputs()
    model = network.made()

    @torch.no_grad()
    def alone(x: Tensor) -> Tensor:
        return torch.cat([network.plain()(row[None]) for row in x])

    y = alone(x).argmax(1)
    with expected(network):
        found = inputopt.attacks.PGD("linf", 0.05, steps=8)(model, x, y)
        report = inputopt.evaluate(model, x, y, eps=0.05, preset="quick")
    assert report.clean_accuracy == 1
    for inputs, fooled in ((found.x, found.success), (report.x, ~report.robust)):
        first, second = alone(inputs).topk(2, 1).values.unbind(1)
        clear = first - second > 1e-4
        assert torch.equal(fooled[clear], (alone(inputs).argmax(1) != y)[clear])
