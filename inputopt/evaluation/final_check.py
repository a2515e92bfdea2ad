"""The last word on every image of an evaluation: the network is asked once more, and not by an attack."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inputopt.attacks.batches import logits_in_batches
from inputopt.evaluation.random_accuracy import JUDGING, JUDGING_AGAIN, right, share_right
from inputopt.evaluation.state import EvaluationState
from inputopt.nets.frozen import Frozen
from inputopt.search.network_traits import NetworkTraits, same_answers_alone
from inputopt.search.problem import Problem
from inputopt.search.rows import take

CHECKED = 8
"""Final images that are shown to the network alone, to see whether their neighbours matter."""

Z = 1.959964
"""Standard errors to either side of a 95 % interval."""


@dataclass(frozen=True)
class FinalCheck:
    """How often images are classified rightly.

    Attributes:
        clean: of the inputs as they were, the share of draws, [B]; 0 or 1 for a network that is not random.
        robust: of the final images likewise, [B].
        changed: how many images that had fooled the network do not when judged again.
        error: the standard error of the mean of `robust` that comes from the draws.
        alone: whether each image was judged by itself, since its answer depends on its neighbours.
    """

    clean: Tensor
    robust: Tensor
    changed: int
    error: float = 0.0
    alone: bool = False

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the mean of `robust`, over examples and draws."""
        accuracy = float(self.robust.double().mean())
        low, high = wilson(accuracy, len(self.robust))
        drawn = Z * self.error
        below, above = math.hypot(accuracy - low, drawn), math.hypot(high - accuracy, drawn)
        return max(0.0, accuracy - max(0.0, below)), min(1.0, accuracy + max(0.0, above))


@torch.no_grad()
def judge(net: Frozen, problem: Problem, standing: EvaluationState, known: NetworkTraits, seed: int) -> FinalCheck:
    """Judge the clean inputs and the final images, apart from all attacks.

    A network that answers at random is judged on fresh draws, one whose answer depends on the other rows of a batch on
    each image alone. The final image of an input that was not fooled may be the input itself.
    """
    final = replace(problem, x0=standing.x)
    if known.varies:
        before = share_right(net, problem, seed, JUDGING)
        after = share_right(net, final, seed, JUDGING_AGAIN)
        return FinalCheck(before.shares, after.shares, _changed(standing, after.shares > 0.5), after.error)
    clean = standing.clean_margin > 0
    moved = (clean & ~standing.robust).nonzero()[:, 0]  # all others are what they were
    again, alone = _judged_together(net, take(final, moved)) if len(moved) else (clean[moved], False)
    again = clean.index_copy(0, moved, again)
    if known.batch_dependent or alone:
        clean, again, alone = *(right(_alone(net, each), problem.label) for each in (problem, final)), True
    both = again & clean
    changed = _changed(standing, both)
    return FinalCheck(clean.to(problem.x0.dtype), both.to(problem.x0.dtype), changed, alone=alone)


def _judged_together(net: Frozen, final: Problem) -> tuple[Tensor, bool]:
    """Whether images are classified rightly in a batch, [B], and whether some of them alone get another answer."""
    logits = logits_in_batches(net, final)
    return right(logits, final.label), not same_answers_alone(net, final.x0, logits, CHECKED)


def _changed(standing: EvaluationState, held: Tensor) -> int:
    """How many images that had fooled the network are classified rightly after all."""
    return int((held & ~standing.robust & (standing.fooled > 0.5)).sum())


def _alone(net: Frozen, problem: Problem) -> Tensor:
    return torch.cat([net(row) for row in torch.split(problem.x0, 1)])


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share that was seen in `count` examples (Wilson, 1927).

    For shares of draws, averaged over examples, it is wider than need be.
    """
    middle = (share + Z * Z / (2 * count)) / (1 + Z * Z / count)
    half = Z / (1 + Z * Z / count) * math.sqrt(share * (1 - share) / count + Z * Z / (4 * count * count))
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))
