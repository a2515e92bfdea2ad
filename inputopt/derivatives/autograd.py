"""Automatic differentiation by torch, the way that every larger network is trained."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from inputopt.derivatives.plain import HALF, check_plain, is_plain
from inputopt.derivatives.record import Gradients
from inputopt.derivatives.replay import written_down
from inputopt.nets.costs import Cost


def in_full(outputs: Tensor) -> Tensor:
    """Outputs in half precision, as autocast inside a network leaves them, in float32: costs are computed in that."""
    return outputs.float() if outputs.dtype in HALF else outputs


class Autograd:
    """torch.autograd as a way to train; unlike the other ways it takes any module, whose output are then the logits.

    A module is given copies of the inputs, since it may write to them.
    """

    def __init__(self, net: nn.Module, cost: Cost) -> None:
        self._plain = net if is_plain(net) else None
        self._moving = [parameter for parameter in net.parameters() if parameter.requires_grad]
        self._cost = cost
        self._net = net
        self.parameters = [parameter.detach() for parameter in self._moving]
        self.evaluations = 2

    def native(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The batch as it is."""
        return inputs, targets

    def step(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor | None, ...]:
        """dCost/dParameter, averaged over the batch; None where the cost does not depend on a parameter."""
        cost = self._cost.torch(self._logits(inputs), targets)
        if not cost.requires_grad:
            raise ValueError("The network's output has no derivative by its parameters; let its forward record them.")
        return torch.autograd.grad(cost, self._moving, allow_unused=self._plain is None)

    def _logits(self, inputs: Tensor) -> Tensor:
        if self._plain is not None:
            return self._plain.logits(inputs)
        return in_full(self._net(inputs.clone()))

    def repeated(self, inputs: Tensor, targets: Tensor) -> Callable[[], Sequence[Tensor | None]]:
        """Written down once for an MLP, which is known to do the same each time; other modules may not."""
        again = functools.partial(self.step, inputs, targets)
        if self._plain is None:
            return again
        return written_down(again, self.parameters)  # type: ignore[arg-type]  # an MLP's cost depends on all of them

    def report(self, inputs: Tensor, targets: Tensor) -> Gradients:
        """Every derivative of an MLP, by one forward and one backward."""
        net = copy.deepcopy(check_plain(self._net)).requires_grad_()  # parameters that are held have derivatives too
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
