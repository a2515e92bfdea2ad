"""The standard oracle: a forward through a frozen network and a backward by autograd."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from inputopt.nets.frozen import Frozen
from inputopt.search.canvases.canvas import Canvas, pixels
from inputopt.search.goals import Goal
from inputopt.search.network_draws import Draws, unseeded
from inputopt.search.objectives.objective import LOGITS, Objective
from inputopt.search.oracles.eot import expectation
from inputopt.search.oracles.oracle import Vjp, active_examples, evaluation, finite_gradient, of_rows
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.query_counter import QueryCounter
from inputopt.search.transforms import Transform, unchanged


@dataclass(frozen=True)
class Autograd:
    """Gradients of inputs [B, ...] by autograd: one forward for each EOT sample, one backward through all of them.

    Attributes:
        net: the network.
        objective: the loss to minimise.
        goal: success criterion of an example.
        transform: transformation applied to the inputs before the network.
        canvas: maps the search variable z to inputs.
        eot_samples: expectation over transformations (EOT; Athalye et al., 2018): average logits and losses over this
            many forwards, each with an independent draw of the transform and of the network's randomness.
        derives: whether gradients can be computed.
        draws: returns the context that seeds the network's randomness for a draw.
        meter: counts forwards and backwards.
    """

    net: Frozen
    objective: Objective
    goal: Goal
    transform: Transform = unchanged
    canvas: Canvas = pixels
    eot_samples: int = 1
    derives: bool = True
    draws: Draws = unseeded
    meter: QueryCounter = field(default_factory=QueryCounter)

    def __call__(self, z: Tensor, problem: Problem, index: int) -> tuple[Evaluation, Vjp]:
        variable = z.detach().requires_grad_(self.derives)
        with torch.set_grad_enabled(self.derives):
            x = self.canvas(variable, problem)
            outputs, loss = expectation(lambda draw: self._forward_once(x, problem, draw), self.eot_samples, index)
        self.meter.forward(problem.example, self.eot_samples)

        def vjp(active: Tensor | None) -> Tensor:
            examples = active_examples(problem, active)
            self.meter.backward(examples, self.eot_samples)
            grad = self.net.gradient(of_rows(loss, active), variable, self.eot_samples)
            return finite_gradient(of_rows(grad, active), examples, self.meter)

        x = z if x is variable else x.detach()
        return evaluation(x, outputs, loss, self.goal, problem, self.meter), vjp

    def _forward_once(self, x: Tensor, problem: Problem, draw: int) -> tuple[Tensor, Tensor]:
        transformed = self.transform(x, problem, draw)
        with self.draws(draw):
            if not self.objective.layers:
                outputs = self.net(transformed)
                return outputs, self.objective(outputs, x, problem)
            layers = (*self.objective.layers, LOGITS) if self.objective.logits else self.objective.layers
            features = self.net.features(transformed, layers)
        loss = self.objective(features, x, problem)
        return features.get(LOGITS, loss.new_empty(len(x), 0)), loss
