"""A bisection on eps, which makes an attack at a fixed distance look for the nearest input."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import torch
from torch import Tensor

from inputopt import checks
from inputopt.attacks.base import Attack
from inputopt.attacks.nearest import Nearest, looked_at, nearer
from inputopt.attacks.pgd import PGD
from inputopt.attacks.setting import Setting
from inputopt.attacks.wide import within
from inputopt.search.jacobian import plane_distances
from inputopt.search.norms import L0, Norm
from inputopt.search.problem import Result, take


@dataclass(frozen=True)
class Minimal(Nearest):
    """Any attack at a fixed distance, in smaller and smaller balls: a bisection on eps for each example.

    The first ball is as large as the distance to the boundary seems; until one is large enough each is twice the last.

    Attributes:
        attack: what searches each ball; its eps, levels, mask and samples give way to those here.
        rounds: how many balls are searched.
    """

    norm: str = field(init=False, default="")
    attack: Attack = field(default_factory=lambda: PGD("l2"))
    rounds: int = 10

    def __post_init__(self) -> None:
        object.__setattr__(self, "norm", self.attack.norm)

    @property
    def tries(self) -> int:
        return self.attack.tries

    def _search(self, setting: Setting) -> Result:
        attack = replace(self.attack, levels=self.levels, mask=None, samples=self.samples)
        found = looked_at(setting)
        ahead, low = seeming_distance(setting), torch.zeros_like(found.distance)
        found = replace(found, forwards=found.forwards + 1, backwards=found.backwards + 1)
        for _ in range(checks.whole("rounds", self.rounds)):
            eps = next_ball(setting.norm, low, found, ahead)
            going = (found.distance > 0) & (eps > low)
            if not bool(going.any()):
                break
            ball = within(take(setting.problem, going), eps[going], setting.norm, setting.net.bounds)
            now = attack._search(replace(setting, attack=attack, problem=ball))
            low[going] = torch.where(now.success, low[going], eps[going])
            found = put(found, going, now)
        return found


def seeming_distance(setting: Setting) -> Tensor:
    """How far away the boundary to the runner-up, or to the target, would be if the network were linear, [B]."""
    _, distances = plane_distances(setting.net, setting.problem, 1, setting.norm)
    return distances[:, 0].clamp_min(1e-6)


def next_ball(norm: Norm, low: Tensor, found: Result, ahead: Tensor) -> Tensor:
    """The next eps of each example, [B]; not above `low` where there is nothing left to try."""
    middle = (low + found.distance) / 2
    wider = torch.where(low > 0, 2 * low, ahead)
    eps = torch.where(found.success, middle, wider)
    return eps.floor().clamp_min(1) if norm is L0 else eps


def put(found: Result, rows: Tensor, new: Result) -> Result:
    """`found` with what was newly found for the examples `rows` (bool [B]) where that is nearer; the cost of both."""
    place = rows.nonzero()[:, 0]
    old = take(found, place)
    new = nearer(old, replace(new, distance=new.distance.masked_fill(~new.success, torch.inf)))
    values = {
        name: getattr(found, name).index_copy(0, place, getattr(new, name))
        for name in (item.name for item in fields(Result))
    }
    return Result(**values)
