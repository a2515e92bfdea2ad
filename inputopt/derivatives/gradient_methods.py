"""The differentiation methods by name, and `gradients`, which computes all gradients by any of them."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from torch import Tensor

from inputopt import checks
from inputopt.derivatives.autograd import Autograd
from inputopt.derivatives.backprop import Backprop
from inputopt.derivatives.differences import Differences
from inputopt.derivatives.dual import ForwardMode
from inputopt.derivatives.plain import check_plain, in_single_precision
from inputopt.derivatives.record import BindMethod, Gradients
from inputopt.nets.costs import Cost, CostName, check_targets, find_cost
from inputopt.nets.default_modes import default_modes
from inputopt.nets.mlp import MLP

MethodName = Literal["autograd", "backprop", "dual", "differences", "one_sided"]

GRADIENT_METHODS: dict[str, BindMethod] = {
    "autograd": Autograd,
    "backprop": Backprop,
    "dual": ForwardMode,
    "differences": Differences,
    "one_sided": partial(Differences, central=False),
}


def find_gradient_method(method: str) -> BindMethod:
    """Return the differentiation method called `method`.

    Raises:
        ValueError: unknown name; the message suggests the nearest one.
    """
    return GRADIENT_METHODS[checks.one_of("method", method, GRADIENT_METHODS)]


def check_batch(net: MLP, cost: Cost, inputs: Any, targets: Any) -> tuple[Tensor, Tensor]:
    """Convert inputs and targets to tensors that fit the network and the cost.

    Raises:
        ValueError, TypeError: wrong shapes, an empty batch, NaN anywhere, weights of several dtypes or on several
            devices, or targets that the cost does not allow.
    """
    like = net.weights[0]
    for parameter in net.parameters():
        checks.finite("the network's weights", parameter)
        if parameter.dtype != like.dtype or parameter.device != like.device:
            raise ValueError(
                "The network's weights must have one dtype and be on one device; convert it with net.to(...)."
            )
    made = checks.batch("inputs", checks.tensor("inputs", inputs, like.dtype, like.device))
    if made.ndim < 2:
        raise ValueError(
            f"inputs must be a list of examples, such as [[...]] for one with its {net.sizes[0]} numbers, not of shape "
            f"{list(made.shape)}."
        )
    if made[0].numel() != net.sizes[0]:
        raise ValueError(f"inputs must have {net.sizes[0]} numbers per example, not shape {list(made.shape[1:])}.")
    return made, check_targets(cost, checks.block("targets", targets), len(made), net.sizes[-1], like)


@default_modes()
def gradients(
    net: MLP, inputs: Any, targets: Any, cost: CostName = "mse", method: MethodName = "backprop"
) -> Gradients:
    """Compute all gradients of the cost: of the weights, the biases (the neuron errors) and the inputs.

    Args:
        net: the network; its weights and their `.grad` are not changed. Gradients are computed in float32 for networks
            in float16 or bfloat16, otherwise in the network's dtype.
        inputs: numbers [B, ...]: a tensor, an array or nested lists, of any dtype.
        targets: numbers [B, n], or class indices [B] for cross-entropy on identity outputs.
        cost: "mse" or "cross_entropy".
        method: "backprop" (manual), "dual", "differences" (central), "one_sided" or "autograd".

    Raises:
        ValueError, TypeError: an unknown name, inputs or targets that do not fit, or a network that is not a plain MLP.

    >>> net = MLP([2, 1], weights=[[[0.3, 0.1]]], biases=[[0.5]])
    >>> gradients(net, [[1.0, 0.0]], [[0.0]]).biases[0]
    tensor([0.1476])
    """
    net = in_single_precision(check_plain(net))
    resolved = find_cost(cost, net.output)
    way = find_gradient_method(method)
    made, wanted = check_batch(net, resolved, inputs, targets)
    return way(net, resolved).report(made, wanted)
