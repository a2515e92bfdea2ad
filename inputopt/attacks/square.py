"""Square attack (Andriushchenko et al., 2020; L1: Croce and Hein, 2021): random search with square-shaped updates."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from inputopt.attacks.attack import Attack
from inputopt.attacks.config import setting, whole
from inputopt.attacks.config import share as share_of
from inputopt.attacks.run import AttackRun
from inputopt.search import keyed_random
from inputopt.search.norms import Norm
from inputopt.search.objectives.logits import margin
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.projections import Project
from inputopt.search.result import Result
from inputopt.search.rows import chosen, per_example

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # steps, out of 10,000, that halve the area


@dataclass(frozen=True)
class SquareState:
    """State: the best point so far [B, ...], its loss [B] and the index of the step."""

    best: Tensor
    loss: Tensor
    index: int


@dataclass(frozen=True)
class SquareLinf:
    """Set one square of each example to its lowest or highest allowed values, chosen at random per channel.

    Attributes:
        steps: total number of steps; sets the schedule of the squares' size.
        share: share of the image covered by the first square.
        seed: random seed of the squares.
    """

    steps: int
    share: float
    seed: int
    uses_gradient: ClassVar[bool] = False

    def start(self, problem: Problem) -> Tensor:
        """Vertical stripes of the lowest and highest allowed values."""
        channels, _, width = image_shape(problem.x0)
        signs = as_signs(keyed_random.uniform((channels, 1, width), self.seed, problem.ids)).to(problem.x0.dtype)
        upper = (signs > 0).expand(-1, *image_shape(problem.x0)).reshape(problem.x0.shape)
        return torch.where(upper, problem.region.high, problem.region.low)

    def init(self, z: Tensor, problem: Problem) -> SquareState:
        return SquareState(z, torch.full(z.shape[:1], torch.inf, dtype=z.dtype, device=z.device), 0)

    def update(
        self, z: Tensor, seen: Evaluation, state: SquareState, problem: Problem, project: Project
    ) -> tuple[Tensor, SquareState]:
        state = keep(z, seen, state)
        drawn = keyed_random.uniform((2 + image_shape(z)[0],), self.seed, problem.ids, state.index)
        window = window_at(drawn[:, :2], z, side(z, self.steps, self.share, state.index))
        signs = as_signs(drawn[:, 2:, None])
        values = torch.where(signs > 0, read(problem.region.high, window), read(problem.region.low, window))
        return project(written(state.best, window, values), problem), state


@dataclass(frozen=True)
class SquareBumps:
    """Remove the perturbation in one square, and use its norm and any unused norm for a bump in another square.

    Attributes:
        power: 2 in L2, 1 in L1: the norm is the sum of these powers of the changes, to the power of 1 / `power`.
        steps: total number of steps; sets the schedule of the squares' size.
        share: share of the image covered by the first square.
        seed: random seed of the squares.
    """

    power: int
    steps: int
    share: float
    seed: int
    uses_gradient: ClassVar[bool] = False

    def start(self, problem: Problem) -> Tensor:
        """A grid of bumps, five per side, scaled to norm eps."""
        channels, height, width = image_shape(problem.x0)
        tall, wide = max(1, height // 5), max(1, width // 5)
        rows, columns = height // tall, width // wide
        signs = as_signs(keyed_random.uniform((channels, 1, 1), self.seed, problem.ids)).to(problem.x0.dtype)
        bumps = bump(tall, wide).to(problem.x0).repeat(rows, columns)
        grid = problem.x0.new_zeros(len(problem.x0), channels, height, width)
        top, left = (height - rows * tall) // 2, (width - columns * wide) // 2
        grid[:, :, top : top + rows * tall, left : left + columns * wide] = signs * bumps
        size = torch.linalg.vector_norm(grid, self.power, dim=(1, 2, 3)).clamp_min(1e-12)
        return problem.x0 + grid.reshape(problem.x0.shape) * per_example(problem.region.eps / size, problem.x0)

    def init(self, z: Tensor, problem: Problem) -> SquareState:
        return SquareState(z, torch.full(z.shape[:1], torch.inf, dtype=z.dtype, device=z.device), 0)

    def update(
        self, z: Tensor, seen: Evaluation, state: SquareState, problem: Problem, project: Project
    ) -> tuple[Tensor, SquareState]:
        state = keep(z, seen, state)
        channels, height, width = image_shape(z)
        drawn = keyed_random.uniform((5 + channels,), self.seed, problem.ids, state.index)
        length = max(side(z, self.steps, self.share, state.index), 3) | 1  # odd, so that a bump has a centre
        size = min(length, height), min(length, width)
        new_window, old_window = window_at(drawn[:, :2], z, length), window_at(drawn[:, 2:4], z, length)
        change = state.best - problem.x0
        old = read(change, new_window)
        cleared = written(written(change, old_window, torch.zeros_like(old)), new_window, torch.zeros_like(old))
        used = torch.linalg.vector_norm(cleared.flatten(1), self.power, dim=1) ** self.power
        unused = (problem.region.eps**self.power - used).clamp_min(0) / new_window.shape[1]
        shape = bump(*size).to(z)
        transposed = shape.T if size[0] == size[1] else shape
        bumps = torch.where(drawn[:, 4, None, None] < 0.5, shape.reshape(-1), transposed.reshape(-1))
        new = as_signs(drawn[:, 5:, None]).to(z.dtype) * unit(bumps, self.power) + unit(old, self.power)
        perturbation = written(cleared, new_window, unit(new, self.power) * unused.pow(1 / self.power)[:, None, None])
        return project(problem.x0 + perturbation, problem), state


def keep(z: Tensor, seen: Evaluation, state: SquareState) -> SquareState:
    """The state with the last point as the best one where its loss is lower."""
    better = seen.loss < state.loss
    return SquareState(chosen(better, z, state.best), torch.where(better, seen.loss, state.loss), state.index + 1)


def image_shape(z: Tensor) -> tuple[int, int, int]:
    """Channels, height and width of [B, C, H, W]; inputs that are not images are one row of pixels."""
    return (z.shape[1], z.shape[2], z.shape[3]) if z.ndim == 4 else (1, 1, z[0].numel())


def side(z: Tensor, steps: int, share: float, index: int) -> int:
    """Side length of the square at step `index`, in pixels."""
    halved = sum(index * 10_000 // steps > place for place in HALVINGS)
    _, height, width = image_shape(z)
    area = share / 2**halved * height * width
    longest = min(height, width) if height > 1 else width
    return min(longest, max(1, round(math.sqrt(area) if height > 1 else area)))


def window_at(drawn: Tensor, z: Tensor, length: int) -> Tensor:
    """Indices of a square's elements in each flat example, [B, channels, pixels]; `drawn` [B, 2] is its position."""
    channels, height, width = image_shape(z)
    box_height, box_width = min(length, height), min(length, width)
    top, left = (drawn[:, 0] * (height - box_height + 1)).long(), (drawn[:, 1] * (width - box_width + 1)).long()
    rows = torch.arange(box_height, device=z.device)[:, None] * width
    inside = (rows + torch.arange(box_width, device=z.device)).reshape(-1)
    each = torch.arange(channels, device=z.device)[:, None] * (height * width)
    return (top * width + left)[:, None, None] + each + inside


