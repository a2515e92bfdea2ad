"""Exact answers, found the slow way: nearest points of ball and box, and classifiers whose boundary is known."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

import inputopt

NORMS = ("l0", "l1", "l2", "linf")


def size(norm: str, change: np.ndarray) -> float:
    """The size of one change, [n]."""
    sizes = np.abs(change)
    return {"l0": (sizes > 0).sum(), "l1": sizes.sum(), "l2": (sizes**2).sum() ** 0.5, "linf": sizes.max()}[norm]


def sizes(norm: str, change: Tensor) -> Tensor:
    """The size of each change of a batch, [B], in float64 whatever the dtype."""
    return torch.tensor([size(norm, row) for row in change.detach().double().flatten(1).numpy()], dtype=torch.float64)


def nearest(norm: str, change: np.ndarray, eps: float, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The point of ball and box that is nearest to one change [n] in the Euclidean sense.

    In L1 and L2 it is the minimum of |x - change|^2 / 2 + m (size - eps) over the box, for the multiplier m that just
    brings the size down to eps: found by bisection. In L0 every choice of numbers is tried.
    """
    if norm == "linf":
        return change.clip(np.maximum(low, -eps), np.minimum(high, eps))
    if norm == "l0":
        return _nearest_of_few(change, int(eps), low, high)

    def at(multiplier: float) -> np.ndarray:
        if norm == "l2":
            return (change / (1 + multiplier)).clip(low, high)
        return (np.sign(change) * (np.abs(change) - multiplier).clip(0)).clip(low, high)

    if size(norm, at(0)) <= eps:
        return at(0)
    under, over = 0.0, 1.0
    while size(norm, at(over)) > eps and over < 1e18:
        over *= 2
    for _ in range(200):
        middle = (under + over) / 2
        under, over = (middle, over) if size(norm, at(middle)) > eps else (under, middle)
    return at(over)


def _nearest_of_few(change: np.ndarray, count: int, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    clipped = change.clip(low, high)
    found = []
    for chosen in combinations(range(len(change)), min(count, len(change))):
        kept = np.zeros_like(change)
        kept[list(chosen)] = clipped[list(chosen)]
        found.append(kept)
    return min(found, key=lambda point: ((point - change) ** 2).sum())


@dataclass(frozen=True)
class Linear:
    """A linear classifier between bounds, and inputs of known class whose way to every boundary is known."""

    weights: Tensor
    bias: Tensor
    x: Tensor
    y: Tensor
    bounds: tuple[float, float]

    def __call__(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weights.T + self.bias

    @property
    def net(self) -> inputopt.Frozen:
        return inputopt.Frozen(self, bounds=self.bounds)

    def distances(self, norm: str) -> Tensor:
        """How far each input is from the boundary to each other class, [B, n]; infinite for its own."""
        logits = self(self.x).double()
        found = torch.full_like(logits, torch.inf)
        for row, label in enumerate(self.y.tolist()):
            for other in range(logits.shape[1]):
                if other != label:
                    way = (self.weights[other] - self.weights[label]).double()
                    gap = float(logits[row, label] - logits[row, other])
                    found[row, other] = self._reach(norm, way, gap, self.x[row].flatten().double())
        return found

    def _reach(self, norm: str, way: Tensor, gap: float, x: Tensor) -> float:
        """The least size of a change along which `way` gains `gap`; the box counts in L0, elsewhere it is wide."""
        if norm != "l0":
            dual = {"l1": torch.inf, "l2": 2, "linf": 1}[norm]
            return gap / float(torch.linalg.vector_norm(way, dual))
        low, high = self.bounds
        gains = torch.maximum(way * (low - x), way * (high - x)).sort(descending=True).values.cumsum(0)
        return float((gains < gap).sum()) + 1


def linear(
    shape: tuple[int, ...],
    classes: int = 2,
    *,
    count: int = 8,
    weights: np.ndarray | None = None,
    gaps: tuple[float, float] = (1.0, 3.0),
    beyond: float = 40.0,
    bounds: tuple[float, float] = (-100.0, 100.0),
    spread: float = 0.5,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> Linear:
    """Inputs within `spread` of the middle of the bounds, or as little further as their classes ask for.

    Each is ahead of one other class by one of `gaps`, and of the rest by `beyond` more: so that class is the nearest
    in every norm, and what an attack follows from the start.
    """
    chance = np.random.default_rng(seed)
    if weights is None:
        weights = chance.normal(size=(classes, int(np.prod(shape))))
    rows, middle = np.arange(count), sum(bounds) / 2
    bias = -middle * weights.sum(1)  # in the middle all classes are alike
    label = rows % classes
    logits = -beyond - chance.uniform(*gaps, size=(count, classes))
    logits[rows, label] = 0
    logits[rows, runner_up(label, classes)] = -chance.uniform(*gaps, count)
    x = middle + chance.uniform(-spread, spread, size=(count, weights.shape[1]))
    centred = weights - weights.mean(0)  # only the differences of logits count
    wanted = logits - (x @ weights.T + bias)
    x = x + (wanted - wanted.mean(1, keepdims=True)) @ np.linalg.pinv(centred).T

    def made(values: np.ndarray) -> Tensor:
        return torch.as_tensor(values).to(dtype)

    return Linear(made(weights), made(bias), made(x).reshape(-1, *shape), torch.as_tensor(label), bounds)


def runner_up(label: np.ndarray, classes: int) -> np.ndarray:
    """The class that each input of `linear` is nearest to."""
    return (label + 1 + np.arange(len(label)) % (classes - 1)) % classes
