"""How much work CROWN will be for each input, known from its intervals alone."""

from __future__ import annotations

import torch
from torch import Tensor

from inputopt.bounds.ball import Ball
from inputopt.bounds.crown import is_exact
from inputopt.bounds.interval import propagate
from inputopt.bounds.network_graph import Graph


@torch.no_grad()
def open_activations(graph: Graph, ball: Ball) -> Tensor:
    """Number of activations of each input that CROWN has to bound by linear functions, int64 [B].

    These are the ReLUs whose sign intervals leave open and all other activations, without those of a first layer whose
    intervals are exact. Each costs two backward passes of a linear function.
    """
    intervals = propagate(graph, ball.box)
    count = torch.zeros(len(ball.x0), dtype=torch.int64, device=ball.x0.device)
    for before, is_relu in {node.inputs[0]: node.activation.is_relu for node in graph.nodes if node.activation}.items():
        if ball.norm == "linf" and is_exact(graph, before):
            continue
        low, high = intervals[before].low.flatten(1), intervals[before].high.flatten(1)
        count += ((low < 0) & (high > 0) if is_relu else high > low).sum(1)
    return count
