"""The search that the attacks written by hand share: plain torch, apart from the library's attacks and evaluation.

Gradients come from surrogates of the defence: differentiable functions that lead where the defence can be fooled
(Athalye et al., 2018; Tramer et al., 2020). Every point on the way is judged by the defence itself.
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Surrogate = Callable[[Tensor], Tensor]
"""Points [B, ...] -> logits [B, n] with a useful gradient; may draw random numbers."""

Decode = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(points, lowest, highest) -> inputs between lowest and highest."""


@dataclass(frozen=True)
class Attack:
    """How one defence is attacked.

    Attributes:
        surrogates: the defended network -> surrogates, the most useful first.
        steps: steps of each run.
        targets: number of likeliest classes that are targeted in turn with the first surrogate.
        restarts: untargeted runs with each surrogate.
        draws: EOT (Athalye et al., 2018): gradients are averaged over this many forwards.
        smoothing: deviation of normal noise on the point for each of these forwards.
        climb: steps of a random search from the best point, which only needs the defence's outputs.
        widen: by how much the surrogates' points may leave the ball, with `decode` to return to it.
        decode: gives the input that the defence should be shown for a point of the surrogates.
        transfer: fool the first surrogate, and only show the defence what was found.
    """

    surrogates: Callable[[Any], Sequence[Surrogate]]
    steps: int = 60
    targets: int = 9
    restarts: int = 2
    draws: int = 1
    smoothing: float = 0.0
    climb: int = 0
    widen: float = 0.0
    decode: Decode | None = None
    transfer: bool = False


@dataclass(frozen=True)
class Judge:
    """What the defence answers, as its accuracy is defined.

    Attributes:
        net: the defended network.
        alone: judge images in batches of one.
        random: judge by the mean over `draws` fresh draws or calls, each time with a copy of the network.
        reject: a class whose prediction is no success of the attack; None if every wrong class is one.
        draws: number of draws or calls.
        seed: seed of the draws.
        batch: images that share one draw of a random network, and one call of a stateful one.
    """

    net: Any
    alone: bool = False
    random: bool = False
    reject: int | None = None
    draws: int = 42
    seed: int = 0
    batch: int = 16

    @torch.no_grad()
    def margins(self, x: Tensor, y: Tensor) -> Tensor:
        """Highest protected logit minus the highest other one, [B]; negative or NaN where the defence is fooled."""
        logits = torch.cat([self.net(row) for row in x.split(1)]) if self.alone else self.net(x)
        return margin(logits, y, self.reject)

    def scores(self, x: Tensor, y: Tensor) -> Tensor:
        """What the search brings down, [B]: margins, or the share of draws that are classified correctly."""
        return self.correct(x, y) if self.random else self.margins(x, y)

    def correct(self, x: Tensor, y: Tensor) -> Tensor:
        """Share of draws in which the images are classified correctly, [B]; 0 or 1 for deterministic networks."""
        if not self.random:
            return (self.margins(x, y) > 0).float()
        shares = []
        for number, (part, labels) in enumerate(zip(x.split(self.batch), y.split(self.batch), strict=True)):
            judge = Judge(copy.deepcopy(self.net), reject=self.reject) if isinstance(self.net, nn.Module) else self
            with drawn(self.seed + number):
                shares.append(sum((judge.margins(part, labels) > 0).float() for _ in range(self.draws)) / self.draws)
        return torch.cat(shares)


def margin(logits: Tensor, y: Tensor, reject: int | None = None) -> Tensor:
    """The label's logit minus the highest other one, [B]; a reject class counts as the label."""
    protected = torch.zeros_like(logits, dtype=torch.bool).scatter(1, y[:, None], True)
    if reject is not None and logits.shape[1] > reject:
        protected[:, reject] = True
    low = logits.masked_fill(~protected, -torch.inf).amax(1)
    return low - logits.masked_fill(protected, -torch.inf).amax(1)


@contextmanager
def drawn(seed: int) -> Iterator[None]:
    """Context in which the generators of torch, numpy and Python are seeded; they are restored afterwards."""
    python, arrays = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(arrays)


class Best:
    """The best input of each example found so far, and its score."""

    def __init__(self, judge: Judge, x: Tensor, y: Tensor, eps: float) -> None:
        self.judge, self.x, self.y = judge, x, y
        self.low, self.high = (x - eps).clamp(0, 1), (x + eps).clamp(0, 1)
        self.best, self.score = x.clone(), judge.scores(x, y)

    @property
    def active(self) -> Tensor:
        """Indices of the examples that are still classified correctly."""
        return (self.score > 0).nonzero()[:, 0]

    def offer(self, rows: Tensor, inputs: Tensor) -> Tensor:
        """Judge inputs [R, ...] for the examples `rows`; keep the better ones, and return which these are, bool [R]."""
        inputs = torch.minimum(torch.maximum(inputs, self.low[rows]), self.high[rows])
        scores = self.judge.scores(inputs, self.y[rows])
        better = ~(scores >= self.score[rows])
        self.best[rows[better]], self.score[rows[better]] = inputs[better], scores[better].nan_to_num(-1.0)
        return better


