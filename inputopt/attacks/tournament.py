"""A tournament of classes: every class is tried for a few steps, and the likeliest for more."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from inputopt import checks
from inputopt.attacks.apgd import auto_step
from inputopt.attacks.base import Attack
from inputopt.attacks.pgd import falling, random_start
from inputopt.attacks.setting import Setting
from inputopt.attacks.tries import best_try, merged
from inputopt.attacks.wide import from_wide, wide_balls
from inputopt.search import chance
from inputopt.search.jacobian import linear_distances
from inputopt.search.objectives import label_over_target
from inputopt.search.problem import Problem, Result, take


@dataclass(frozen=True)
class Round:
    """One round of a tournament.

    Attributes:
        targets: how many classes are tried.
        steps: how many for each.
        wide: search in balls so many times as large first; (3, 2) in L1 and none elsewhere if not given.
        adaptive: steps by Auto-PGD's rule rather than falling ones: other steps get past other hills.
    """

    targets: int
    steps: int
    wide: tuple[float, ...] | None = None
    adaptive: bool = False


@dataclass(frozen=True)
class Tournament(Attack):
    """PGD towards several classes at once, round after round towards those that came closest.

    A targeted search finds what an untargeted one does not (Croce and Hein, 2020), and how close a few steps came
    tells which class is worth more of them (as Yao et al., 2021, and Ye et al., 2022, observe of whole attacks). Who
    takes part in the first round is told by one backward a class: the distance to its boundary, were the network
    linear (Moosavi-Dezfooli et al., 2016). The classes of a round are tries in one batch: when one of them succeeds,
    all are done, whichever class then wins.

    Attributes:
        rounds: one after the other, each from random points; step sizes fall from 2 eps along half a cosine.
        candidates: how many classes, those of the highest logits, are looked at before the first round.
    """

    rounds: tuple[Round, ...] = (Round(4, 12), Round(3, 16, (3.0,)), Round(2, 40, (3.0,)), Round(2, 40))
    candidates: int = 9

    @property
    def tries(self) -> int:
        return max((checks.whole("targets", part.targets) for part in self.rounds), default=0)

    def _search(self, setting: Setting) -> Result:
        problem = setting.problem
        classes, keys, looks = _candidates(setting, checks.whole("candidates", self.candidates))
        found: Result | None = None
        for number, part in enumerate(self.rounds):
            going = torch.ones_like(problem.ids, dtype=torch.bool) if found is None else ~found.success
            if not bool(going.any()):
                break
            now, reached = _play(setting, part, number, take(problem, going), classes[going], keys[going])
            keys[going] = torch.minimum(keys[going], reached)
            found = now if found is None else merged(found, going, now)
        assert found is not None
        return replace(found, forwards=found.forwards + (looks > 0), backwards=found.backwards + looks)


FAR = 1e30
"""What ranks behind every gap that a round reached."""


def _candidates(setting: Setting, count: int) -> tuple[Tensor, Tensor, int]:
    """Classes [B, n], what they are ranked by before the first round, lower first, and how many backwards that took."""
    problem = setting.problem
    if problem.target is not None:
        return problem.target[:, None], torch.full_like(problem.target[:, None], FAR, dtype=problem.x0.dtype), 0
    classes, distances = linear_distances(setting.net, problem, count, setting.norm)
    ranks = distances.argsort(1).argsort(1).to(distances.dtype)
    return classes, FAR * (1 + ranks), classes.shape[1]


def _play(
    setting: Setting, part: Round, number: int, problem: Problem, classes: Tensor, keys: Tensor
) -> tuple[Result, Tensor]:
    """One round: the best of each example's tries, and the least gap to each class, [B, n]; infinite if not tried."""
    targets = min(part.targets, keys.shape[1])
    columns = keys.topk(targets, dim=1, largest=False).indices.T.reshape(-1)  # try by try, as `best_try` wants them
    rows = torch.arange(len(keys), device=keys.device).repeat(targets)
    tries, target = take(problem, rows), classes[rows, columns]
    ids = chance.child(chance.child(tries.ids, torch.full_like(target, 1 + number)), 1 + target)
    tries = replace(tries, target=target, ids=ids, group=rows)
    start = random_start(tries, setting.norm, setting.seed)
    wide = wide_balls(part.wide, setting.norm)
    step = partial(auto_step, setting.norm) if part.adaptive else partial(falling, setting)
    leave = problem.target is None
    found = from_wide(setting, label_over_target, tries, start, checks.whole("steps", part.steps), wide, step, leave)
    reached = torch.full_like(keys, torch.inf).index_put((rows, columns), found.loss)
    return best_try(found, targets), reached
