"""Training by a genetic algorithm, which ranks networks by cost and uses no gradients.

A genome holds all weights and biases of one network. The best genomes survive unchanged (elitism). The rest of the next
generation are children of the best genomes and of some others, drawn at random to keep the population diverse. A child
takes each gene from one of two parents (uniform crossover), and some of its genes mutate. `Genetic` has an ask-and-tell
interface.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from inputopt import checks
from inputopt.derivatives.gradient_methods import check_batch
from inputopt.derivatives.plain import HALF, check_plain
from inputopt.nets.activations import Array
from inputopt.nets.arrays import Arrays, arrays, forward
from inputopt.nets.costs import Cost, CostName, find_cost
from inputopt.nets.default_modes import default_modes
from inputopt.nets.mlp import MLP
from inputopt.summaries import Summarised, Summary


@dataclass(frozen=True)
class Generation:
    """One generation: `genomes` [population, genes], and its index."""

    genomes: Array
    number: int = 0


@dataclass(frozen=True)
class Genetic:
    """Rules of reproduction; `ask` and `tell` are pure, and random numbers depend on (seed, generation) only.

    Attributes:
        population: networks per generation.
        elite: number of best genomes that survive unchanged.
        winners: share of the population that become parents by rank.
        losers: share of the rest that also become parents, drawn at random.
        mutation: share of a child's genes that mutate.
        spread: standard deviation of the largest mutations; most are smaller, down to a thousandth.
        seed: random seed.
    """

    population: int = 200
    elite: int = 4
    winners: float = 0.3
    losers: float = 0.3
    mutation: float = 0.4
    spread: float = 5.0
    seed: int = 0

    def __post_init__(self) -> None:
        checks.whole("population", self.population, least=4)
        checks.whole("elite", self.elite)
        if self.elite >= self.population:
            raise ValueError(f"elite must be smaller than the population, not {self.elite} of {self.population}.")
        for what in ("winners", "losers", "mutation"):
            checks.share(what, getattr(self, what))
        checks.positive("spread", self.spread)
        checks.seed(self.seed)

    def first(self, genome: Array) -> Generation:
        """The first generation: one genome [genes], and copies with normal noise of standard deviation `spread`."""
        noise = self._generator(0).standard_normal((self.population, genome.size)).astype(genome.dtype)
        noise[0] = 0
        return Generation(genome + noise * self.spread)

    def ask(self, generation: Generation) -> Array:
        """The genomes to evaluate, [population, genes]."""
        return generation.genomes

    def tell(self, generation: Generation, costs: Array) -> Generation:
        """The next generation, given the cost of each genome, [population]; NaN ranks last."""
        generator = self._generator(generation.number + 1)
        genomes = generation.genomes[np.argsort(np.nan_to_num(costs, nan=np.inf), kind="stable")]
        parents = self._parents(genomes, generator)
        children, genes = self.population - self.elite, genomes.shape[1]
        mother, father = parents[generator.integers(len(parents), size=(2, children))]
        child = np.where(generator.random((children, genes)) < 0.5, mother, father)
        size = self.spread * 10 ** (-3 * generator.random((children, 1)))
        mutates = generator.random((children, genes)) < self.mutation
        child = child + mutates * size * generator.standard_normal((children, genes))
        return Generation(np.concatenate([genomes[: self.elite], child.astype(genomes.dtype)]), generation.number + 1)

    def _parents(self, ranked: Array, generator: np.random.Generator) -> Array:
        winners = max(2, round(self.winners * self.population))
        rest = ranked[winners:]
        drawn = generator.permutation(len(rest))[: round(self.losers * len(rest))]
        return np.concatenate([ranked[:winners], rest[drawn]])

    def _generator(self, number: int) -> np.random.Generator:
        return np.random.default_rng([checks.seed(self.seed), number])


@dataclass(frozen=True, repr=False)
class Evolution(Summarised):
    """Result of genetic training.

    Attributes:
        error: mean error of the best network, whose weights are in `net`.
        cost: lowest cost in each generation, [G].
        generations: number of generations evaluated.
        evaluations: total number of networks evaluated.
        stopped: reason for stopping, in words.
        seconds: duration.
    """

    error: float
    cost: Array
    generations: int
    evaluations: int
    stopped: str
    seconds: float

    def _summary(self, images: bool) -> Summary:
        facts = [
            ("error", f"{self.error:.4g}"),
            ("", f"{self.generations:,} generations"),
            ("", f"{self.evaluations:,} networks evaluated"),
            ("", self.stopped),
            ("", f"{self.seconds:.1f} s"),
        ]
        return Summary("Evolution", facts, [("lowest cost", f"{self.cost[0]:.4g} to {self.cost[-1]:.4g}")])


@default_modes()
@np.errstate(all="ignore")
def evolve(
    net: MLP,
    inputs: Any,
    targets: Any,
    cost: CostName = "mse",
    generations: int = 1_000,
    stop_error: float = 0.01,
    rules: Genetic | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> Evolution:
    """Train a network in place by a genetic algorithm; each generation is evaluated in one batched call.

    Args:
        net: the network from which the first generation is drawn; finally the best network found. Parameters with
            `requires_grad=False` are not changed; weights are float32 or float64, as for `train`.
        inputs: [B, ...] numbers.
        targets: as for `train`.
        cost: "mse" or "cross_entropy".
        generations: maximum number of generations.
        stop_error: stop when the best network's mean error is at most this; with 0 only an exact fit stops.
        rules: rules of reproduction; the defaults if not given.
        progress: called with (generation, lowest cost).

    Networks with weights or a cost that are not finite are never the best. If all networks are such, `net` is not
    changed, and `Evolution.stopped` says so.

    Raises:
        ValueError, TypeError: invalid names, numbers, shapes or targets; raised before anything is changed.
    """
    rules = Genetic() if rules is None else rules
    if not isinstance(rules, Genetic):
        raise TypeError(f"rules must be an inputopt.Genetic, not {type(rules).__name__}.")
    checks.function("progress", progress)
    generations, stop = checks.whole("generations", generations), checks.not_negative("stop_error", stop_error)
    resolved = find_cost(cost, check_plain(net).output)
    made, wanted = check_batch(net, resolved, inputs, targets)
    held = _frozen_genes(net)
    shared = arrays(net)
    flat, goals = made.flatten(1).numpy(), wanted.numpy()
    start, best = _genome(shared), []
    generation = rules.first(start)
    stopped, started = "all generations done", time.perf_counter()
    for _ in range(generations):
        genomes = np.where(held, start, rules.ask(generation))
        costs = mean_costs(shared, resolved, genomes, flat, goals)
        winner = int(costs.argmin())
        best.append(float(costs[winner]))
        if np.isfinite(best[-1]):
            _write_genome(shared, genomes[winner])
        if progress is not None:
            progress(generation.number, best[-1])
        if _error(net, resolved, made, wanted) <= stop:
            stopped = f"the error is down to {stop:g}"
            break
        generation = rules.tell(replace(generation, genomes=genomes), costs)
    if not np.isfinite(best[-1]):
        stopped = "no network had a finite cost"
    error = _error(net, resolved, made, wanted)
    seconds = time.perf_counter() - started
    return Evolution(error, np.array(best), len(best), len(best) * rules.population, stopped, seconds)


def mean_costs(shape: Arrays, cost: Cost, genomes: Array, inputs: Array, targets: Array) -> Array:
    """Mean cost of each genome, [population], in one batched run; infinite if the cost or the genome is not finite."""
    weights, biases, start = [], [], 0
    for weight, bias in zip(shape.weights, shape.biases, strict=True):
        middle, end = start + weight.size, start + weight.size + bias.size
        weights.append(genomes[:, start:middle].reshape(-1, *weight.shape))
        biases.append(genomes[:, None, middle:end])
        start = end
    with np.errstate(all="ignore"):
        Z, O = forward(Arrays(weights, biases, shape.activations), inputs)
        costs = cost.value(Z[-1], O[-1], targets).mean(-1)
    return np.where(np.isfinite(costs) & np.isfinite(genomes).all(1), costs, np.inf)


def _frozen_genes(net: MLP) -> Array:
    """Mask of the genes of parameters with `requires_grad=False`, bool [genes].

    Raises:
        ValueError: all parameters are such, or weights are in half precision.
    """
    pairs = [value for pair in zip(net.weights, net.biases, strict=True) for value in pair]
    held = np.concatenate([np.full(value.numel(), not value.requires_grad) for value in pairs])
    if held.all():
        raise ValueError("The network has no parameters that require gradients, so there is nothing to train.")
    if pairs[0].dtype in HALF:
        raise ValueError(
            "Weights in half precision cannot be evolved; use net.float(), and convert the network back afterwards."
        )
    return held


def _genome(net: Arrays) -> Array:
    return np.concatenate([value.ravel() for pair in zip(net.weights, net.biases, strict=True) for value in pair])


def _write_genome(net: Arrays, genome: Array) -> None:
    """Write a genome into the arrays that share the network's memory."""
    start = 0
    for value in (value for pair in zip(net.weights, net.biases, strict=True) for value in pair):
        value[...] = genome[start : start + value.size].reshape(value.shape)
        start += value.size


def _error(net: MLP, cost: Cost, inputs: Any, targets: Any) -> float:
    return float(cost.error(net(inputs).detach(), targets).mean())
