"""Multi-targeted PGD: every class is tried for a few steps, and the most promising for more."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from inputopt.attacks.apgd import apgd_step
from inputopt.attacks.attack import Attack
from inputopt.attacks.config import flag, optional, radii, setting, whole
from inputopt.attacks.enlarged_radii import multiples_of, search_inwards
from inputopt.attacks.pgd import falling
from inputopt.attacks.restarts import random_start
from inputopt.attacks.run import AttackRun
from inputopt.search import keyed_random
from inputopt.search.objectives.logits import logit_difference
from inputopt.search.oracles.linearised import boundary_distances, linear_distance
from inputopt.search.result import Result, best_restart, lower_loss, scatter, smaller_margin
from inputopt.search.rows import take

FAR = 1e30
"""A rank behind every loss that a round reached."""


@dataclass(frozen=True)
class Round:
    """One round.

    Attributes:
        targets: how many classes are tried.
        steps: how many for each.
        enlarged_radii: search in balls of these multiples of eps first; (3, 2) in L1 and none elsewhere if not given.
        adaptive: steps by Auto-PGD's rule rather than falling ones: other steps get past other hills.

    Raises:
        ValueError, TypeError: numbers that make no sense.
    """

    targets: int = field(metadata={"check": whole()})
    steps: int = field(metadata={"check": whole()})
    enlarged_radii: tuple[float, ...] | None = setting(None, optional(radii))
    adaptive: bool = setting(False, flag)

    def __post_init__(self) -> None:
        for name, check in (("targets", whole()), ("steps", whole()), ("enlarged_radii", optional(radii))):
            object.__setattr__(self, name, check(name, getattr(self, name)))


def _rounds(what: str, value: Any) -> tuple[Round, ...]:
    made = tuple(value)
    if not made or not all(isinstance(each, Round) for each in made):
        raise TypeError(f"{what} must be one or more attacks.Round.")
    return made


@dataclass(frozen=True)
class MultiTargeted(Attack):
    """PGD towards several classes at once, round after round towards those that came closest.

    A targeted search finds what an untargeted one does not (Croce and Hein, 2020), and how close a few steps came tells
    which class is worth more of them (as Yao et al., 2021, and Ye et al., 2022, observe of whole attacks). Who takes
    part in the first round is told by one backward a class: the distance to its boundary if the network were linear
    (Moosavi-Dezfooli et al., 2016). The classes of a round are rows of one batch: when one of them succeeds, all are
    done, whichever class then wins.

    Attributes:
        rounds: one after the other, each from random points.
        candidates: how many classes, those of the highest logits, are looked at before the first round.
    """

    takes_loss: ClassVar[bool] = False
    norms: ClassVar[tuple[str, ...]] = ("l1", "l2", "linf")
    elsewhere: ClassVar[str] = "PGD"

    rounds: tuple[Round, ...] = setting(
        (Round(4, 12), Round(3, 16, (3.0,)), Round(2, 40, (3.0,)), Round(2, 40)), _rounds
    )
    candidates: int = setting(9, whole())

    @property
    def rows(self) -> int:
        return max(part.targets for part in self.rounds)

    def _search(self, run: AttackRun) -> Result:
        classes, ranks = _candidates(run, self.candidates)
        everyone = torch.arange(len(ranks), device=ranks.device)
        found, ranks = self._play(run, self.rounds[0], 0, everyone, classes, ranks)
        for number, part in enumerate(self.rounds[1:], start=1):
            rows = (~found.success).nonzero()[:, 0] if self.stop_on_success else everyone
            if not len(rows):
                break
            now, ranks = self._play(run, part, number, rows, classes, ranks)
            found = scatter(found, rows, now, smaller_margin)
        return found

    def _play(
        self, run: AttackRun, part: Round, number: int, rows: Tensor, classes: Tensor, ranks: Tensor
    ) -> tuple[Result, Tensor]:
        """One round for the examples `rows`: the best row of each, and the ranks with what it brought, [B, n]."""
        targets = min(part.targets, ranks.shape[1])
        columns = ranks[rows].topk(targets, dim=1, largest=False).indices.T.reshape(-1)  # block after block
        repeated = rows.repeat(targets)
        problem, target = take(run.problem, repeated), classes[repeated, columns]
        ids = keyed_random.child(keyed_random.child(problem.ids, torch.full_like(target, 1 + number)), 1 + target)
        candidates = replace(problem, target=target, ids=ids, restarts=targets)
        found = search_inwards(
            run,
            logit_difference,
            candidates,
            random_start(candidates, run.norm, run.seed),
            part.steps,
            multiples_of(part.enlarged_radii, run.norm),
            partial(apgd_step, run.norm) if part.adaptive else partial(falling, run),
            untargeted=run.problem.target is None,
            stop=self.stop_on_success,
        )
        reached = torch.minimum(ranks[repeated, columns], found.loss)
        return best_restart(found, targets, lower_loss), ranks.index_put((repeated, columns), reached)


def _candidates(run: AttackRun, count: int) -> tuple[Tensor, Tensor]:
    """Classes [B, n], and what they are ranked by before the first round, lower first, [B, n]."""
    problem = run.problem
    if problem.target is not None:
        return problem.target[:, None], torch.full_like(problem.target[:, None], FAR, dtype=problem.x0.dtype)
    classes, distances = boundary_distances(run.net, problem, count, linear_distance(run.norm), run.meter)
    ranks = distances.argsort(1).argsort(1).to(distances.dtype)
    return classes, FAR * (1 + ranks)
