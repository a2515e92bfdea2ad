"""Attacks on a linear classifier, whose nearest boundary is known: they reach it, and nothing reaches past it."""

import oracles
import pytest
import torch
from contracts import assert_same, drawn

import inputopt

EVERY, SMOOTH = ("l0", "l1", "l2", "linf"), ("l1", "l2", "linf")
# the norms that each is defined in
ATTACKS = {
    "FGSM": (EVERY, {}),
    "BIM": (EVERY, {"steps": 40}),
    "PGD": (EVERY, {"steps": 40}),
    "MIFGSM": (EVERY, {"steps": 20}),
    "NIFGSM": (EVERY, {"steps": 20}),
    "APGD": (SMOOTH, {"steps": 30}),
    "TargetedAPGD": (SMOOTH, {"steps": 30, "loss": "margin"}),
    "MultiTargeted": (SMOOTH, {}),
}
CASES = [pytest.param(name, norm, id=f"{name}-{norm}") for name, (norms, _) in ATTACKS.items() for norm in norms]
SHAPES = [(8,), (5, 7, 7)]
CLASSES = 4

every_attack = pytest.mark.parametrize(("name", "norm"), CASES)


def attack(name, norm, eps, **settings):
    return getattr(inputopt.attacks, name)(norm, eps, **{**ATTACKS[name][1], **settings})


def near_and_far(norm, distance):
    """An eps that reaches the boundary by 2 %, and one that misses it by as much; in L0 by one number."""
    return (distance, distance - 1) if norm == "l0" else (1.02 * distance, 0.98 * distance)


# -------------------------------------------------------------------------------------------------- how far they reach
@pytest.mark.parametrize(("shape", "targeted"), [(SHAPES[0], True), (SHAPES[1], False)], ids=["to a target", "away"])
@every_attack
def test_they_reach_the_boundary_and_not_past_it(name, norm, shape, targeted):
    # a number that moves across the whole box in L0 moves third classes too, which a single step does not see
    classes = 2 if (name, norm) == ("FGSM", "l0") else CLASSES
    known = oracles.linear(shape, classes)
    target = torch.as_tensor(oracles.runner_up(known.y.numpy(), classes)) if targeted else None
    enough, short = near_and_far(norm, known.distances(norm).amin(1))
    found = attack(name, norm, enough)(known.net, known.x, known.y, target)
    assert found.success.tolist() == [True] * 8
    assert_same(known(found.x).argmax(1), found.prediction)
    assert bool((found.prediction != known.y).all() if target is None else (found.prediction == target).all())
    assert bool((oracles.sizes(norm, found.x - known.x) <= enough).all())
    failed = attack(name, norm, short)(known.net, known.x, known.y, target)
    assert failed.success.tolist() == [False] * 8
    assert_same(failed.prediction, known.y)
    assert bool((oracles.sizes(norm, failed.x - known.x) <= short).all())


@pytest.mark.parametrize("batch", [3])
@every_attack
def test_they_reach_it_in_any_batch(name, norm, batch):
    known = oracles.linear((4, 6), CLASSES)
    enough, _ = near_and_far(norm, known.distances(norm).amin(1))
    whole = attack(name, norm, enough)(known.net, known.x, known.y)
    for rows in torch.arange(8).split(batch):
        part = attack(name, norm, enough[rows])(known.net, known.x[rows], known.y[rows], ids=rows)
        assert bool(part.success.all())
        assert_same(part.x, whole.x[rows], 1e-9)


@pytest.mark.parametrize("norm", EVERY)
def test_random_squares_reach_what_gradients_reach_with_more_room(norm):
    """Random search ends near the boundary, not on it: a square or a bump is not the steepest change."""
    known = oracles.linear((1, 6, 6), CLASSES)
    if norm == "l0":
        with pytest.raises(ValueError, match="Square is defined in linf and l2 and l1, not in l0; use SparseRS"):
            inputopt.attacks.Square(norm, 1.0)(known.net, known.x, known.y)
        return
    distance = known.distances(norm).amin(1)
    for target in (None, torch.as_tensor(oracles.runner_up(known.y.numpy(), CLASSES))):
        found = inputopt.attacks.Square(norm, 2.5 * distance, steps=300)(known.net, known.x, known.y, target)
        assert bool(found.success.all())
        assert int(found.backwards.sum()) == 0
        failed = inputopt.attacks.Square(norm, 0.98 * distance, steps=50)(known.net, known.x, known.y, target)
        assert not bool(failed.success.any())


