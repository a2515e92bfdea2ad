"""Cost functions (training losses) and their derivatives with respect to the network's outputs.

A cost is chosen together with the output activation (`find_cost`), because "cross_entropy" means binary cross-entropy
after a sigmoid output and softmax cross-entropy after an identity output. Values are per example, except `Cost.torch`,
which averages over them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from torch import Tensor
from torch.nn import functional

from inputopt import checks
from inputopt.nets.activations import Activation, Array, find_activation

CostName = Literal["mse", "cross_entropy"]

COSTS: tuple[CostName, ...] = get_args(CostName)


@dataclass(frozen=True)
class Cost:
    """A cost for a network with a given output activation. Z and O are those of the last layer, T the targets.

    Attributes:
        name: "mse" or "cross_entropy".
        torch: (Z [B, n], T) -> the mean cost over the examples, a scalar tensor.
        value: (Z, O, T) -> the cost of each example, as arrays [..., B].
        slope: (O, T) -> dCost/dO of each example.
        neuron_error: (O, T) -> dCost/dZ where the product dCost/dO x dO/dZ simplifies analytically; otherwise None.
        formula: the cost of an example as text.
        slope_formula: `slope` as text.
        error: (outputs, targets) -> the reference document's error per example: norm of target - output, [B].
        of_error: error -> cost of each example, where the cost is a function of the error; otherwise None.
        class_targets: whether targets are class indices [B] instead of numbers [B, n].
        unit_targets: whether targets must lie in [0, 1].
    """

    name: str
    torch: Callable[[Tensor, Tensor], Tensor]
    value: Callable[[Array, Array, Array], Array]
    slope: Callable[[Array, Array], Array]
    formula: str
    slope_formula: str
    error: Callable[[Tensor, Tensor], Tensor]
    neuron_error: Callable[[Array, Array], Array] | None = None
    of_error: Callable[[Tensor], Tensor] | None = None
    class_targets: bool = False
    unit_targets: bool = False


def find_cost(name: str, output: str) -> Cost:
    """Return the cost called `name` for a network with output activation `output`.

    Raises:
        ValueError: unknown name, or cross-entropy on outputs that are neither sigmoid nor identity.
    """
    checks.one_of("cost", name, COSTS)
    activation = find_activation(output)
    if name == "mse":
        return _half_squared_length(activation)
    if output == "sigmoid":
        return _BINARY
    if output == "identity":
        return _SOFTMAX
    raise ValueError(f"cross_entropy needs sigmoid or identity outputs, not {output!r}; use one of these, or mse.")


def check_targets(cost: Cost, targets: object, examples: int, outputs: int, like: Tensor) -> Tensor:
    """Convert `targets` to the tensor that the cost takes, on the device of `like`.

    Returns:
        int64 class indices [B], or numbers [B, outputs] in the dtype of `like`.

    Raises:
        TypeError: targets that cannot be converted to a tensor.
        ValueError: a wrong shape or count, NaN, or values that the cost does not allow.
    """
    if cost.class_targets:
        try:
            converted = checks.as_tensor(targets).to(like.device)
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(f"targets must be class indices: whole numbers of shape [B] ({error}).") from error
        if converted.shape != (examples,):
            raise ValueError(
                f"targets must be {examples} class indices, one per input, not shape {list(converted.shape)}."
            )
        return checks.classes("targets", converted, outputs)
    converted = checks.tensor("targets", targets, like.dtype, like.device)
    if converted.shape != (examples, outputs):
        classes = converted.shape == (examples,) and outputs > 1
        hint = "; class numbers need output='identity' and cost='cross_entropy'" * classes
        raise ValueError(f"targets must have shape {[examples, outputs]}, not {list(converted.shape)}{hint}.")
    if cost.unit_targets and (converted.min() < 0 or converted.max() > 1):
        raise ValueError("targets of cross_entropy on sigmoid outputs must lie in [0, 1].")
    return converted


def _length(difference: Tensor) -> Tensor:
    return difference.flatten(1).norm(dim=1)


def _half_squared_length(output: Activation) -> Cost:
    """The reference document's cost: half the squared norm of target - output (one output: half the squared error)."""

    def mean(z: Tensor, targets: Tensor) -> Tensor:
        return functional.mse_loss(output.torch(z), targets, reduction="sum") * (0.5 / len(targets))

    return Cost(
        "mse",
        torch=mean,
        value=lambda Z, O, T: 0.5 * ((O - T) * (O - T)).sum(-1),
        slope=lambda O, T: O - T,
        formula="half the sum of (T - O)^2",
        slope_formula="O - T",
        error=lambda outputs, targets: _length(targets - outputs),
        of_error=lambda error: 0.5 * error**2,
    )


def _binary_mean(z: Tensor, targets: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(z, targets, reduction="sum") / len(targets)


def _binary_slope(O: Array, T: Array) -> Array:
    return (O - T) / (O * (1 - O))


_BINARY = Cost(
    "cross_entropy",
    torch=_binary_mean,
    # -T log O - (1 - T) log(1 - O) as a function of Z, which does not overflow where the sigmoid saturates
    value=lambda Z, O, T: (np.logaddexp(Z, 0) - T * Z).sum(-1),
    slope=_binary_slope,
    formula="-sum of (T x log O + (1 - T) x log(1 - O))",
    slope_formula="(O - T) / (O x (1 - O))",
    error=lambda outputs, targets: _length(targets - outputs),
    neuron_error=lambda O, T: O - T,  # O (1 - O) cancels, so a saturated output still has a gradient
    unit_targets=True,
)


def _one_hot(O: Array, T: Array) -> Array:
    return (T[:, None] == np.arange(O.shape[-1])).astype(O.dtype)


def _softmax(O: Array) -> Array:
    exponentials = np.exp(O - O.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def _softmax_error(outputs: Tensor, targets: Tensor) -> Tensor:
    one_hot = functional.one_hot(targets, outputs.shape[1]).to(outputs.dtype)
    return _length(one_hot - outputs.softmax(1))


_SOFTMAX = Cost(
    "cross_entropy",
    torch=functional.cross_entropy,
    value=lambda Z, O, T: np.logaddexp.reduce(O, axis=-1) - (_one_hot(O, T) * O).sum(-1),
    slope=lambda O, T: _softmax(O) - _one_hot(O, T),
    formula="minus the log of the target class's softmax",
    slope_formula="softmax - (1 at the target class)",
    error=_softmax_error,
    class_targets=True,
)
