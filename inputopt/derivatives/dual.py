"""Forward-mode differentiation with dual numbers: each number carries its partial derivatives.

A dual number is a + b eps with eps^2 = 0, so f(a + b eps) = f(a) + f'(a) b eps: one forward pass on dual numbers
gives all partial derivatives (Clifford, 1873; Wengert, 1964). Only the derivative rules of elementary functions are
defined here; the network's forward pass applies the chain rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from inputopt.derivatives.record import Gradients, as_arrays, interleaved, to_gradients, trainable
from inputopt.nets.activations import Array, erf
from inputopt.nets.arrays import Arrays, arrays, forward
from inputopt.nets.costs import Cost
from inputopt.nets.mlp import MLP


class Dual(np.lib.mixins.NDArrayOperatorsMixin):
    """An array and its partial derivatives.

    Attributes:
        value: the array, of any shape.
        partials: [P, *value.shape], the derivatives of `value` with respect to P variables.

    >>> x = Dual(np.array([2.0, 3.0]), np.array([[1.0, 0.0], [0.0, 1.0]]))
    >>> (x * x).partials.tolist()
    [[4.0, 0.0], [0.0, 6.0]]
    """

    def __init__(self, value: Array, partials: Array) -> None:
        self.value, self.partials = value, partials

    @property
    def mT(self) -> Dual:
        """The matrix transpose."""
        return Dual(self.value.mT, self.partials.mT)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the value."""
        return self.value.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the value."""
        return self.value.shape

    def astype(self, dtype: np.dtype[Any]) -> Dual:
        """Cast value and partials to `dtype`."""
        return Dual(self.value.astype(dtype), self.partials.astype(dtype))

    def sum(self, axis: int) -> Dual:
        """Sum over one axis, counted from the end (negative)."""
        return Dual(self.value.sum(axis), self.partials.sum(axis))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *operands: Any, **options: Any) -> Any:
        rule = RULES.get((ufunc, method))
        if rule is None:
            return NotImplemented
        dimensions = max(np.ndim(_value(operand)) for operand in operands)
        return rule(*(_aligned(operand, dimensions) for operand in operands), **options)

    def __array_function__(self, function: Any, types: Any, operands: Any, options: Any) -> Any:
        if function is not np.where:
            return NotImplemented
        condition, yes, no = operands
        return Dual(np.where(condition, _value(yes), _value(no)), np.where(condition, _partials(yes), _partials(no)))


def _value(operand: Any) -> Any:
    return operand.value if isinstance(operand, Dual) else operand


def _partials(operand: Any) -> Any:
    return operand.partials if isinstance(operand, Dual) else 0


def _aligned(operand: Any, dimensions: int) -> Any:
    """Insert dimensions of 1 after the first of the partials, so that they broadcast to `dimensions`."""
    if not isinstance(operand, Dual) or operand.value.ndim == dimensions:
        return operand
    missing = (1,) * (dimensions - operand.value.ndim)
    return Dual(operand.value, operand.partials.reshape(len(operand.partials), *missing, *operand.shape))


def _elementary(function: Any, slope: Callable[[Any, Any], Any]) -> Callable[[Dual], Dual]:
    """Return the rule of a function of one variable, given its derivative as a function of (argument, result)."""

    def rule(x: Dual) -> Dual:
        result = function(x.value)
        return Dual(result, x.partials * slope(x.value, result))

    return rule


def _broadcast(value: Array, partials: Any) -> Dual:
    """Broadcast partials to the shape of `value`, which may be larger after broadcasting with a constant."""
    shape = (len(partials), *value.shape)
    return Dual(value, partials if partials.shape == shape else np.array(np.broadcast_to(partials, shape)))


def _reciprocal(x: Dual) -> Dual:
    """Return 1 / x; where x is infinite, the partials are 0 instead of the NaN of infinity x 0."""
    result = np.reciprocal(x.value)
    return Dual(result, np.where(np.isinf(x.value), 0, x.partials * (-result * result)))


def _add(x: Any, y: Any) -> Dual:
    return _broadcast(_value(x) + _value(y), _partials(x) + _partials(y))


def _subtract(x: Any, y: Any) -> Dual:
    return _broadcast(_value(x) - _value(y), _partials(x) - _partials(y))


def _multiply(x: Any, y: Any) -> Dual:
    return Dual(_value(x) * _value(y), _partials(x) * _value(y) + _value(x) * _partials(y))


def _divide(x: Any, y: Any) -> Dual:
    result = _value(x) / _value(y)
    return Dual(result, (_partials(x) - result * _partials(y)) / _value(y))


def _matmul(x: Any, y: Any) -> Dual:
    left: Any = _partials(x) @ _value(y) if isinstance(x, Dual) else 0
    right: Any = _value(x) @ _partials(y) if isinstance(y, Dual) else 0
    return Dual(_value(x) @ _value(y), left + right)


def _selecting(function: Any, takes_first: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Dual]:
    def rule(x: Any, y: Any) -> Dual:
        first = takes_first(_value(x), _value(y))
        return Dual(function(_value(x), _value(y)), np.where(first, _partials(x), _partials(y)))

    return rule


def _logaddexp(x: Any, y: Any) -> Dual:
    result = np.logaddexp(_value(x), _value(y))
    left, right = np.exp(_value(x) - result), np.exp(_value(y) - result)
    return Dual(result, _partials(x) * left + _partials(y) * right)


def _logaddexp_all(x: Dual, axis: int) -> Dual:
    result = np.logaddexp.reduce(x.value, axis=axis)
    shares = np.exp(x.value - np.expand_dims(result, axis))
    return Dual(result, (x.partials * shares).sum(axis))


RULES: dict[tuple[Any, str], Callable[..., Dual]] = {
    (np.add, "__call__"): _add,
    (np.subtract, "__call__"): _subtract,
    (np.multiply, "__call__"): _multiply,
    (np.true_divide, "__call__"): _divide,
    (np.matmul, "__call__"): _matmul,
    (np.negative, "__call__"): _elementary(np.negative, lambda x, y: -1),
    (np.reciprocal, "__call__"): _reciprocal,
    (np.exp, "__call__"): _elementary(np.exp, lambda x, y: y),
    (np.expm1, "__call__"): _elementary(np.expm1, lambda x, y: y + 1),
    (np.tanh, "__call__"): _elementary(np.tanh, lambda x, y: 1 - y * y),
    (erf, "__call__"): _elementary(
        lambda x: erf(x).astype(x.dtype), lambda x, y: 2 / math.sqrt(math.pi) * np.exp(-x * x)
    ),
    (np.maximum, "__call__"): _selecting(np.maximum, np.greater),
    (np.minimum, "__call__"): _selecting(np.minimum, np.less),
    (np.logaddexp, "__call__"): _logaddexp,
    (np.logaddexp, "reduce"): _logaddexp_all,
    (np.greater, "__call__"): lambda x, y: np.greater(_value(x), _value(y)),
}


def seeded(net: Arrays, inputs: Array, with_inputs: bool) -> tuple[Arrays, Any]:
    """Convert the network, and optionally its inputs, to dual numbers that are seeded with the identity.

    The inputs have one variable per feature, shared by the batch, because no example's cost depends on another's input.
    """
    values = [array for pair in zip(net.weights, net.biases, strict=True) for array in pair]
    counts = [value.size for value in values] + ([inputs.shape[1]] if with_inputs else [])
    total, starts = sum(counts), np.cumsum([0, *counts])

    def dual(value: Array, index: int) -> Any:
        partials = np.zeros((total, value.size), value.dtype)
        partials[starts[index] : starts[index + 1]] = np.eye(value.size, dtype=value.dtype)
        return Dual(value, partials.reshape(total, *value.shape))

    duals = [dual(value, index) for index, value in enumerate(values)]
    dual_net = Arrays(duals[0::2], duals[1::2], net.activations)
    if not with_inputs:
        return dual_net, inputs
    partials = np.zeros((total, *inputs.shape), inputs.dtype)
    partials[starts[-2] :] = np.eye(inputs.shape[1], dtype=inputs.dtype)[:, None, :]
    return dual_net, Dual(inputs, partials)


class ForwardMode:
    """Differentiation by dual numbers (see `record.Way`)."""

    def __init__(self, net: MLP, cost: Cost) -> None:
        self._arrays, self._cost, self._trainable = arrays(net), cost, trainable(net)
        self.evaluations = 1
        self.parameters = self._trainable(interleaved(self._arrays.weights, self._arrays.biases))

    def native(self, inputs: Tensor, targets: Tensor) -> tuple[Array, Array]:
        """Return the batch as arrays."""
        return as_arrays(inputs, targets)

    def _costs(self, inputs: Array, targets: Array, with_inputs: bool) -> Any:
        net, variables = seeded(self._arrays, inputs, with_inputs)
        with np.errstate(over="ignore", invalid="ignore"):
            Z, O = forward(net, variables)
            return self._cost.value(Z[-1], O[-1], targets)

    def _split(self, partials: Array) -> tuple[list[Array], list[Array], Array]:
        """Split partials [P, B] into mean weight gradients, mean bias gradients and input gradients [B, n]."""
        mean, shaped, start = partials.mean(1), [], 0
        for value in interleaved(self._arrays.weights, self._arrays.biases):
            shaped.append(mean[start : start + value.size].reshape(value.shape))
            start += value.size
        return shaped[0::2], shaped[1::2], np.ascontiguousarray(partials[start:].T)

    def step(self, inputs: Array, targets: Array) -> list[Array]:
        """Return dCost/dParameter averaged over the batch."""
        weights, biases, _ = self._split(self._costs(inputs, targets, with_inputs=False).partials)
        return self._trainable(interleaved(weights, biases))

    def report(self, inputs: Tensor, targets: Tensor) -> Gradients:
        """Return all gradients by one evaluation, which carries a partial for each variable."""
        costs = self._costs(*as_arrays(inputs, targets), with_inputs=True)
        weights, biases, d_inputs = self._split(costs.partials)
        return to_gradients(costs.value.mean(), weights, biases, d_inputs, inputs, evaluations=1)