def as_signs(drawn: Tensor) -> Tensor:
    """+1 or -1 from uniform random numbers in [0, 1)."""
    return torch.where(drawn < 0.5, -1.0, 1.0)


def read(x: Tensor, window: Tensor) -> Tensor:
    """The elements of x in a window, [B, channels, pixels]."""
    return x.flatten(1).gather(1, window.flatten(1)).reshape(window.shape)


def written(x: Tensor, window: Tensor, values: Tensor) -> Tensor:
    """A copy of x with `values` in a window."""
    return x.flatten(1).scatter(1, window.flatten(1), values.flatten(1)).reshape(x.shape)


def unit(values: Tensor, power: int) -> Tensor:
    """Each channel of a window scaled to norm 1 in the norm of `power`; zeros stay zero."""
    return values / torch.linalg.vector_norm(values, power, dim=2, keepdim=True).clamp_min(1e-12)


@functools.cache
def bump(tall: int, wide: int) -> Tensor:
    """A positive and a negative half, each largest at its centre, of L2 norm 1, [tall, wide]."""
    if tall < wide:
        return bump(wide, tall).T
    upper = _half_bump(tall // 2, wide)
    both = torch.cat([upper, -_half_bump(tall - tall // 2, wide)])
    return both / torch.linalg.vector_norm(both)


def _half_bump(tall: int, wide: int) -> Tensor:
    """Concentric squares, scaled to L2 norm 1: the k-th from the centre adds 1 / k^2 to every element inside it."""
    if tall == 0:
        return torch.zeros(0, wide, dtype=torch.float64)
    rows = (torch.arange(tall) - tall // 2).abs()[:, None]
    columns = (torch.arange(wide) - wide // 2).abs()
    ring = torch.maximum(rows.expand(tall, wide), columns.expand(tall, wide))
    rings = max(tall, wide) // 2 + 1
    heights = torch.tensor(
        [sum(1 / (k + 1) ** 2 for k in range(distance, rings)) for distance in range(rings + 1)],
        dtype=torch.float64,
    )
    profile = heights[ring.clamp(max=rings)]
    return profile / torch.linalg.vector_norm(profile).clamp_min(1e-12)


def square_step(norm: Norm, steps: int, share: float, seed: int) -> SquareLinf | SquareBumps:
    """The update of the norm: Linf, L2 or L1."""
    if norm.is_box:
        return SquareLinf(steps, share, seed)
    return SquareBumps(1 if norm.name == "l1" else 2, steps, share, seed)


@dataclass(frozen=True)
class Square(Attack):
    """Random square updates, kept where they lower the loss (Andriushchenko et al., 2020), in Linf, L2 and L1.

    In L1 the updates are those of L2 with L1 norms (Croce and Hein, 2021). It uses outputs only, so gradient masking is
    no defence against it. Inputs that are not images [C, H, W] are treated as one row of elements, and a square as a
    segment of the row.

    Attributes:
        steps: number of squares to try.
        share: share of the image covered by the first square.
    """

    norms: ClassVar[tuple[str, ...]] = ("linf", "l2", "l1")
    elsewhere: ClassVar[str] = "SparseRS"
    gradient_free: ClassVar[bool] = True

    steps: int = setting(5000, whole())
    share: float = setting(0.8, share_of)

    def _search(self, run: AttackRun) -> Result:
        step = square_step(run.norm, self.steps, self.share, run.seed)
        return run.search(margin, step, step.start(run.problem), self.steps, stop=self.stop_on_success)
