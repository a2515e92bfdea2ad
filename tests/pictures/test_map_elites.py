import pytest
import torch
from contracts import assert_same, chance_state, digits_net, drawn, small_net

import inputopt
from inputopt.pictures.map_elites import Elites, MapElites


def test_each_class_keeps_the_best_that_was_found_for_it():
    elites = Elites(torch.zeros(3, 2), torch.tensor([-1.0, -5.0, -torch.inf]))
    genomes = torch.tensor([[1.0, 1], [2, 2]])
    after = MapElites().tell(elites, genomes, torch.tensor([[-2.0, -3, -9], [-1.5, -4, -8]]))
    assert_same(after.beliefs, torch.tensor([-1.0, -3, -8]))
    assert_same(after.genomes, torch.tensor([[0.0, 0], [1, 1], [2, 2]]))
    assert after.generation == 1


def test_children_come_from_known_elites_and_asking_changes_nothing():
    genomes = drawn(6, 5)
    elites = Elites(genomes, torch.tensor([-1.0, -2, -torch.inf, -1, -1, -1]), 7)
    rules = MapElites(population=400, spread=1e-9)
    children, again = (rules.ask(elites, torch.tensor([1, 3])) for _ in range(2))
    assert_same(children, again)
    nearest = torch.cdist(children, genomes)
    unmixed = nearest.amin(1) < 1e-6
    parents = nearest.argmin(1)[unmixed]
    assert 2 not in parents  # never known
    wanted = torch.isin(parents, torch.tensor([1, 3])).double().mean()
    assert float(wanted) > 0.7
    assert 0.25 < 1 - float(unmixed.double().mean()) < 0.55
    assert not torch.equal(rules.ask(Elites(genomes, elites.beliefs, 8), torch.tensor([1, 3])), children)


def test_mixed_children_lie_on_the_line_from_their_parent_to_another_elite():
    genomes = drawn(6, 5)
    rules = MapElites(population=400, spread=1e-9, mixing=1.0, wander=0.0)
    children = rules.ask(Elites(genomes, torch.full((6,), -1.0)), torch.tensor([1]))
    moves = children - genomes[1]
    moves = moves[moves.norm(dim=1) > 1e-6]
    ways = genomes[torch.tensor([0, 2, 3, 4, 5])] - genomes[1]
    aligned = torch.cosine_similarity(moves[:, None], ways, dim=2).abs()
    assert_same(aligned.amax(1), torch.ones_like(aligned[:, 0]), 1e-5)
    parts = moves.norm(dim=1) / ways.norm(dim=1)[aligned.argmax(1)]
    assert 0.1 < float(parts.square().mean().sqrt()) < 0.4  # 0.5 x normal x 10 ** -uniform: 0.23


def test_digits_evolve_without_a_derivative():
    seen = []
    net, before = inputopt.Frozen(digits_net()), chance_state()
    rules = MapElites(population=64)
    found = inputopt.evolve_images(
        net, range(10), (1, 28, 28), 120, rules=rules, progress=lambda *now: seen.append(now)
    )
    assert chance_state() == before
    assert int(found.success.sum()) >= 8
    with torch.no_grad():
        sure = digits_net()(found.x).softmax(1).diagonal()
    assert_same(found.probability, sure, 1e-5)
    assert found.success.tolist() == (sure >= 0.9).tolist()
    assert net.backwards == 0
    assert net.forwards == found.forwards + 1 + 3 + 2 + 10  # looks: at one row, at it again, and beside another
    beliefs = torch.stack([belief for _, belief in seen])
    assert bool((beliefs.diff(dim=0) >= 0).all())  # elites never get worse
    assert len(seen) == found.generations


def test_it_ends_when_every_target_is_reached_and_says_when_it_is_not():
    easy = inputopt.evolve_images(digits_net(), [1], (1, 28, 28), 200, confidence=0.2)
    assert easy.success.tolist() == [True]
    assert easy.generations < 200
    hard = inputopt.evolve_images(small_net(), [1, 4], (1, 3, 4), 1, confidence=1 - 1e-12)
    assert hard.success.tolist() == [False, False]


@pytest.mark.parametrize(
    ("changed", "kind", "words"),
    [
        ({"targets": [6]}, ValueError, "targets"),
        ({"targets": []}, ValueError, "targets"),
        ({"shape": (12,)}, ValueError, "shape"),
        ({"generations": 0}, ValueError, "generations"),
        ({"confidence": 1.0}, ValueError, "confidence"),
    ],
)
def test_illuminate_refuses(changed, kind, words):
    given = {"model": small_net(), "targets": [1], "shape": (1, 3, 4), "generations": 1} | changed
    with pytest.raises(kind, match=words):
        inputopt.evolve_images(**given)


@pytest.mark.parametrize(
    "changed", [{"population": 0}, {"wander": 1.5}, {"mutation": -0.1}, {"spread": 0.0}, {"reach": 0.0}]
)
def test_rules_refuse(changed):
    with pytest.raises(ValueError, match=next(iter(changed))):
        MapElites(**changed)
