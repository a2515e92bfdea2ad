"""The oracle: asks the network about the inputs, and for the derivative by them when the loop wants it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from inputopt.nets.frozen import Frozen
from inputopt.search.goals import Goal
from inputopt.search.objectives import Objective
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.transforms import Transform, unchanged

Pull = Callable[[], Tensor]


class Oracle(Protocol):
    """Judges z at step `index`; returns what was seen, and a function that finds d loss / dz if it is called.

    Any source of gradients can stand here. The derivative is a second call because the loop does not always want it:
    not at the last step, and not when everybody is done.
    """

    def __call__(self, z: Tensor, problem: Problem, index: int) -> tuple[Evaluation, Pull]: ...


@dataclass(frozen=True)
class Backward:
    """The usual oracle: one forward through a frozen network, and one backward by autograd.

    Attributes:
        net: the network.
        objective: what to bring down.
        goal: when an example is done.
        transform: what happens to the inputs before the network sees them.
    """

    net: Frozen
    objective: Objective
    goal: Goal
    transform: Transform = unchanged

    def __call__(self, z: Tensor, problem: Problem, index: int) -> tuple[Evaluation, Pull]:
        variable = z.detach().requires_grad_()
        with torch.enable_grad():
            shown = self.transform(variable, problem, index)
            if self.objective.layers:
                loss = self.objective(self.net.features(shown, self.objective.layers), variable, problem)
                outputs = loss.new_empty(len(z), 0)
            else:
                outputs = self.net(shown)
                loss = self.objective(outputs, variable, problem)
        success = self.goal(outputs.detach(), problem)
        seen = Evaluation(z, outputs.detach(), loss.detach(), success)
        return seen, lambda: self.net.gradient(loss, variable)
