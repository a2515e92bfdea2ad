"""Automatic differentiation by torch, the way that every larger network is trained."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from inputopt.derivatives.record import Gradients
from inputopt.derivatives.replay import written_down
from inputopt.nets.costs import Cost
from inputopt.nets.mlp import MLP


class Autograd:
    """torch.autograd as a way to train; unlike the other ways it takes any module, whose output are then the logits."""

    def __init__(self, net: nn.Module, cost: Cost) -> None:
        self._logits = net.logits if isinstance(net, MLP) else net
        self._moving = [parameter for parameter in net.parameters() if parameter.requires_grad]
        self._cost = cost
        self._net = net
        self.parameters = [parameter.detach() for parameter in self._moving]
        self.evaluations = 2

    def native(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The batch as it is."""
        return inputs, targets

    def step(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
        """dCost/dParameter, averaged over the batch."""
        return torch.autograd.grad(self._cost.torch(self._logits(inputs), targets), self._moving)

    def repeated(self, inputs: Tensor, targets: Tensor) -> Callable[[], Sequence[Tensor]]:
        """Written down once for an MLP, which is known to do the same each time; other modules may not."""
        again = functools.partial(self.step, inputs, targets)
        return written_down(again, self.parameters) if isinstance(self._net, MLP) else again

    def report(self, inputs: Tensor, targets: Tensor) -> Gradients:
        """Every derivative of an MLP, by one forward and one backward."""
        if not isinstance(self._net, MLP):
            raise TypeError("A full report of derivatives needs an inputopt.MLP.")
        net = copy.deepcopy(self._net).requires_grad_()  # parameters that are held have derivatives too
        variable = inputs.detach().requires_grad_()
        cost = self._cost.torch(net.logits(variable), targets)
        found = torch.autograd.grad(cost, [variable, *net.weights, *net.biases])
        depth = len(net.weights)
        return Gradients(
            cost.item(),
            found[1 : 1 + depth],
            found[1 + depth :],
            found[0] * len(inputs),  # the cost is a mean: undo it, to give each example its own derivative
            evaluations=2,
        )