@pytest.mark.parametrize("seed", range(3))
def test_sparse_rs_finds_the_only_elements_that_count(seed):
    """Of 30 elements only 3 have a weight, and all 3 must be at the right bounds."""
    weight = torch.zeros(30, dtype=torch.float64)
    weight[torch.tensor([4, 17, 29])] = torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64)
    x, y = torch.full((6, 30), 0.5, dtype=torch.float64), torch.zeros(6, dtype=torch.int64)

    def net(x):
        score = (x - 0.5) @ weight
        return torch.stack([torch.full_like(score, 1.4), score], 1)

    found = inputopt.attacks.SparseRS(eps=3, steps=2500)(net, x, y, seed=seed)
    assert bool(found.success.all())
    assert found.distance.tolist() == [3.0] * 6
    assert torch.equal(found.x, (0.5 + weight.sign() / 2).expand(6, -1))
    assert int(found.backwards.sum()) == 0
    short = inputopt.attacks.SparseRS(eps=2, steps=300)(net, x, y, seed=seed)
    assert not bool(short.success.any())
    assert float(short.distance.max()) <= 2


def test_sparse_rs_keeps_to_its_mask_and_to_an_eps_of_each_example():
    known = oracles.linear((4, 5, 5), CLASSES)
    mask, eps = torch.arange(100).reshape(4, 5, 5) % 3 == 0, torch.arange(8) % 5
    found = inputopt.attacks.SparseRS(eps=eps, mask=mask, steps=50)(known.net, known.x, known.y)
    changed = (found.x != known.x).flatten(1)
    assert bool((changed.sum(1) <= eps).all())
    assert not bool(changed[:, ~mask.flatten()].any())
    assert bool(changed.any())


# ------------------------------------------------------------------------------------------------------------- the eps
@every_attack
def test_an_eps_of_zero_returns_the_input(name, norm):
    known = oracles.linear((4, 6), CLASSES)
    for eps in (0, torch.zeros(8)):
        found = attack(name, norm, eps)(known.net, known.x, known.y)
        assert torch.equal(found.x, known.x)
        assert not bool(found.success.any())
        assert not bool(found.distance.any())


def test_square_with_an_eps_of_zero_returns_the_input():
    known = oracles.linear((1, 6, 6), CLASSES)
    for norm in ("l1", "l2", "linf"):
        assert torch.equal(inputopt.attacks.Square(norm, 0.0, steps=5)(known.net, known.x, known.y).x, known.x)


@every_attack
def test_a_number_is_as_many_equal_ones(name, norm):
    known = oracles.linear((4, 6), CLASSES)
    eps = float(known.distances(norm).amin(1).median())
    many = torch.full((8,), eps, dtype=torch.float64)
    one = attack(name, norm, eps)(known.net, known.x, known.y)
    assert_same(attack(name, norm, many)(known.net, known.x, known.y), one)
    assert 0 < int(one.success.sum()) <= 8


@every_attack
def test_each_example_has_its_own_eps(name, norm):
    known = oracles.linear((4, 6), CLASSES)
    enough, short = near_and_far(norm, known.distances(norm).amin(1))
    odd = torch.arange(8) % 2 == 1
    found = attack(name, norm, torch.where(odd, enough, short))(known.net, known.x, known.y)
    assert_same(found.success, odd)


# ------------------------------------------------------------------------------------------------------- what may move
@every_attack
def test_only_a_patch_moves(name, norm):
    known = oracles.linear((2, 6, 6), CLASSES)
    patch = torch.zeros(2, 6, 6, dtype=torch.bool)
    patch[:, 2:5, 1:4] = True
    masked = oracles.Linear(known.weights * patch.flatten(), known.bias, known.x, known.y, known.bounds)
    # the boundary is reached along the patch alone, from where the classifier of all pixels stands
    distance = torch.full((8,), torch.inf, dtype=torch.float64)
    logits = known(known.x)
    for row, label in enumerate(known.y.tolist()):
        for other in set(range(CLASSES)) - {label}:
            way, gap = masked.weights[other] - masked.weights[label], float(logits[row, label] - logits[row, other])
            reach = masked._reach(norm, way, gap, known.x[row].flatten())
            distance[row] = min(distance[row], reach)
    enough, short = near_and_far(norm, distance)
    found = attack(name, norm, enough, mask=patch)(known.net, known.x, known.y)
    assert bool(found.success.all())
    assert torch.equal(found.x[:, ~patch], known.x[:, ~patch])
    assert not bool(attack(name, norm, short, mask=patch)(known.net, known.x, known.y).success.any())


@every_attack
def test_each_example_may_have_its_own_mask(name, norm):
    known = oracles.linear((4, 6), CLASSES)
    mask = drawn(8, 4, 6, seed=3) > 0
    mask[0] = False
    found = attack(name, norm, 50.0 if norm != "l0" else 5, mask=mask)(known.net, known.x, known.y)
    assert torch.equal(found.x[~mask], known.x[~mask])
    assert not bool(found.success[0])
    rows = torch.tensor([5, 2])
    part = attack(name, norm, 50.0 if norm != "l0" else 5, mask=mask[rows])
    assert_same(part(known.net, known.x[rows], known.y[rows], ids=rows).x, found.x[rows], 1e-9)
