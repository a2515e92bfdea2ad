"""What all attacks at a fixed distance share: checking what they are given, and cutting the work into fixed chunks."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from inputopt import checks
from inputopt.nets.frozen import Frozen, frozen
from inputopt.recipes.inputs import PROBABILITIES, check_problem, looks_like_probabilities
from inputopt.search.canvas import Canvas, Levels, pixels
from inputopt.search.geometry import Ball, tight_bounds
from inputopt.search.goals import reached, wrong
from inputopt.search.loop import Watch, lowest_loss, optimise
from inputopt.search.norms import LINF, Norm, find_norm, per_example
from inputopt.search.objectives import Objective
from inputopt.search.oracle import Backward
from inputopt.search.problem import Problem, Result, concatenated, take
from inputopt.search.steps.step import Step

CHUNK = 512
"""Examples are run in chunks of ids 0..511, 512..1023 and so on, whatever else is in the call.

Matrix kernels give other last bits at other batch sizes; a chunk is always run as the same batch, so work that is cut
between chunks gives the same bits as the whole.
"""


@dataclass(frozen=True)
class Attack(ABC):
    """An attack at a fixed distance: its settings. Called, it moves inputs.

    Attributes:
        norm: "l0", "l1", "l2" or "linf".
        eps: the distance, a number or one for each example, [B].
        levels: search only what a file with so many levels can hold (256 for PNG); the inputs must lie on them.
        mask: bool, of the shape of one input or of all: the only numbers that may move.
        samples: run each example so often and go by the mean, for networks that answer at random.
    """

    norm: str = "linf"
    eps: float | Tensor = 0.1
    levels: int | None = field(default=None, kw_only=True)
    mask: Tensor | None = field(default=None, kw_only=True)
    samples: int = field(default=1, kw_only=True)

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
        net = frozen(model)
        seed = checks.seed(seed)
        checks.whole("samples", self.samples)
        problem = bounded(net, check_problem(net, x, y, ids, target), find_norm(self.norm), self.eps, self.mask)
        with torch.no_grad():
            if looks_like_probabilities(net(problem.x0[:8])):
                warnings.warn(PROBABILITIES, stacklevel=2)
        return in_chunks(problem, lambda part: self._search(Setting(self, net, part, seed, watch)))

    @abstractmethod
    def _search(self, setting: Setting) -> Result:
        """Search one chunk."""


@dataclass(frozen=True)
class Setting:
    """One chunk of work for an attack: whose settings, on what network, on which examples."""

    attack: Attack
    net: Frozen
    problem: Problem
    seed: int
    watch: Watch | None

    @property
    def norm(self) -> Norm:
        """The norm of the attack."""
        return find_norm(self.attack.norm)

    @property
    def canvas(self) -> Canvas:
        """The inputs themselves, or rounded to levels.

        Raises:
            ValueError: the inputs do not lie on the levels.
        """
        levels = self.attack.levels
        if levels is None:
            return pixels
        canvas = Levels(checks.whole("levels", levels, least=2), *self.net.bounds, self.norm)
        if float((canvas.on_levels(self.problem.x0) - self.problem.x0).abs().max()) > 1e-6:
            raise ValueError(f"x must lie on {levels} levels before it is moved on them; round it first.")
        return canvas

    def run(
        self,
        objective: Objective,
        step: Step,
        start: Tensor,
        steps: int,
        problem: Problem | None = None,
        *,
        leave: bool = False,
        stop: bool = True,
    ) -> Result:
        """Run the one loop on this chunk, or on a problem made of it.

        `leave`: the target only leads, and any wrong class is a success. `stop`: drop the examples that succeed.
        """
        problem = self.problem if problem is None else problem
        goal = wrong if leave or problem.target is None else reached
        oracle = Backward(self.net, objective, goal, canvas=self.canvas, samples=self.attack.samples)
        return optimise(
            oracle,
            step,
            Ball(self.norm),
            problem,
            start,
            steps=steps,
            select=lowest_loss,
            stop_on_success=stop,
            size=self.norm.size,
            watch=self.watch,
        )


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
    if not bool((distance >= 0).all()) or not bool(torch.isfinite(distance).all()):
        raise ValueError("eps must be finite and at least 0.")
    distance = distance.expand(len(x)).clone()
    radius = per_example(distance, x) if norm is LINF else torch.full_like(x, torch.inf)
    low, high = tight_bounds(x, radius, *net.bounds)
    if mask is not None:
        movable = torch.as_tensor(mask, device=x.device)
        if movable.dtype != torch.bool or movable.shape not in (x.shape, x.shape[1:]):
            raise ValueError(f"mask must be bool of shape {list(x.shape[1:])} or {list(x.shape)}.")
        low, high = torch.where(movable, low, x), torch.where(movable, high, x)
    return replace(problem, eps=distance, low=low, high=high)


def chunks(ids: Tensor) -> list[Tensor]:
    """The rows of each chunk, in the order of their ids."""
    number = ids // CHUNK
    order = ids.argsort(stable=True)
    return [order[number[order] == chunk] for chunk in dict.fromkeys(number[order].tolist())]


def in_chunks(problem: Problem, search: Callable[[Problem], Result]) -> Result:
    """Search chunk by chunk, and put the results back in the order of the problem."""
    rows = chunks(problem.ids)
    return take(concatenated([search(take(problem, part)) for part in rows]), torch.cat(rows).argsort())


@torch.no_grad()
def logits_in_chunks(net: Frozen, problem: Problem) -> Tensor:
    """What the network says of x0, [B, n], each chunk run by itself."""
    rows = chunks(problem.ids)
    return torch.cat([net(problem.x0[part]) for part in rows])[torch.cat(rows).argsort()]
