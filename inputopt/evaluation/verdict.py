"""The last word on every image of an evaluation: the network is asked once more, and not by an attack."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inputopt.attacks.batches import batches, logits_in_batches
from inputopt.evaluation.standing import Standing
from inputopt.nets.frozen import Frozen
from inputopt.search.draws import keyed
from inputopt.search.inputs import Look
from inputopt.search.problem import Problem
from inputopt.search.transforms import Transform

DRAWS = 20
"""Fresh draws of a random network."""

JUDGING = 5
"""The purpose that these draws are keyed by: no search has seen them."""


@dataclass(frozen=True)
class Verdict:
    """How often images are classified rightly.

    Attributes:
        clean: of the inputs as they were, the share of draws, [B]; 0 or 1 for a network that is not random.
        robust: of the final images likewise, [B].
        changed: how many images that had fooled the network do not when judged again.
    """

    clean: Tensor
    robust: Tensor
    changed: int


@torch.no_grad()
def judge(
    net: Frozen, problem: Problem, standing: Standing, known: Look, seed: int, transform: Transform | None = None
) -> Verdict:
    """Judge the clean inputs and the final images, apart from all attacks.

    A network that answers at random is judged on fresh draws, one whose answer depends on the other rows of a batch on
    each image alone. The final image of an input that was not fooled may be the input itself.
    """
    final = replace(problem, x0=standing.x)
    if known.varies or transform is not None:
        before, after = (_share_right(net, each, seed, transform, part) for part, each in enumerate((problem, final)))
        return Verdict(before, after, _changed(standing, after > 0.5))
    each_alone = known.batch_dependent
    clean = _right(_alone(net, problem), problem) if each_alone else standing.clean_margin > 0
    again = _right(_alone(net, final) if each_alone else logits_in_batches(net, final), final)
    right = again & clean
    return Verdict(clean.to(problem.x0.dtype), right.to(problem.x0.dtype), _changed(standing, right))


def _changed(standing: Standing, right: Tensor) -> int:
    """How many images that had fooled the network are classified rightly after all."""
    return int((right & ~standing.robust & (standing.fooled > 0.5)).sum())


def _right(logits: Tensor, problem: Problem) -> Tensor:
    """Whether logits are finite and highest for the label, bool [B]."""
    most = logits.amax(1)
    return ((most - most) == 0) & (logits.argmax(1) == problem.label)


def _alone(net: Frozen, problem: Problem) -> Tensor:
    return torch.cat([net(row) for row in torch.split(problem.x0, 1)])


def _share_right(net: Frozen, problem: Problem, seed: int, transform: Transform | None, part: int) -> Tensor:
    """The share of fresh draws in which each input is classified rightly, [B]."""
    draws, held = keyed(seed, JUDGING + part), torch.zeros(len(problem.x0), dtype=problem.x0.dtype)
    for draw in range(DRAWS):
        for rows in batches(net, problem):
            own = Problem(problem.x0[rows], problem.label[rows], ~problem.ids[rows])
            shown = own.x0 if transform is None else transform(own.x0, own, draw)
            with draws(draw):
                held[rows.cpu()] += _right(net(shown), own).cpu()
    return (held / DRAWS).to(problem.x0.device)


def wilson(share: float, count: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % interval of a share that was seen in `count` examples (Wilson, 1927).

    For shares of draws, averaged over examples, it is wider than need be.
    """
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, middle - half), min(1.0, middle + half)
