"""Minimal-norm attacks against answers that are known exactly, and what they promise of every result."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from contracts import digits
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import NORMS, linear, sizes

import inputopt
from inputopt import attacks
from inputopt.attacks.minimal_norm.closing_ball import ClosingBallStep
from inputopt.search.norms import L2, find_norm
from inputopt.search.problem import Problem

NEAR, FAIR = 1.005, 1.05


def relative_to_optimum(attack, classifier, norm):
    """How many times as far as the nearest boundary each success is, the furthest of them."""
    found = attack(classifier.net, classifier.x, classifier.y)
    assert bool(found.success.all())
    best = classifier.distances(norm).amin(1)
    assert bool((found.distance >= best * (1 - 1e-9)).all()), "nearer than can be"
    torch.testing.assert_close(found.distance.double(), sizes(norm, found.x - classifier.x), rtol=1e-6, atol=0)
    return float((found.distance / best).max())


LINEAR = [
    ("l2", attacks.DDN(steps=300), 1.02),  # classes further away have a part in the gradient of the cross-entropy
    *((norm, attacks.FMN(norm, steps=500), NEAR) for norm in ("l2", "linf")),
    ("l1", attacks.FMN("l1", steps=1500), NEAR),
    *((norm, attacks.PDPGD(norm, steps=300), NEAR) for norm in ("l1", "l2", "linf")),
    *((norm, attacks.MinimalNorm(norm, queries=600), NEAR) for norm in ("l1", "l2", "linf")),
    *((norm, attacks.DeepFool(norm), 1.027) for norm in ("l2", "linf")),  # overshoot, and 4e-4 of at least 0.06
    ("l2", attacks.SuperDeepFool(), FAIR),
    *((norm, attacks.FAB(norm, steps=40), FAIR) for norm in ("l1", "l2", "linf")),
    *((norm, attacks.TargetedFAB(norm, steps=40), FAIR) for norm in ("l1", "l2", "linf")),
    *((norm, attacks.TrustRegion(norm, radius=0.2), FAIR) for norm in ("l2", "linf")),
    ("l2", attacks.CarliniWagner(steps=900), FAIR),
    ("l1", attacks.EAD(steps=900, beta=0.1, rate=0.02), FAIR),
    ("l2", attacks.PDGD(), FAIR),
    *((norm, attacks.ALMA(norm), FAIR) for norm in ("l2",)),
    *((norm, attacks.EpsilonBisection(attacks.PGD(norm)), FAIR) for norm in ("l2", "linf")),
]


COUNTING = (attacks.DeepFool, attacks.SuperDeepFool, attacks.FAB, attacks.TargetedFAB, attacks.MinimalNorm)
"""Attacks that look at several classes, which two are too few for."""


@pytest.mark.parametrize(
    ("classes", "norm", "attack", "within"),
    [(4, *case) for case in LINEAR]
    + [(2, *case) for case in LINEAR if isinstance(case[1], COUNTING) and case[0] == "l2"]
    + [(2, norm, attacks.HopSkipJump(norm, queries=3000), FAIR) for norm in ("l2", "linf")],  # local with more classes
    ids=lambda value: getattr(type(value), "__name__", "") + str(value)[:5],
)
def test_linear_classifiers_have_a_known_answer(classes, norm, attack, within):
    weights = np.random.default_rng(3).normal(size=(classes, 12))
    classifier = linear(
        (3, 4), classes, count=6, weights=weights, gaps=(1, 2), beyond=3.0, spread=0.1, bounds=(-2.0, 2.0)
    )
    assert relative_to_optimum(attack, classifier, norm) <= within


@pytest.mark.filterwarnings("ignore:The model seems to return probabilities")
@pytest.mark.parametrize(
    ("norm", "attack"),
    [case[:2] for case in LINEAR if case[0] == "l2"] + [("l0", attacks.JSMA(pixels=1)), ("l0", attacks.SigmaZero())],
    ids=lambda value: getattr(type(value), "__name__", "") + str(value)[:5],
)
def test_probabilities_are_moved_as_their_logits_are(norm, attack):
    plain = linear((3, 4), 4, count=6, gaps=(1, 2), beyond=3.0, spread=0.1, bounds=(-2.0, 2.0))
    sure = inputopt.Frozen(lambda x: (10 * plain(x)).softmax(1), bounds=plain.bounds)  # flat at 1 - 5e-5 or more
    logits = inputopt.Frozen(lambda x: 10 * plain(x), bounds=plain.bounds)
    by_logits, found = (attack(net, plain.x, plain.y) for net in (logits, sure))
    torch.testing.assert_close(found.distance, by_logits.distance, rtol=1e-3, atol=0)


@pytest.mark.filterwarnings("ignore:For .* no random image is of the target class")  # not every start here is
def test_a_model_that_returns_only_classes_is_attacked_within_its_budget():
    net, x, y = known()
    attack, asked = attacks.HopSkipJump("l2", queries=700), []

    def decide(inputs):
        asked.append(len(inputs))
        with torch.no_grad():
            return net(inputs).argmax(1)

    found = attack(decide, x, y)
    assert sum(asked) <= 700 * len(x) + 200  # the check of the model's traits before the search
    assert bool((found.forwards <= 700).all())
    assert bool((found.backwards == 0).all())
    by_scores = attack(net, x, y)
    assert torch.equal(found.x, by_scores.x)
    assert torch.equal(attack(decide, x.numpy(), y.numpy()).x, found.x)
    with torch.no_grad():
        assert bool((net(found.x).argmax(1) != y).all())
    more = attacks.HopSkipJump("l2", queries=5000)(decide, x, y)
    best = attacks.MinimalNorm("l2", queries=1000)(net, x, y).distance
    assert bool((more.distance >= best * (1 - 1e-3)).all())
    assert float((more.distance / best).median()) < 1.01
    assert float((more.distance / best).max()) < 1.5  # it is a local search
    target = (y + 1) % 6
    start = torch.stack([x[(y == label).nonzero()[0, 0]] if bool((y == label).any()) else x[0] for label in target])
    reached = net(start).argmax(1) == target
    failed = int((~reached).sum())
    with pytest.warns(inputopt.InputoptWarning, match=f"{failed} of {len(x)} starting points are not classified as"):
        towards = attack(decide, x, y, target=target, start=start)
    assert bool(towards.success[reached].all())
    with torch.no_grad():
        assert torch.equal(net(towards.x).argmax(1) == target, towards.success)
    with pytest.raises(ValueError, match="give the number of classes"):
        attack(inputopt.Frozen(attacks.Decisions(decide, 2)), x, y)


def test_a_module_that_returns_only_classes_is_run_as_a_copy():
    net, x, y = known()

    class Deciding(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.drop, self.norm = torch.nn.Dropout(0.9), torch.nn.BatchNorm1d(6).double()

        def forward(self, x):
            return self.norm(self.drop(net(x))).argmax(1)

    module, attack = Deciding(), attacks.HopSkipJump("l2", queries=300)
    found = attack(module, x, y)
    assert module.training
    assert int(module.norm.num_batches_tracked) == 0
    assert torch.equal(found.x, attack(lambda x: net(x).argmax(1), x, y).x)


@pytest.mark.parametrize(
    "attack", [attacks.MinimalNorm("l0", queries=600), attacks.JSMA(pixels=1), attacks.SigmaZero()]
)
def test_l0_counts_are_exact_or_one_too_many(attack):
    weights = np.random.default_rng(3).normal(size=(2, 12))
    classifier = linear((12,), 2, count=8, weights=weights, gaps=(1, 6), spread=0.1, bounds=(-1.0, 1.0))
    found = attack(classifier.net, classifier.x, classifier.y)
    best = classifier.distances("l0").amin(1)
    over = found.distance - best
    assert bool((over >= 0).all())
    assert float(over.max()) <= (0 if isinstance(attack, attacks.MinimalNorm) else 1)


def quadratic(x):
    """Inside the ellipse x0^2 + 4 x1^2 = 1 it is class 0."""
    inside = 1 - x[:, 0] ** 2 - 4 * x[:, 1] ** 2
    return torch.stack([inside, torch.zeros_like(inside)], dim=1)


CURVED = [
    attacks.DDN(steps=200),
    attacks.FMN("l2", steps=400),
    attacks.MinimalNorm("l2", queries=600),
    attacks.ALMA("l2"),
    attacks.FAB("l2"),
    attacks.SuperDeepFool(),
    attacks.PDPGD("l2"),
]


@pytest.mark.parametrize("attack", CURVED, ids=lambda attack: type(attack).__name__)
def test_curved_boundaries_have_a_known_nearest_point(attack):
    x = torch.tensor([[0.1, 0.2], [0.05, -0.15], [-0.3, 0.25]], dtype=torch.float64)
    angle = torch.linspace(0, 2 * torch.pi, 200_001, dtype=torch.float64)
    ellipse = torch.stack([angle.cos(), angle.sin() / 2], dim=1)
    best = torch.cdist(x, ellipse).amin(1)
    found = attack(inputopt.Frozen(quadratic, bounds=(-2, 2)), x, torch.zeros(3, dtype=torch.int64))
    assert bool(found.success.all())
    assert bool((found.distance >= best * (1 - 1e-6)).all())
    assert float((found.distance / best).max()) <= (NEAR if isinstance(attack, attacks.MinimalNorm) else FAIR)


EVERY = [
    *(attacks.MinimalNorm(norm, queries=300) for norm in NORMS),
    attacks.CarliniWagner(steps=300, rounds=3, rate=0.05),
    attacks.DDN(steps=60),
    attacks.FMN("linf", steps=60),
    attacks.FAB("l1", steps=20),
    attacks.EAD(steps=300, rounds=3, rate=0.05, weight=1.0),
    attacks.SigmaZero(steps=100),
    attacks.JSMA(),
    attacks.EpsilonBisection(attacks.PGD("l2")),
]


@pytest.mark.parametrize("attack", EVERY, ids=lambda attack: f"{type(attack).__name__}-{attack.norm}")
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_black_and_white_images_are_moved_too(attack, value):
    net = inputopt.MLP([12, 16, 6], "tanh", "identity", seed=1).double()
    with torch.no_grad():
        net.biases[-1].copy_(torch.linspace(0, 0.3, 6))
    x = torch.full((4, 1, 3, 4), value, dtype=torch.float64)
    with torch.no_grad():
        y = net(x).argmax(1)
    found = attack(net, x, y)
    assert bool(found.success.all())
    assert float(found.x.min()) >= 0
    assert float(found.x.max()) <= 1


def known(count=5):
    net = inputopt.MLP([12, 16, 6], "tanh", "identity", seed=0).double()
    with torch.no_grad():
        net.weights[-1].mul_(4)
        x = torch.rand(count, 1, 3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        return net, x, net(x).argmax(1)


@pytest.mark.parametrize("attack", EVERY, ids=lambda attack: f"{type(attack).__name__}-{attack.norm}")
def test_targets_are_reached_or_it_is_said_that_they_are_not(attack):
    net, x, y = known()
    target = (y + torch.tensor([1, 2, 3, 1, 2])) % 6
    found = attack(net, x, y, target=target)
    with torch.no_grad():
        seen = net(found.x).argmax(1)
    assert torch.equal(found.success, seen == target)
    assert torch.equal(torch.isfinite(found.distance), found.success)
    if not isinstance(attack, attacks.JSMA):
        assert int(found.success.sum()) >= 4


def test_what_cannot_be_done_is_said():
    constant = inputopt.Frozen(lambda x: torch.stack([2 + 0 * x.flatten(1).sum(1), 0 * x.flatten(1).sum(1)], dim=1))
    x, y = torch.full((2, 4), 0.5), torch.zeros(2, dtype=torch.int64)
    for attack in EVERY:
        with pytest.warns(UserWarning, match="Every gradient of this attack was zero"):
            found = attack(constant, x, y)
        assert not bool(found.success.any())
        assert bool((found.distance == torch.inf).all())
        assert bool(torch.isfinite(found.x).all())


def test_what_is_wrong_already_stays_where_it_is():
    net, x, y = known()
    for attack in EVERY:
        found = attack(net, x, (y + 1) % 6)
        assert bool((found.distance == 0).all())
        assert torch.equal(found.x, x)


@pytest.mark.parametrize("attack", EVERY, ids=lambda attack: f"{type(attack).__name__}-{attack.norm}")
def test_a_start_is_begun_at_and_never_left_for_worse(attack):
    net, x, y = known()
    best = attacks.MinimalNorm(attack.norm, queries=600)(net, x, y)
    again = attack(net, x, y, start=best.x)
    assert bool((again.distance <= best.distance * (1 + 1e-9)).all())
    with pytest.raises(ValueError, match="shape of x"):
        attack(net, x, y, start=x[:2])


@pytest.mark.parametrize("norm", NORMS)
def test_more_queries_never_find_less_and_none_are_overdrawn(norm):
    net, x, y = known()
    last = torch.full((5,), torch.inf, dtype=torch.float64)
    for queries in (5, 20, 60, 200, 500):
        found = attacks.MinimalNorm(norm, queries=queries)(net, x, y)
        assert int((found.forwards + found.backwards).max()) <= queries
        assert bool((found.distance <= last * (1 + 0.005)).all())  # the last halvings differ
        last = found.distance


def test_the_noise_of_a_chase_is_each_example_s_own_and_gone_at_last():
    problem = Problem(torch.full((3, 12), 0.5), torch.zeros(3, dtype=torch.int64), ids=torch.tensor([7, 8, 7]))
    grad = torch.ones(3, 12)
    step = ClosingBallStep(L2, steps=10, noise=1.0)
    first = step.noisy(grad, problem, 0)
    assert torch.equal(first[0], first[2])
    assert not torch.allclose(first[0], first[1])
    torch.testing.assert_close(L2.size(first - grad), L2.size(grad))
    assert not torch.allclose(first, replace(step, drawn=1).noisy(grad, problem, 0))
    assert not torch.allclose(first, replace(step, seed=1).noisy(grad, problem, 0))
    assert torch.equal(step.noisy(grad, problem, 6), grad)


@pytest.mark.parametrize("norm", NORMS)
def test_levels_and_masks_are_kept_to(norm):
    net, x, y = known()
    x = (x * 255).round() / 255
    mask = torch.ones(1, 3, 4, dtype=torch.bool)
    mask[:, 0] = False
    found = attacks.MinimalNorm(norm, queries=300, levels=256, mask=mask)(net, x, y)
    assert int(found.success.sum()) >= 3
    torch.testing.assert_close((found.x * 255).round() / 255, found.x, rtol=0, atol=0)
    assert torch.equal(found.x[:, :, 0], x[:, :, 0])
    with torch.no_grad():
        assert torch.equal(net(found.x).argmax(1) != y, found.success)


def test_confidence_is_reached():
    net, x, y = known()
    found = attacks.CarliniWagner(steps=600, rounds=3, rate=0.05, confidence=0.5)(net, x, y)
    ahead = found.logits.amax(1) - found.logits.gather(1, y[:, None])[:, 0]
    assert bool(found.success.all())
    assert bool((ahead >= 0.5).all())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(NORMS))
def test_the_least_change_to_a_plane_is_the_least(seed, norm):
    chance = np.random.default_rng(seed)
    way, gain = torch.from_numpy(chance.normal(size=(1, 5))), torch.from_numpy(chance.uniform(0.1, 2, size=1))
    low, high = torch.from_numpy(-chance.uniform(0, 1, (1, 5))), torch.from_numpy(chance.uniform(0, 1, (1, 5)))
    change = find_norm(norm).least_change(way, gain, low, high)
    assert bool(((change >= low) & (change <= high)).all())
    most = torch.maximum(way * low, way * high).sum()
    torch.testing.assert_close((way * change).sum(), torch.minimum(most, gain[0]))
    size = find_norm(norm).size(change)
    # no random change in the box that gains as much is smaller
    tried = torch.from_numpy(chance.uniform(low.numpy(), high.numpy(), size=(4000, 5)))
    if norm == "l0":
        tried = tried.sign().clamp(0) * high + (-tried).sign().clamp(0) * low
        tried = tried * torch.from_numpy(chance.integers(0, 2, (4000, 5)))
    enough = (tried * way).sum(1) >= torch.minimum(most, gain[0])
    assert bool((find_norm(norm).size(tried)[enough] >= size * (1 - 1e-9)).all())


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("DDN", {"norm": "linf"}, "use FMN"),
        ("SigmaZero", {"norm": "l2"}, "use FMN"),
        ("DeepFool", {"norm": "l1"}, "use FAB"),
        ("CarliniWagner", {"confidence": -1.0}, "confidence"),
        ("MinimalNorm", {"queries": 1}, "queries"),
        ("FMN", {"norm": "l3"}, "norm"),
        ("EpsilonBisection", {"attack": attacks.DDN()}, "fixed distance"),
    ],
)
def test_bad_settings_are_refused_when_they_are_made(name, settings, says):
    with pytest.raises((ValueError, TypeError), match=says):
        getattr(attacks, name)(**settings)


def test_a_targeted_search_by_classes_alone_says_which_inputs_have_no_start():
    net, held = inputopt.load("digits-cnn"), digits()
    x, y = held.held_x[::200][:4], held.held_y[::200][:4]
    attack = attacks.HopSkipJump("l2", queries=100)

    def decide(z):
        with torch.no_grad():
            return net(z).argmax(1)

    served = attacks.Decisions(decide, 10)
    with pytest.warns(
        inputopt.InputoptWarning, match="no random image is of the target class.*of the target class as start"
    ):
        found = attack(served, x[y != 9], y[y != 9], target=9)
    assert not bool(found.success.any())
    nine = held.held_x[held.held_y == 9][:1]
    assert bool(attack(served, x[y != 9], y[y != 9], target=9, start=nine.expand_as(x[y != 9])).success.all())


@pytest.mark.parametrize("answer", [[[1], [2]], [1], torch.zeros(2, 3)])
def test_decisions_of_another_shape_are_refused(answer):
    with pytest.raises(ValueError, match="must return a class for each of 2 inputs, not shape"):
        attacks.Decisions(lambda z: answer, 10)(torch.zeros(2, 1, 4, 4))


def test_a_list_of_classes_names_the_adapter():
    with pytest.raises(TypeError, match=r"for a model that returns only classes use attacks\.Decisions"):
        inputopt.evaluate(lambda z: [1] * len(z), torch.rand(3, 1, 4, 4), [1, 1, 1], eps=0.1)


HOP = attacks.HopSkipJump(queries=100, directions=10)


@pytest.mark.parametrize(("wide", "given"), [("float64", "float32"), ("float32", "float64"), ("float16", "float32")])
def test_hop_skip_jump_takes_inputs_of_another_dtype(wide, given):
    torch.manual_seed(0)
    net = torch.nn.Linear(12, 4).to(getattr(torch, wide))
    x = torch.rand(4, 12, dtype=getattr(torch, given))
    assert bool(HOP(net, x).success.all())


def test_hop_skip_jump_explains_models_and_inputs_that_fail():
    net = torch.nn.Linear(12, 4)
    with pytest.raises(ValueError, match="does not accept inputs of shape 13"):
        HOP(net, torch.rand(4, 13))
    with pytest.raises(ValueError, match="own forward failed"):
        HOP(lambda x: 1 / 0, torch.rand(4, 12))
    with pytest.raises(TypeError, match="floating-point"):
        HOP(net, torch.zeros(4, 12, dtype=torch.uint8))


def test_hop_skip_jump_leaves_the_random_state_of_the_process_alone():
    net, x = torch.nn.Linear(12, 4), torch.rand(4, 12)
    before = torch.get_rng_state(), np.random.get_state()[2]
    HOP(lambda z: net(z + 0.01 * torch.randn_like(z) + 0 * float(np.random.rand())), x, [0] * 4)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == np.random.get_state()[2]
