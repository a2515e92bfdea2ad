"""The loss of the certified networks: cross-entropy of worst-case logits from intervals (Gowal et al., 2018)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from inputopt.bounds.interval import worst_case_logits

EPS = 0.1
"""Linf radius that the bounds reach."""

CLEAN_STEPS, RAMP_STEPS = 400, 1600
"""Updates on clean inputs, and then those in which the radius and the weight of the bounds rise linearly."""

CLEAN_WEIGHT = 0.3
"""Final weight of the cross-entropy of the clean inputs; the rest is that of the bounds."""

WORDS = (
    f"{CLEAN_WEIGHT} x softmax cross-entropy + {1 - CLEAN_WEIGHT} x that of interval bounds (Gowal et al., 2018) in "
    f"Linf {EPS}, both reached linearly between batches {CLEAN_STEPS:,} and {CLEAN_STEPS + RAMP_STEPS:,}"
)


def certified_loss(net: nn.Module, inputs: Tensor, targets: Tensor, index: int) -> Tensor:
    """The loss of update `index` for `train`, a number.

    Args:
        net: a module of operations that bounds are supported for, which returns logits.
        inputs: [B, ...] in [0, 1].
        targets: int64 [B].
        index: number of the update.
    """
    clean = functional.cross_entropy(net(inputs), targets)
    share = min(1.0, max(0.0, (index - CLEAN_STEPS) / RAMP_STEPS))
    if share == 0:
        return clean
    low, high = (inputs - share * EPS).clamp(0, 1), (inputs + share * EPS).clamp(0, 1)
    worst = functional.cross_entropy(worst_case_logits(net, low, high, targets), targets)
    weight = share * (1 - CLEAN_WEIGHT)
    return (1 - weight) * clean + weight * worst
