"""Occlusion (Zeiler and Fergus, 2014): the drop of a class logit while a square of the image is covered."""

from __future__ import annotations

import torch
from torch import Tensor

from inputopt.nets.frozen import Frozen
from inputopt.search.objectives.logits import logit_of
from inputopt.search.problem import Problem


def occlusion(net: Frozen, problem: Problem, base: Tensor, window: int) -> Tensor:
    """The drop of the logit per covered pixel, [B, C, H, W], for squares of side `window` replaced by `base`."""
    x = problem.x0
    attributions = torch.zeros_like(x)
    with torch.no_grad():
        clean = logit_of(net(x), problem.label)
        for top in range(0, x.shape[2], window):
            for left in range(0, x.shape[3], window):
                square = (..., slice(top, top + window), slice(left, left + window))
                covered = x.clone()
                covered[square] = base[square]
                drop = clean - logit_of(net(covered), problem.label)
                attributions[square] = (drop / x[0][square].numel()).reshape(-1, 1, 1, 1)
    return attributions
