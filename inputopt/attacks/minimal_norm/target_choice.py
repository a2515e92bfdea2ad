"""Choice of target classes: those with the highest logits, or the one with the nearest linearised boundary."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from inputopt.attacks.run import AttackRun
from inputopt.search.objectives.logits import others_first
from inputopt.search.oracles.linearised import boundary_distances, linear_distance
from inputopt.search.problem import Problem
from inputopt.search.rows import take


def towards_classes(run: AttackRun, classes: int) -> tuple[Problem, Tensor, int]:
    """Repeat every example for each of the `classes` highest logits, or only for its target, in blocks.

    Returns:
        The problem, the starting points of its rows, and the number of blocks.
    """
    problem = run.problem
    if problem.target is not None:
        return problem, run.starting_points, 1
    run.meter.forward(problem.example)
    with torch.no_grad():
        logits = run.net(problem.x0)
    count = min(classes, logits.shape[1] - 1)
    rows = torch.arange(len(logits), device=logits.device).repeat(count)
    target = others_first(logits, problem.label, count).T.reshape(-1)
    return replace(take(problem, rows), target=target), run.starting_points[rows], count


def towards_nearest(run: AttackRun, count: int) -> Problem:
    """Target, of the `count` classes with the highest logits, the one with the nearest linearised boundary."""
    distances = linear_distance(run.norm)
    classes, distance = boundary_distances(run.net, run.problem, count, distances, run.meter, run.scores)
    return replace(run.problem, target=classes.gather(1, distance.argmin(1, keepdim=True))[:, 0])
