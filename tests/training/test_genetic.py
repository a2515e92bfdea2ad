import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inputopt import MLP, Evolution, Genetic, evolve, gradients
from inputopt.nets.arrays import arrays
from inputopt.nets.costs import find_cost
from inputopt.training.genetic import Generation, mean_costs

GATES = {
    "NOT": ([1, 1], [[0], [1]], [[1], [0]]),
    "OR and AND": ([2, 2], [[0, 0], [0, 1], [1, 0], [1, 1]], [[0, 0], [1, 0], [1, 0], [1, 1]]),
    "XOR": ([2, 2, 1], [[0, 0], [0, 1], [1, 0], [1, 1]], [[0], [1], [1], [0]]),
}


def generation(rules, genes=6, seed=0):
    return Generation(np.random.default_rng(seed).normal(size=(rules.population, genes)))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("gate", GATES)
def test_evolution_trains_the_gates(gate, seed):
    sizes, inputs, targets = GATES[gate]
    net = MLP(sizes, seed=seed)
    found = evolve(net, inputs, targets, rules=Genetic(seed=seed))
    outputs = net(torch.tensor(inputs, dtype=torch.float32)).detach()
    assert outputs.round().tolist() == targets
    assert found.error == pytest.approx((outputs - torch.tensor(targets)).norm(dim=1).mean().item())
    assert found.error <= 0.01
    assert found.stopped == "the error is down to 0.01"


def test_evolution_trains_on_class_indices_too():
    net = MLP([2, 3, 2], "tanh", "identity")
    _, inputs, targets = GATES["XOR"]
    evolve(net, inputs, [target for (target,) in targets], "cross_entropy", stop_error=0.05)
    assert net(torch.tensor(inputs, dtype=torch.float32)).argmax(1).tolist() == [0, 1, 1, 0]


def test_the_first_generation_holds_the_given_genome_and_varies_around_it():
    rules, genome = Genetic(population=500, spread=2.0), np.array([10, -20, 30], np.float32)
    first = rules.first(genome)
    genomes = rules.ask(first)
    assert first.number == 0
    assert (genomes.shape, genomes.dtype) == ((500, 3), np.float32)
    assert genomes[0].tolist() == [10, -20, 30]
    np.testing.assert_allclose(genomes.mean(0), genome, atol=0.3)
    np.testing.assert_allclose(genomes[1:].std(0), 2, atol=0.2)


def test_ask_and_tell_are_pure_and_drawn_from_the_seed():
    rules, costs = Genetic(population=20), np.arange(20.0)
    start = generation(rules)
    kept = start.genomes.copy()
    state = np.random.get_state()[1].copy()
    one, same = rules.tell(start, costs), rules.tell(start, costs)
    np.testing.assert_array_equal(rules.ask(one), rules.ask(same))
    np.testing.assert_array_equal(start.genomes, kept)
    assert costs.tolist() == list(range(20))
    assert (np.random.get_state()[1] == state).all()
    assert one.number == 1
    other = Genetic(population=20, seed=1).tell(start, costs)
    assert not np.array_equal(one.genomes[4:], other.genomes[4:])
    later = rules.tell(Generation(start.genomes, number=5), costs)
    assert not np.array_equal(one.genomes[4:], later.genomes[4:]), "each generation has its own draws"


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.integers(1, 19), st.integers(0, 10**6))
def test_the_elite_survives_unchanged_best_first(elite, seed):
    rules = Genetic(population=20, elite=elite)
    start, costs = generation(rules, seed=seed), np.random.default_rng(seed).random(20)
    following = rules.tell(start, costs)
    np.testing.assert_array_equal(following.genomes[:elite], start.genomes[np.argsort(costs)[:elite]])
    assert following.genomes.shape == (20, 6)


def test_nan_counts_as_worst_even_beside_infinity():
    rules = Genetic(population=6, elite=5)
    start = generation(rules)
    following = rules.tell(start, np.array([np.nan, np.inf, 3.0, np.nan, 1e308, -2.0]))
    np.testing.assert_array_equal(following.genomes[:5], start.genomes[[5, 2, 4, 1, 0]])


def sources(rules, start, costs):
    """For each child and gene, which genomes of the generation have that gene (mutations being too small to matter)."""
    children = rules.tell(start, costs).genomes[rules.elite :]
    return np.abs(children[:, None, :] - start.genomes[None]) < 1e-6


def test_children_take_each_gene_from_one_of_two_parents_among_the_winners():
    rules = Genetic(population=100, elite=1, winners=0.1, losers=1e-9, spread=1e-9)
    found = sources(rules, generation(rules, genes=50), np.arange(100.0))
    assert found[:, 10:].sum() == 0, "nobody else had children"
    assert (found.sum(1) == 1).all(), "each gene is somebody's"
    per_child = found[:, :10].sum(2)  # genes from each winner
    assert set((per_child > 0).sum(1)) <= {1, 2}
    mixed = per_child[(per_child > 0).sum(1) == 2]
    assert len(mixed) > 50
    assert mixed.max(1).mean() < 33, "about half the genes from each"


def test_losers_reproduce_in_the_share_that_was_asked_for():
    rules = Genetic(population=100, elite=1, winners=0.1, losers=0.2, spread=1e-9)
    found = sources(rules, generation(rules, genes=50), np.arange(100.0))
    parents = np.flatnonzero(found.any((0, 2)))
    assert (parents < 10).sum() == 10
    assert (parents >= 10).sum() == 18, "a fifth of the 90 others, drawn by lot"
    assert not np.array_equal(parents[10:], np.arange(10, 28)), "by lot, not by rank"


