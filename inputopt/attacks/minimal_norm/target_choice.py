"""Searches towards classes: the ones of the highest logits at once, or the one whose boundary seems nearest."""

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
    """Every example once for each of the classes with the highest logits, or for its target, block after block.

    Returns:
        the problem, where its rows begin, and how many blocks there are.
    """
    problem = run.problem
    if problem.target is not None:
        return problem, run.begin, 1
    run.meter.forward(problem.example)
    with torch.no_grad():
        logits = run.net(problem.x0)
    count = min(classes, logits.shape[1] - 1)
    rows = torch.arange(len(logits), device=logits.device).repeat(count)
    target = others_first(logits, problem.label, count).T.reshape(-1)
    return replace(take(problem, rows), target=target), run.begin[rows], count


def towards_nearest(run: AttackRun, count: int) -> Problem:
    """Each example with the class, of the `count` of the highest logits, whose boundary seems nearest as its target."""
    classes, distance = boundary_distances(run.net, run.problem, count, linear_distance(run.norm), run.meter)
    return replace(run.problem, target=classes.gather(1, distance.argmin(1, keepdim=True))[:, 0])
