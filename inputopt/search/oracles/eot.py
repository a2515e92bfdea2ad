"""EOT: expectation over transformations (Athalye et al., 2018)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def expectation(evaluate: Callable[[int], tuple[Tensor, Tensor]], samples: int, index: int) -> tuple[Tensor, Tensor]:
    """Average logits [B, n] and loss [B] over independent draws; the gradient of the mean loss is the EOT gradient.

    Args:
        evaluate: number of the draw -> logits and loss of one forward.
        samples: draws per step.
        index: number of the step: each step has draws of its own.
    """
    if samples == 1:
        return evaluate(index)
    found = [evaluate(index * samples + sample) for sample in range(samples)]
    outputs, losses = (torch.stack(each).mean(0) for each in zip(*found, strict=True))
    return outputs, losses
