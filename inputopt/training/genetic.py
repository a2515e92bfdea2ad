"""Genetic training: no derivative at all, only better and worse.

A population of networks, each a genome of all weights and biases. The best live on (elitism); the next generation are
children of mostly winners and of some losers, who keep the gene pool wide; a child takes each gene from one of two
parents (uniform crossover) and some of its genes mutate. Ask for a generation, say how good each is, and go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from inputopt import checks
from inputopt.derivatives.plain import HALF, check_plain
from inputopt.derivatives.ways import check_batch
from inputopt.nets.activations import Array
from inputopt.nets.ambient import ambient
from inputopt.nets.arrays import Arrays, arrays, forward
from inputopt.nets.costs import Cost, find_cost
from inputopt.nets.mlp import MLP


@dataclass(frozen=True)
class Generation:
    """One generation: `genomes` [population, genes], and its number."""

    genomes: Array
    number: int = 0


@dataclass(frozen=True)
class Genetic:
    """The rules of reproduction; `ask` and `tell` are pure, all chance comes from (seed, generation).

    Attributes:
        population: networks in a generation.
        elite: how many of the best live on unchanged.
        winners: the share of the population that are parents by merit.
        losers: the share of the rest who reproduce as well, drawn by lot.
        mutation: the share of a child's genes that mutate.
        spread: the standard deviation of the largest mutations; most are smaller, down to a thousandth.
        seed: what all chance is drawn from.
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
        """A first generation around one genome [genes], itself included."""
        drawn = self._chance(0).standard_normal((self.population, genome.size)).astype(genome.dtype)
        drawn[0] = 0
        return Generation(genome + drawn * self.spread)

    def ask(self, generation: Generation) -> Array:
        """The genomes to be judged, [population, genes]."""
        return generation.genomes

    def tell(self, generation: Generation, costs: Array) -> Generation:
        """The next generation, given what each genome costs, [population]; NaN counts as worst."""
        chance = self._chance(generation.number + 1)
        genomes = generation.genomes[np.argsort(np.nan_to_num(costs, nan=np.inf), kind="stable")]
        parents = self._parents(genomes, chance)
        children, genes = self.population - self.elite, genomes.shape[1]
        mother, father = parents[chance.integers(len(parents), size=(2, children))]
        child = np.where(chance.random((children, genes)) < 0.5, mother, father)
        size = self.spread * 10 ** (-3 * chance.random((children, 1)))
        mutates = chance.random((children, genes)) < self.mutation
        child = child + mutates * size * chance.standard_normal((children, genes))
        return Generation(np.concatenate([genomes[: self.elite], child.astype(genomes.dtype)]), generation.number + 1)

    def _parents(self, ranked: Array, chance: np.random.Generator) -> Array:
        winners = max(2, round(self.winners * self.population))
        rest = ranked[winners:]
        lucky = chance.permutation(len(rest))[: round(self.losers * len(rest))]
        return np.concatenate([ranked[:winners], rest[lucky]])

    def _chance(self, number: int) -> np.random.Generator:
        return np.random.default_rng([checks.seed(self.seed), number])


@dataclass(frozen=True)
class Evolution:
    """How a genetic training went.

    Attributes:
        error: the mean error of the best network, as it was put into `net`.
        cost: the best cost of each generation, [G].
        generations: how many were judged.
        evaluations: how many networks were run in all.
        stopped: why it ended, in words.
        seconds: how long it took.
    """

    error: float
    cost: Array
    generations: int
    evaluations: int
    stopped: str
    seconds: float


@ambient()
@np.errstate(all="ignore")
def evolve(
    net: MLP,
    inputs: Any,
    targets: Any,
    cost: str = "mse",
    generations: int = 1_000,
    stop_error: float = 0.01,
    rules: Genetic | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> Evolution:
    """Train a network in place by evolution; each generation is run in one batched call.

    Args:
        net: the network the first generation varies; at the end it is the best one found. Parameters whose
            `requires_grad` is off are held; weights are float32 or float64, as for `train`.
        inputs: [B, ...] numbers.
        targets: as for `train`.
        cost: "mse" or "cross_entropy".
        generations: how many at most.
        stop_error: stop once the best network's mean error is this small; 0 never stops unless it is exact.
        rules: how to reproduce; the defaults if not given.
        progress: called with (generation, best cost).

    A network of which no weights or cost were finite is never the best one. Where every one was, `net` is left as it
    was, and `Evolution.stopped` says so.

    Raises:
        ValueError, TypeError: names, numbers, shapes or targets that do not fit, before anything has moved.
    """
    rules = Genetic() if rules is None else rules
    if not isinstance(rules, Genetic):
        raise TypeError(f"rules must be an inputopt.Genetic, not {type(rules).__name__}.")
    checks.function("progress", progress)
    generations, stop = checks.whole("generations", generations), checks.not_negative("stop_error", stop_error)
    resolved = find_cost(cost, check_plain(net).output)
    made, wanted = check_batch(net, resolved, inputs, targets)
    held = _held(net)
    own = arrays(net)
    flat, goals = made.flatten(1).numpy(), wanted.numpy()
    start, best = _genome(own), []
    generation = rules.first(start)
    stopped, started = "all generations done", time.perf_counter()
    for _ in range(generations):
        genomes = np.where(held, start, rules.ask(generation))
        costs = judge(own, resolved, genomes, flat, goals)
        winner = int(costs.argmin())
        best.append(float(costs[winner]))
        if np.isfinite(best[-1]):
            _settle(own, genomes[winner])
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


def judge(shape: Arrays, cost: Cost, genomes: Array, inputs: Array, targets: Array) -> Array:
    """The mean cost of each genome, [population], from one run of all of them; infinite where it is not finite."""
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


def _held(net: MLP) -> Array:
    """Which genes are of parameters that may not move, bool [genes].

    Raises:
        ValueError: all of them, or weights in half precision.
    """
    pairs = [value for pair in zip(net.weights, net.biases, strict=True) for value in pair]
    held = np.concatenate([np.full(value.numel(), not value.requires_grad) for value in pairs])
    if held.all():
        raise ValueError("The network has no parameters that may move, so there is nothing to train.")
    if pairs[0].dtype in HALF:
        raise ValueError("Weights in half precision cannot evolve; use net.float(), and convert it after.")
    return held


def _genome(net: Arrays) -> Array:
    return np.concatenate([value.ravel() for pair in zip(net.weights, net.biases, strict=True) for value in pair])


def _settle(net: Arrays, genome: Array) -> None:
    """Write a genome into the network's own memory."""
    start = 0
    for value in (value for pair in zip(net.weights, net.biases, strict=True) for value in pair):
        value[...] = genome[start : start + value.size].reshape(value.shape)
        start += value.size


def _error(net: MLP, cost: Cost, inputs: Any, targets: Any) -> float:
    return float(cost.error(net(inputs).detach(), targets).mean())
