"""Multi-targeted PGD: a few steps towards each of several classes, then more towards the most promising ones."""

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
from inputopt.attacks.pgd import decaying_step
from inputopt.attacks.restarts import random_start
from inputopt.attacks.run import AttackRun
from inputopt.search import keyed_random
from inputopt.search.objectives.logits import logit_difference
from inputopt.search.oracles.linearised import boundary_distances, linear_distance
from inputopt.search.result import Result, best_restart, lower_loss, scatter, smaller_margin
from inputopt.search.rows import take

NOT_TRIED = 1e30
"""Rank of a class that no round has tried yet: above every loss reached in a round."""


@dataclass(frozen=True)
class Round:
    """One round of `MultiTargeted`.

    Attributes:
        targets: number of target classes.
        steps: number of steps per class.
        enlarged_radii: multiples of eps of the larger balls searched first; default: (3, 2) in L1, none in other norms.
        adaptive: use APGD's step rule instead of a decaying step size; it escapes different local minima.

    Raises:
        ValueError, TypeError: an invalid setting.
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
    """PGD towards several target classes at once; each round continues with the classes that came closest.

    Targeted searches find adversarial examples that untargeted ones miss (Croce and Hein, 2020), and the loss after a
    few steps tells which classes deserve more steps (as Yao et al., 2021, and Ye et al., 2022, observe of whole
    attacks). The classes of the first round are those with the smallest distance to their linearised boundary
    (Moosavi-Dezfooli et al., 2016), at one backward per class. The classes of a round are rows of one batch: when any
    wrong class is predicted in one row of an example, all its rows are finished.

    Attributes:
        rounds: the rounds in order, each from new random starts.
        candidates: number of classes, by highest logit, considered before the first round.
    """

    takes_loss: ClassVar[bool] = False
    norms: ClassVar[tuple[str, ...]] = ("l1", "l2", "linf")
    elsewhere: ClassVar[str] = "PGD"

    rounds: tuple[Round, ...] = setting(
        (Round(4, 12), Round(3, 16, (3.0,)), Round(2, 40, (3.0,)), Round(2, 40)), _rounds
    )
    candidates: int = setting(9, whole())

    @property
    def rows_per_example(self) -> int:
        return max(part.targets for part in self.rounds)

    def _search(self, run: AttackRun) -> Result:
        classes, ranks = _candidate_classes(run, self.candidates)
        all_rows = torch.arange(len(ranks), device=ranks.device)
        found, ranks = self._run_round(run, self.rounds[0], 0, all_rows, classes, ranks)
        for number, part in enumerate(self.rounds[1:], start=1):
            rows = (~found.success).nonzero()[:, 0] if self.stop_on_success else all_rows
            if not len(rows):
                break
            new, ranks = self._run_round(run, part, number, rows, classes, ranks)
            found = scatter(found, rows, new, smaller_margin)
        return found

    def _run_round(
        self, run: AttackRun, part: Round, number: int, rows: Tensor, classes: Tensor, ranks: Tensor
    ) -> tuple[Result, Tensor]:
        """Run a round for the examples `rows`; return the best result of each and the updated ranks [B, n]."""
        targets = min(part.targets, ranks.shape[1])
        columns = ranks[rows].topk(targets, dim=1, largest=False).indices.T.reshape(-1)  # one block of rows per target
        repeated_rows = rows.repeat(targets)
        problem, target = take(run.problem, repeated_rows), classes[repeated_rows, columns]
        ids = keyed_random.child(keyed_random.child(problem.ids, torch.full_like(target, 1 + number)), 1 + target)
        candidates = replace(problem, target=target, ids=ids, restarts=targets)
        found = search_inwards(
            run,
            logit_difference,
            candidates,
            random_start(candidates, run.norm, run.seed),
            part.steps,
            multiples_of(part.enlarged_radii, run.norm),
            partial(apgd_step, run.norm) if part.adaptive else partial(decaying_step, run),
            untargeted=run.problem.target is None,
            stop=self.stop_on_success,
        )
        lowest_loss = torch.minimum(ranks[repeated_rows, columns], found.loss)
        return best_restart(found, targets, lower_loss), ranks.index_put((repeated_rows, columns), lowest_loss)


def _candidate_classes(run: AttackRun, count: int) -> tuple[Tensor, Tensor]:
    """Candidate classes [B, n] and their ranks before the first round [B, n], lower is better."""
    problem = run.problem
    if problem.target is not None:
        return problem.target[:, None], torch.full_like(problem.target[:, None], NOT_TRIED, dtype=problem.x0.dtype)
    classes, distances = boundary_distances(run.net, problem, count, linear_distance(run.norm), run.meter, run.scores)
    ranks = distances.argsort(1).argsort(1).to(distances.dtype)
    return classes, NOT_TRIED * (1 + ranks)