def by_hand(attack: Attack, judge: Judge, x: Tensor, y: Tensor, eps: float, seed: int) -> Tensor:
    """The worst inputs found within `eps` (Linf) of x and in [0, 1].

    Args:
        attack: how to attack.
        judge: the defence and how it is judged.
        x, y: images [B, C, H, W] and labels [B].
        eps: radius of the ball.
        seed: seed of every random number.
    """
    found = Best(judge, x, y, eps)
    surrogates = attack.surrogates(judge.net)
    runs: list[tuple[Surrogate, int | None, bool]]
    runs = [(each, None, number % 2 == 1) for each in surrogates for number in range(attack.restarts)]
    runs += [(surrogates[0], place, False) for place in range(attack.targets)]
    with drawn(seed):
        for surrogate, place, bounded in runs:
            if not len(found.active):
                break
            _descend(attack, surrogate, place, bounded, found)
        _climb(found, attack.climb)
    return found.best


def _descend(attack: Attack, surrogate: Surrogate, place: int | None, bounded: bool, found: Best) -> None:
    """Signed gradient descent with momentum (Dong et al., 2018) and a falling step size, from a random point."""
    rows = found.active
    low, high = found.low[rows] - attack.widen, found.high[rows] + attack.widen
    y = found.y[rows]
    target = None if place is None else _likeliest(surrogate, found.x[rows], y, place)
    z = low + (high - low) * torch.rand(low.shape)
    velocity = torch.zeros_like(z)
    for step in range(attack.steps):
        size = 0.5 * (1 + math.cos(math.pi * step / attack.steps)) * 0.5 + 0.01  # of the half width of the box
        slope = _gradient(attack, surrogate, z, y, target, bounded)
        scale = slope.abs().flatten(1).mean(1).clamp_min(1e-30).reshape(-1, 1, 1, 1)
        velocity = 0.75 * velocity + slope / scale
        z = torch.minimum(torch.maximum(z - size * (high - low) / 2 * velocity.sign(), low), high)
        last = step == attack.steps - 1
        if not last and found.judge.random and step % 15 != 14:  # judging takes many forwards
            continue
        inputs = z if attack.decode is None else attack.decode(z, found.low[rows], found.high[rows])
        found.offer(rows, inputs)
        if not found.judge.random:
            keep = found.score[rows] > 0
            rows, z, velocity, low, high, y = (each[keep] for each in (rows, z, velocity, low, high, y))
            target = None if target is None else target[keep]
        if not len(rows):
            return


def _gradient(
    attack: Attack, surrogate: Surrogate, z: Tensor, y: Tensor, target: Tensor | None, bounded: bool
) -> Tensor:
    """Gradient of the difference of logits, averaged over draws and noise.

    Draws that are fooled already count less; with `bounded`, so do those that are far from it, which may be hopeless.
    """
    total = torch.zeros_like(z)
    for _ in range(attack.draws):
        point = (z + attack.smoothing * torch.randn_like(z)) if attack.smoothing else z
        point = point.detach().requires_grad_()
        logits = surrogate(point)
        if target is None:
            loss = margin(logits[:, :10], y)
        else:
            loss = logits.gather(1, y[:, None])[:, 0] - logits.gather(1, target[:, None])[:, 0]
        if attack.draws > 1:
            loss = torch.sigmoid(loss / 3) if bounded else torch.nn.functional.softplus(loss)
        total += torch.autograd.grad(loss.sum(), point)[0].nan_to_num(0.0)
    return total


@torch.no_grad()
def _likeliest(surrogate: Surrogate, x: Tensor, y: Tensor, place: int) -> Tensor:
    logits = surrogate(x)[:, :10].scatter(1, y[:, None], -torch.inf)
    return logits.topk(place + 1, 1).indices[:, place]


def _climb(found: Best, steps: int) -> None:
    """Random search: squares of each image go to their lowest or highest values (as Andriushchenko et al., 2020)."""
    rows_in_image = torch.arange(28)
    for step in range(steps):
        rows = found.active
        if not len(rows):
            return
        side = max(1, round(7 * (1 - step / steps) ** 2))
        top, left = (torch.randint(0, 29 - side, (len(rows), 1, 1, 1)) for _ in range(2))
        tall, wide = rows_in_image.reshape(1, 1, -1, 1) - top, rows_in_image.reshape(1, 1, 1, -1) - left
        inside = (tall >= 0) & (tall < side) & (wide >= 0) & (wide < side)
        end = torch.where(torch.rand(len(rows), 1, 1, 1) < 0.5, found.low[rows], found.high[rows])
        found.offer(rows, torch.where(inside, end, found.best[rows]))
