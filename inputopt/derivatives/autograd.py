"""Differentiation by torch.autograd, the standard method for training larger networks."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from inputopt.derivatives.plain import HALF, check_plain, is_plain
from inputopt.derivatives.record import Gradients
from inputopt.nets.costs import Cost


def to_single_precision(outputs: Tensor) -> Tensor:
    """Cast half-precision outputs, such as those of a network with autocast, to float32 for the cost."""
    return outputs.float() if outputs.dtype in HALF else outputs


class Autograd:
    """Differentiation by torch.autograd; unlike the other methods it takes any module, whose outputs are the logits.

    Modules other than plain MLPs are given copies of the inputs, because they may write to them.
    """

    def __init__(self, net: nn.Module, cost: Cost) -> None:
        self._plain = net if is_plain(net) else None
        self._trainable = [parameter for parameter in net.parameters() if parameter.requires_grad]
        self._cost = cost
        self._net = net
        self.parameters = [parameter.detach() for parameter in self._trainable]
        self.evaluations = 2
        self.is_plain = self._plain is not None

    def native(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the batch unchanged."""
        return inputs, targets

    def step(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor | None, ...]:
        """Return dCost/dParameter averaged over the batch; None for parameters that the cost does not depend on."""
        cost = self._cost.torch(self._logits(inputs), targets)
        if not cost.requires_grad:
            raise ValueError(
                "The network's output has no gradient with respect to its parameters; enable gradients in its forward."
            )
        return torch.autograd.grad(cost, self._trainable, allow_unused=self._plain is None)

    def _logits(self, inputs: Tensor) -> Tensor:
        if self._plain is not None:
            return self._plain.logits(inputs)
        return to_single_precision(self._net(inputs.clone()))

    def report(self, inputs: Tensor, targets: Tensor) -> Gradients:
        """Return all gradients of an MLP by one forward and one backward."""
        net = copy.deepcopy(check_plain(self._net)).requires_grad_()  # includes gradients of frozen parameters
        variable = inputs.detach().requires_grad_()
        cost = self._cost.torch(net.logits(variable), targets)
        grads = torch.autograd.grad(cost, [variable, *net.weights, *net.biases])
        depth = len(net.weights)
        return Gradients(
            cost.item(),
            grads[1 : 1 + depth],
            grads[1 + depth :],
            grads[0] * len(inputs),  # undo the mean over the batch: gradients of per-example costs
            evaluations=2,
        )
