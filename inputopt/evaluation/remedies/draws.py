"""Random draws of attacks on random networks: how many to average over (EOT; Athalye et al., 2018), and mean logits."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from inputopt.evaluation.threat import Threat
from inputopt.nets.frozen import Frozen
from inputopt.search.network_draws import keyed
from inputopt.search.objectives.logits import attack_cross_entropy, others_first
from inputopt.search.problem import Problem
from inputopt.search.rows import take

MEASURED, ROWS = 12, 16
"""Draws and inputs that the noise of the gradient is measured on."""

LEAST, MOST = 8, 16
"""Fewest and most draws: fewer miss members of a small random ensemble, further ones are better spent on steps."""

BATCH = 256
"""Inputs of one forward."""

MEASURING = 7
"""Purpose key of these draws, which no search uses."""


def draws_needed(net: Frozen, threat: Threat, rows: Tensor) -> int:
    """The number of draws at which the error of the mean gradient is as long as the mean gradient.

    Steps average over further draws themselves, so this error may be as large as the signal.
    """
    part = take(threat.problem, rows[:ROWS])
    grads = torch.stack([_gradient(net, part, threat.seed, draw) for draw in range(MEASURED)])  # [draws, B, numbers]
    total, squares = grads.sum(0).square().sum(1), grads.square().sum((0, 2))
    signal = ((total - squares) / (MEASURED * (MEASURED - 1))).clamp_min(0)  # mean product of two different draws
    noise = (squares / MEASURED - signal).clamp_min(0)
    ratio = (noise / signal.clamp_min(1e-30))[squares > 0]
    if not len(ratio):
        return LEAST
    return min(MOST, max(LEAST, math.ceil(min(float(ratio.median()), MOST))))


@torch.no_grad()
def likeliest_classes(threat: Threat) -> Tensor:
    """The wrong classes of each input by their mean score over draws, the likeliest first, int64 [B, classes - 1]."""
    problem, draws = threat.problem, keyed(threat.seed, MEASURING)
    total = torch.zeros(len(problem.x0), threat.traits.classes, dtype=torch.float64, device=problem.x0.device)
    for draw in range(MEASURED if threat.traits.stochastic else 1):
        with draws(draw):
            scores = [threat.traits.scores(threat.net(part)).double() for part in torch.split(problem.x0, BATCH)]
        total += torch.cat(scores).nan_to_num(0, 0, 0)
    return others_first(total, problem.label, threat.traits.classes - 1)


def _gradient(net: Frozen, part: Problem, seed: int, draw: int) -> Tensor:
    variable = part.x0.detach().requires_grad_()
    with torch.enable_grad(), keyed(seed, MEASURING)(draw):
        loss = attack_cross_entropy(net(variable), variable, part)
    if not loss.requires_grad:
        return torch.zeros_like(variable).flatten(1)
    return net.gradient(loss, variable).nan_to_num(0, 0, 0).flatten(1)
