"""Difference of logits ratio (DLR; Croce and Hein, 2020), and a margin that is invariant to the scale of the logits."""

from __future__ import annotations

import torch
from torch import Tensor

from inputopt.search.objectives.logits import logit_difference_value, margin_value
from inputopt.search.objectives.objective import Objective
from inputopt.search.problem import Problem


def _relative_margin(outputs: Tensor, x: Tensor, problem: Problem) -> Tensor:
    ranked = outputs.topk(min(3, outputs.shape[1]), dim=1).values
    difference, spread = margin_value(outputs, x, problem), ranked[:, 0] - ranked[:, -1]
    return torch.where(constant(difference, spread), difference, difference / spread.clamp_min(1e-12))


relative_margin = Objective(_relative_margin)
"""Margin / (1st - 3rd highest logit), or 1st - 2nd with two classes: invariant to the scale of the logits."""


def _dlr(outputs: Tensor, x: Tensor, problem: Problem) -> Tensor:
    """Untargeted: margin / (1st - 3rd). Targeted: (label - target logit) / (1st - mean of 3rd and 4th)."""
    ranked = outputs.topk(min(4, outputs.shape[1]), dim=1).values
    if problem.target is None:
        difference = margin_value(outputs, x, problem)
        spread = ranked[:, 0] - ranked[:, min(2, ranked.shape[1] - 1)]
        usable = outputs.shape[1] >= 3
    else:
        difference = logit_difference_value(outputs, x, problem)
        spread = ranked[:, 0] - ranked[:, 2:].mean(1) if outputs.shape[1] >= 4 else ranked[:, 0]
        usable = outputs.shape[1] >= 4
    if not usable:
        return difference
    return torch.where(constant(difference, spread), difference, difference / spread.clamp_min(1e-12))


def constant(difference: Tensor, spread: Tensor) -> Tensor:
    """Where numerator and denominator are equal up to sign: the ratio is constant, its gradient 0, bool [B]."""
    return (spread <= 1e-12) | (difference.abs() >= spread * (1 - 1e-6))


dlr = Objective(_dlr)
"""Difference of logits ratio (Croce and Hein, 2020), invariant to the scale of the logits.

With fewer than 3 classes (4 with a target), for ties, and where the gradient of the ratio vanishes, it is the numerator
alone.
"""
