"""What all attacks share: checking what they are given, and cutting the work into fixed chunks."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from inputopt import checks
from inputopt.attacks.setting import Setting, Settings, canvas_of
from inputopt.nets.frozen import Frozen, frozen
from inputopt.search.geometry import tight_bounds
from inputopt.search.inputs import PROBABILITIES, check_problem, looks_like_probabilities
from inputopt.search.loop import Watch
from inputopt.search.norms import LINF, Norm, find_norm, per_example
from inputopt.search.problem import Problem, Result, concatenated, take

BATCHES = (32, 2048)
"""The least and the most rows that are run together."""

BATCH_WORK = 8e8
"""Floating-point operations of a forward of one batch: larger ones leave the caches, smaller ones wait for Python."""


def batch_size(net: Frozen, x: Tensor) -> int:
    """How many rows are run together at most: it follows from the network and the shape of an input."""
    each, (least, most) = net.operations(x[:1]), BATCHES
    return 512 if each == 0 else min(most, max(least, 2 ** int(math.log2(BATCH_WORK / each))))


def chunk_size(net: Frozen, x: Tensor) -> int:
    """How many ids make a chunk: 0 .. n - 1, n .. 2 n - 1 and so on, whatever else is in the call.

    Matrix kernels give other last bits at other batch sizes. A chunk is always run as the same batches, so work that is
    cut between chunks gives the same bits as the whole.
    """
    return 4 * batch_size(net, x)


@dataclass(frozen=True)
class Attack(Settings):
    """An attack at a fixed distance: its settings. Called, it moves inputs.

    Attributes:
        norm: "l0", "l1", "l2" or "linf".
        eps: the distance, a number or one for each example, [B].
        levels, mask, samples: as for `Settings`.
    """

    norm: str = "linf"
    eps: float | Tensor = 0.1

    def __call__(
        self,
        model: Frozen | nn.Module | Callable[[Tensor], Tensor],
        x: Tensor,
        y: Any,
        target: Any = None,
        seed: int = 0,
        ids: Any = None,
        watch: Watch | None = None,
    ) -> Result:
        """Move each input by at most eps so that the model errs, or sees the target.

        Args:
            model: a network, frozen or not; if not, its inputs are taken to lie in [0, 1].
            x: inputs [B, ...] in the bounds.
            y: their classes, [B].
            target: the classes to reach, a number or [B]; any other class if not given.
            seed: what all chance is drawn from, together with the ids.
            ids: what each example's randomness is keyed by, int64 [B]; the position if not given.
            watch: shown every step.

        Returns:
            `distance` is in the attack's norm; where `success` is false, `x` is the best failure.

        Raises:
            ValueError, TypeError: anything that does not fit, before any work.
        """
        net, seed = frozen(model), checks.seed(seed)
        problem = checked(self, net, x, y, target, ids, self.eps)
        if not bool(torch.isfinite(problem.eps).all()):  # type: ignore[arg-type]
            raise ValueError("eps must be finite; to look for the nearest input, use a minimal-norm attack.")
        checks.whole("the number of tries", self.tries)
        return in_batches(net, problem, lambda part: self._search(Setting(self, net, part, seed, watch)), self.tries)


def checked(attack: Settings, net: Frozen, x: Tensor, y: Any, target: Any, ids: Any, eps: float | Tensor) -> Problem:
    """The problem that an attack was called with; it warns if the model seems to return probabilities."""
    checks.whole("samples", attack.samples)
    problem = bounded(net, check_problem(net, x, y, ids, target), find_norm(attack.norm), eps, attack.mask)
    canvas_of(attack.levels, net, problem.x0, find_norm(attack.norm))
    with torch.no_grad():
        if looks_like_probabilities(net(problem.x0[:8])):
            warnings.warn(PROBABILITIES, stacklevel=3)
    return problem


def bounded(net: Frozen, problem: Problem, norm: Norm, eps: float | Tensor, mask: Tensor | None) -> Problem:
    """The problem with its ball and box.

    Raises:
        ValueError, TypeError: an eps that is negative, NaN or of a wrong shape; a mask that does not fit.
    """
    x = problem.x0
    if isinstance(eps, bool) or not isinstance(eps, (int, float, Tensor)):
        raise TypeError(f"eps must be a number or a tensor, not {type(eps).__name__}.")
    distance = torch.as_tensor(eps, dtype=x.dtype, device=x.device)
    if distance.ndim and distance.shape != (len(x),):
        raise ValueError(f"eps must be a number or {len(x)} of them, one an input, not shape {list(distance.shape)}.")
    if not bool((distance >= 0).all()):
        raise ValueError("eps must be a number of at least 0.")
    distance = distance.expand(len(x)).clone()
    radius = per_example(distance, x) if norm is LINF else torch.full_like(x, torch.inf)
    low, high = tight_bounds(x, radius, *net.bounds)
    movable = None
    if mask is not None:
        movable = torch.as_tensor(mask, device=x.device)
        if movable.dtype != torch.bool or movable.shape not in (x.shape, x.shape[1:]):
            raise ValueError(f"mask must be bool of shape {list(x.shape[1:])} or {list(x.shape)}.")
        movable = movable.expand(x.shape)
        low, high = torch.where(movable, low, x), torch.where(movable, high, x)
    return replace(problem, eps=distance, low=low, high=high, movable=movable)


def batches(net: Frozen, problem: Problem, tries: int = 1) -> list[Tensor]:
    """The rows to run together, in the order of their ids: each chunk in equal parts that are no larger than allowed.

    `tries`: how often each example stands in a batch.
    """
    number = problem.ids // chunk_size(net, problem.x0)
    order = problem.ids.argsort(stable=True)
    most = max(1, batch_size(net, problem.x0) // tries)
    parts: list[Tensor] = []
    for chunk in dict.fromkeys(number[order].tolist()):
        rows = order[number[order] == chunk]
        parts += rows.tensor_split(-(-len(rows) // most))
    return parts


def in_batches(net: Frozen, problem: Problem, search: Callable[[Problem], Result], tries: int = 1) -> Result:
    """Search batch by batch, and put the results back in the order of the problem."""
    rows = batches(net, problem, tries)
    if len(rows) == 1 and torch.equal(rows[0], torch.arange(len(problem.ids), device=problem.ids.device)):
        return search(problem)
    return take(concatenated([search(take(problem, part)) for part in rows]), torch.cat(rows).argsort())


@torch.no_grad()
def logits_in_batches(net: Frozen, problem: Problem) -> Tensor:
    """What the network says of x0, [B, n], each batch run by itself."""
    rows = batches(net, problem)
    return torch.cat([net(problem.x0[part]) for part in rows])[torch.cat(rows).argsort()]
