"""Why gradients are zero or vanish: finite differences along one random direction, at two lengths."""

from __future__ import annotations

from enum import Enum

import torch
from torch import Tensor

from inputopt.evaluation.probes.gradient_agreement import spaced
from inputopt.nets.frozen import Frozen
from inputopt.search import keyed_random
from inputopt.search.network_draws import Draws
from inputopt.search.objectives.probability_scores import Scores
from inputopt.search.problem import Problem
from inputopt.search.rows import take

EXAMPLES = 16
"""Number of inputs probed."""

STEP = 0.05
"""Length of the longer step in each element, relative to the width of the bounds."""

SHORTER = 100
"""Factor by which the other step is shorter: it crosses hardly any threshold of a quantised input or feature."""

PROPORTIONAL = (SHORTER / 2, SHORTER * 2)
"""Ratio of the changes at both lengths between which outputs count as smooth: `SHORTER` in a linear function."""

MOST = 0.5
"""Share of the inputs that must show a cause."""


class FlatCause(Enum):
    """Why a gradient is zero or vanishes; the value completes "The gradient vanishes: "."""

    DETACHED = "outputs change smoothly with the input, so the input is detached from its gradient on the way"
    QUANTISED = "outputs change with the input in jumps, so the input or the features are quantised"
    SATURATED = "outputs are saturated"
    DEAD = "outputs do not change near the input, so all units on the way are dead or constant"


@torch.no_grad()
def flat_cause(net: Frozen, problem: Problem, scores: Scores, seed: int, draws: Draws) -> FlatCause:
    """Find the most likely cause, with three forwards of at most `EXAMPLES` inputs."""
    part = take(problem, spaced(len(problem.x0), EXAMPLES, problem.x0.device))
    x = part.x0
    signs = torch.where(keyed_random.uniform(x.shape[1:], seed, part.ids) < 0.5, -1.0, 1.0).to(x)
    low, high = net.box(x)

    def outputs(length: float) -> Tensor:
        moved = torch.maximum(torch.minimum(x + length * net.unit * signs, high), low)
        with draws(0):
            return net(moved)

    clean, near, far = outputs(0.0), outputs(STEP / SHORTER), outputs(STEP)
    if _saturated(clean):
        return FlatCause.SATURATED
    short, long = ((each - clean).abs().nan_to_num(0, 0, 0).amax(1) for each in (near, far))
    unit = torch.finfo(clean.dtype).eps * clean.nan_to_num(0, 0, 0).abs().amax(1)
    moves = long > 64 * unit
    if float(moves.double().mean()) < MOST:
        return FlatCause.SATURATED if _saturated(scores(clean)) else FlatCause.DEAD
    ratio = long / short.clamp_min(torch.finfo(clean.dtype).tiny)
    smooth = (ratio > PROPORTIONAL[0]) & (ratio < PROPORTIONAL[1])
    return FlatCause.DETACHED if float(smooth[moves].double().mean()) > MOST else FlatCause.QUANTISED


def _saturated(outputs: Tensor) -> bool:
    """Whether most rows of [B, n] lie in [0, 1] or [-1, 1] with an element at the upper limit up to rounding."""
    inside = outputs.abs().amax(1) <= 1 + 1e-6
    at_limit = outputs.abs().amax(1) >= 1 - 1e-4
    return float((inside & at_limit).double().mean()) > MOST