def test_the_share_of_mutated_genes_and_their_size_are_as_asked():
    rules = Genetic(population=400, elite=1, mutation=0.25, spread=3.0)
    children = rules.tell(Generation(np.zeros((400, 100))), np.arange(400.0)).genomes[1:]
    assert (children != 0).mean() == pytest.approx(0.25, abs=0.01)
    # most mutations are small: the size is spread x 10^(-3 u), u uniform, so its median is 10^-1.5 of the largest
    sizes = [np.std(child[child != 0]) for child in children]
    assert np.median(sizes) == pytest.approx(3 * 10**-1.5, rel=0.3)
    assert max(sizes) < 5


@pytest.mark.parametrize(
    ("cost", "output"), [("mse", "sigmoid"), ("cross_entropy", "sigmoid"), ("cross_entropy", "identity")]
)
def test_a_whole_generation_is_judged_as_each_network_alone(cost, output):
    random = np.random.default_rng(0)
    shape, inputs = MLP([3, 4, 2], "tanh", output).double(), random.normal(size=(5, 3))
    targets = random.integers(2, size=5) if (cost, output) == ("cross_entropy", "identity") else random.random((5, 2))
    genomes = random.normal(size=(7, 26))
    found = mean_costs(arrays(shape), find_cost(cost, output), genomes, inputs, targets)
    for genome, together in zip(genomes, found, strict=True):
        parts = np.split(genome, [12, 16, 24])
        net = MLP([3, 4, 2], "tanh", output).double()
        for parameter, part in zip(net.parameters(), parts, strict=True):
            parameter.data = torch.tensor(part).reshape(parameter.shape)
        assert together == pytest.approx(gradients(net, inputs, targets, cost).cost, rel=1e-12)


def test_the_record_of_an_evolution():
    told = []
    sizes, inputs, targets = GATES["XOR"]
    rules = Genetic(population=30, seed=3)
    found = evolve(
        MLP(sizes),
        inputs,
        targets,
        generations=12,
        stop_error=1e-9,
        rules=rules,
        progress=lambda *now: told.append(now),
    )
    assert isinstance(found, Evolution)
    assert (found.generations, found.evaluations, found.stopped) == (12, 360, "all generations done")
    assert (np.diff(found.cost) <= 0).all(), "with an elite, the best never gets worse"
    assert found.cost[-1] < found.cost[0]
    assert told == list(enumerate(found.cost))
    assert found.seconds > 0


def test_the_same_seed_finds_the_same_network():
    ends = []
    for seed in (1, 1, 2):
        sizes, inputs, targets = GATES["XOR"]
        net, state = MLP(sizes), torch.get_rng_state()
        evolve(net, inputs, targets, generations=5, rules=Genetic(population=20, seed=seed))
        assert torch.equal(torch.get_rng_state(), state)
        ends.append(net.weights[0].detach().clone())
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def test_a_network_that_is_good_already_is_kept():
    net = MLP([1, 1], weights=[[[-20.0]]], biases=[[10.0]])
    found = evolve(net, [[0], [1]], [[1], [0]])
    assert found.generations == 1
    assert found.error <= 0.01


def test_networks_that_overflow_are_neither_warned_about_nor_preferred():
    net = MLP([1, 1, 1], "identity", weights=[[[3e38]], [[3e38]]])
    assert np.isinf(evolve(net, [[1.0]], [[0.5]], generations=5, rules=Genetic(population=10)).cost).all()
    genomes, one = np.array([[3e38] * 4, [0.0] * 4], np.float32), np.ones((1, 1), np.float32)
    costs = mean_costs(arrays(net), find_cost("mse", "identity"), genomes, one, one / 2)
    assert not np.isfinite(costs[0])
    assert costs[1] == 0.125


@pytest.mark.parametrize(
    ("kind", "settings", "words"),
    [
        (ValueError, {"population": 3}, "population must be at least 4"),
        (TypeError, {"population": 10.0}, "population must be a whole number"),
        (ValueError, {"elite": 0}, "elite must be at least 1"),
        (ValueError, {"population": 10, "elite": 10}, "elite must be smaller than the population, not 10 of 10"),
        (ValueError, {"winners": 0}, "winners must be a fraction above 0 and at most 1, not 0"),
        (ValueError, {"losers": 1.1}, "losers must be a fraction"),
        (ValueError, {"mutation": math.nan}, "mutation must be a fraction"),
        (ValueError, {"spread": 0.0}, "spread must be a finite number above 0"),
    ],
)
def test_impossible_rules_are_refused(kind, settings, words):
    with pytest.raises(kind, match=words):
        Genetic(**settings)


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        (ValueError, {"inputs": [[1.0, 2.0]]}, "inputs must have 1 numbers per example"),
        (ValueError, {"inputs": [[math.nan]]}, "inputs must be finite"),
        (ValueError, {"inputs": [], "targets": []}, "at least one example"),
        (ValueError, {"targets": [[1.0, 0.0]]}, "targets must have shape"),
        (ValueError, {"cost": "fitness"}, "Unknown cost"),
        (ValueError, {"generations": 0}, "generations must be at least 1"),
        (TypeError, {"generations": 1.5}, "generations must be a whole number"),
        (ValueError, {"stop_error": -1.0}, "stop_error must be"),
        (ValueError, {"stop_error": math.nan}, "stop_error must be"),
    ],
)
def test_bad_calls_are_refused_before_anything_moves(kind, options, words):
    net = MLP([1, 1], seed=5)
    with pytest.raises(kind, match=words):
        evolve(net, **({"inputs": [[1.0]], "targets": [[0.0]]} | options))
    assert torch.equal(net.weights[0], MLP([1, 1], seed=5).weights[0])
