"""The gradient of the margin is exactly zero at some inputs."""

from __future__ import annotations

import torch

from inputopt.evaluation.indicators.indicator import Evidence, Indicator
from inputopt.nets.frozen import Frozen
from inputopt.search.objectives.logits import margin
from inputopt.search.problem import Problem
from inputopt.search.rows import take

EXAMPLES = 128
"""How many of the inputs are looked at, the first ones."""


def zero_gradient(evidence: Evidence) -> Indicator | None:
    """Exactly zero gradients: gradient attacks cannot move there (Carlini et al., 2019)."""
    share = evidence.zero_gradients
    if not share:
        return None
    return Indicator(
        "zero_gradient",
        share,
        f"The gradient is exactly zero at {100 * share:.1f} % of the inputs: gradient-based attacks cannot make "
        "progress there.",
    )


def share_of_zero_gradients(net: Frozen, problem: Problem) -> float:
    """The share of the first `EXAMPLES` inputs at which every derivative of the margin is 0; 1 without a derivative."""
    part = take(problem, torch.arange(min(EXAMPLES, len(problem.x0)), device=problem.x0.device))
    variable = part.x0.detach().requires_grad_()
    with torch.enable_grad():
        loss = margin(net(variable), variable, part)
    if not loss.requires_grad:
        return 1.0
    grad = net.gradient(loss, variable)
    return float((grad.flatten(1).abs().amax(1) == 0).double().mean())
