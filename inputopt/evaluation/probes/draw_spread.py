"""How random a random model is: the spread of the margin over draws, relative to the margin."""

from __future__ import annotations

import torch

from inputopt.evaluation.probes.gradient_agreement import spaced
from inputopt.nets.frozen import Frozen
from inputopt.search.network_draws import Draws
from inputopt.search.objectives.logits import margin
from inputopt.search.objectives.probability_scores import Scores
from inputopt.search.problem import Problem
from inputopt.search.rows import take

EXAMPLES, DRAWS = 16, 8
"""Numbers of inputs and of draws."""


@torch.no_grad()
def draw_spread(net: Frozen, problem: Problem, scores: Scores, draws: Draws) -> float:
    """Mean standard deviation of the margin over draws, divided by the mean absolute margin; at least 0."""
    part = take(problem, spaced(len(problem.x0), EXAMPLES, problem.x0.device))
    margins = []
    for draw in range(DRAWS):
        with draws(draw):
            margins.append(margin(scores(net(part.x0)), part.x0, part).nan_to_num(0, 0, 0))
    stacked = torch.stack(margins).double()
    return float(stacked.std(0).mean() / stacked.abs().mean().clamp_min(1e-300))
