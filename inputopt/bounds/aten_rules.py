"""Rules that translate torch's operations (ATen) into nodes of a graph, by the name of the operation."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from inputopt.bounds.activation_rules import (
    absolute,
    activated,
    clamped,
    elu,
    gelu,
    larger,
    leaky,
    rectified,
    softplus,
)
from inputopt.bounds.affine import Convolution, Matrix, Rearranged, Reshaped
from inputopt.bounds.graph_builder import GraphBuilder, RefusalError
from inputopt.bounds.pooling_rules import max_pooled
from inputopt.bounds.relaxations import SIGMOID, SILU, TANH

Rule = Callable[[GraphBuilder, Any, Any, Any, Any], None]


def _same(trace: GraphBuilder, result: Any, func: Any, args: Any, kwargs: Any) -> None:
    """A copy, or a conversion between floating-point dtypes."""
    if not result.is_floating_point():
        raise RefusalError(func.overloadpacket.__name__)
    trace.set(result, trace.node(args[0]))


def _reshaped(trace: GraphBuilder, result: Any, func: Any, args: Any, kwargs: Any) -> None:
    node = trace.node(args[0])
    if not result.ndim or result.shape[0] != trace.batch:
        raise RefusalError("a change of shape that mixes examples")
    before, after = trace.shape(node), tuple(result.shape[1:])
    made = node if before == after else trace.add("reshape", Reshaped(before, after), (node,), after)
    trace.set(result, made)


def _moved(trace: GraphBuilder, result: Any, func: Any, args: Any, kwargs: Any) -> None:
    """Permutations, slices, padding, sums and means along dimensions other than the batch, run as they are."""
    name = func.overloadpacket.__name__
    node, rest, extra = trace.node(args[0]), args[1:], dict(kwargs)
    ndim = len(trace.shape(node)) + 1
    if _touches_batch(name, rest, extra, ndim):
        raise RefusalError(f"{name} over the batch dimension")
    shape = tuple(result.shape[1:])
    fan_in = max(1, math.prod(trace.shape(node)) // max(1, math.prod(shape))) + 1
    operation = Rearranged(lambda value: func(value, *rest, **extra), (trace.shape(node),), fan_in)
    trace.set(result, trace.add(name, operation, (node,), shape))


def _touches_batch(name: str, rest: Any, extra: Any, ndim: int) -> bool:
    """Whether an operation moves, cuts or sums along the first dimension."""
    if name == "constant_pad_nd":
        return len(rest[0]) >= 2 * ndim or (len(rest) > 1 and rest[1] != 0) or extra.get("value", 0) != 0
    if name == "permute":
        return rest[0][0] % ndim != 0
    if name in ("avg_pool2d", "avg_pool1d", "avg_pool3d", "_adaptive_avg_pool2d", "_adaptive_avg_pool3d"):
        return False
    given = rest[:2] if name in ("transpose",) else rest[:1]
    dims: list[int] = []
    for each in given:
        dims += list(each) if isinstance(each, (list, tuple)) else [0 if each is None else each]
    return not dims or any(each % ndim == 0 for each in dims)


def _unbound(trace: GraphBuilder, result: Any, func: Any, args: Any, kwargs: Any) -> None:
    """split, chunk and unbind: several slices."""
    node, name = trace.node(args[0]), func.overloadpacket.__name__
    dim = args[-1] if name == "unbind" and len(args) > 1 else (args[2] if len(args) > 2 else kwargs.get("dim", 0))
    if dim % (len(trace.shape(node)) + 1) == 0:
        raise RefusalError(f"{name} over the batch dimension")
    rest = args[1:]
    for index, part in enumerate(result):
        operation = Rearranged(lambda value, index=index: func(value, *rest, **kwargs)[index], (trace.shape(node),))
        trace.set(part, trace.add(name, operation, (node,), tuple(part.shape[1:])))


def _joined(trace: GraphBuilder, result: Any, func: Any, args: Any, kwargs: Any) -> None:
    """cat and stack."""
    dim = args[1] if len(args) > 1 else kwargs.get("dim", 0)
    if dim % result.ndim == 0 or not all(trace.knows(each) for each in args[0]):
        raise RefusalError(f"{func.overloadpacket.__name__} over the batch dimension, or with a constant")
    nodes = tuple(trace.node(each) for each in args[0])
    shapes = tuple(trace.shape(each) for each in nodes)
    operation = Rearranged(lambda *values: func(list(values), dim), shapes)
    trace.set(result, trace.add(func.overloadpacket.__name__, operation, nodes, tuple(result.shape[1:])))


def _added(trace: GraphBuilder, result: Any, func: Any, args: Any, kwargs: Any) -> None:
    """add and sub, also in place."""
    name = func.overloadpacket.__name__.strip("_")
    one, other = (args[1], args[0]) if name == "rsub" else (args[0], args[1])
    factor = float(kwargs.get("alpha", args[2] if len(args) > 2 else 1)) * (1.0 if name == "add" else -1.0)
    if not trace.knows(one):
        node = trace.node(other)
        made = trace.scaled(node, torch.tensor(factor), trace.constant(one, result.ndim))
    elif not trace.knows(other):
        node = trace.node(one)
        made = trace.scaled(node, torch.tensor(1.0), factor * trace.constant(other, result.ndim))
    else:
        second = trace.node(other)
        second = second if factor == 1 else trace.scaled(second, torch.tensor(factor))
        made = trace.added(trace.node(one), second)
    trace.set(result, made)


def _multiplied(trace: GraphBuilder, result: Any, func: Any, args: Any, kwargs: Any) -> None:
    """mul and div by a constant."""
    name = func.overloadpacket.__name__.strip("_")
    one, other = args[0], args[1]
    if trace.knows(one) and trace.knows(other):
        raise RefusalError("a product or quotient of two values that depend on the input")
    if not trace.knows(one):
        one, other = other, one
        if name == "div":
            raise RefusalError("a division by a value that depends on the input")
    constant = trace.constant(other, result.ndim).double()
    if len(args) > 2 or "rounding_mode" in kwargs:
        raise RefusalError("rounding")
    trace.set(result, trace.scaled(trace.node(one), 1 / constant if name == "div" else constant))


def _negated(trace: GraphBuilder, result: Any, func: Any, args: Any, kwargs: Any) -> None:
    trace.set(result, trace.scaled(trace.node(args[0]), torch.tensor(-1.0)))


def _linear(trace: GraphBuilder, result: Any, func: Any, args: Any, kwargs: Any) -> None:
    """addmm, mm and matmul-like products with a constant matrix on the right."""
    bias, one, other = args if len(args) == 3 else (None, *args)
    if (bias is not None and trace.knows(bias)) or not trace.knows(one) or trace.knows(other) or kwargs:
        raise RefusalError("a matrix product of two values that depend on the input")
    if other.ndim != 2 or (bias is not None and bias.ndim != 1):
        raise RefusalError("a batched matrix product")
    trace.set(result, trace.add("linear", Matrix(other.t(), bias), (trace.node(one),), tuple(result.shape[1:])))


def _convolved(trace: GraphBuilder, result: Any, func: Any, args: Any, kwargs: Any) -> None:
    x, weight, bias, *settings = args
    if trace.knows(weight) or (bias is not None and trace.knows(bias)):
        raise RefusalError("a convolution with weights that depend on the input")
    node = trace.node(x)
    made = Convolution(weight, bias, tuple(settings), trace.shape(node))
    trace.set(result, trace.add("convolution", made, (node,), tuple(result.shape[1:])))


def _normalised(trace: GraphBuilder, result: Any, func: Any, args: Any, kwargs: Any) -> None:
    """Batch norm with running statistics, as a scale and a shift in float64."""
    x, weight, bias, mean, variance = args[:5]
    training, eps = (False, args[6]) if "no_training" in func.overloadpacket.__name__ else (args[5], args[7])
    if training or mean is None:
        raise RefusalError("a batch norm with the statistics of the batch")
    scale = (variance.double() + eps).rsqrt()
    scale = scale if weight is None else scale * weight.double()
    shift = -mean.double() * scale
    shift = shift if bias is None else shift + bias.double()
    node = trace.node(x)
    shape = (-1, *(1,) * (len(trace.shape(node)) - 1))
    dtype = x.dtype if scale.requires_grad else torch.float64
    made = trace.scaled(node, scale.reshape(shape).to(dtype), shift.reshape(shape).to(dtype))
    trace.set(result[0], made)


def _in_place(rule: Rule, trace: GraphBuilder, result: Any, func: Any, args: Any, kwargs: Any) -> None:
    """The in-place form of an operation: the tensor is another node from now on."""
    trace.written(result)
    rule(trace, result, func, args, kwargs)


RULES: dict[str, Rule] = {
    **dict.fromkeys(
        ("clone", "detach", "alias", "_to_copy", "contiguous", "lift_fresh", "dropout", "native_dropout"), _same
    ),
    **dict.fromkeys(
        ("view", "_unsafe_view", "reshape", "_reshape_alias", "unsqueeze", "squeeze", "flatten"), _reshaped
    ),
    **dict.fromkeys(
        (
            *("permute", "transpose", "slice", "select", "sum", "mean", "constant_pad_nd", "flip"),
            *("avg_pool1d", "avg_pool2d", "avg_pool3d", "_adaptive_avg_pool2d", "_adaptive_avg_pool3d"),
        ),
        _moved,
    ),
    **dict.fromkeys(("split", "split_with_sizes", "unbind"), _unbound),
    **dict.fromkeys(("cat", "stack"), _joined),
    **dict.fromkeys(("add", "sub", "rsub"), _added),
    **dict.fromkeys(("mul", "div"), _multiplied),
    **dict.fromkeys(("addmm", "mm"), _linear),
    **dict.fromkeys(("convolution", "_convolution"), _convolved),
    **dict.fromkeys(
        (
            *("native_batch_norm", "_native_batch_norm_legit_no_training", "_native_batch_norm_legit"),
            *("cudnn_batch_norm", "_batch_norm_no_update"),
        ),
        _normalised,
    ),
    **dict.fromkeys(("leaky_relu", "_prelu_kernel", "prelu"), leaky),
    **dict.fromkeys(("clamp", "clamp_min", "clamp_max", "hardtanh"), clamped),
    **dict.fromkeys(("max_pool2d_with_indices", "max_pool3d_with_indices"), max_pooled),
    "relu": rectified,
    "neg": _negated,
    "abs": absolute,
    "maximum": partial(larger, 1.0),
    "minimum": partial(larger, -1.0),
    "sigmoid": partial(activated, SIGMOID),
    "tanh": partial(activated, TANH),
    "silu": partial(activated, SILU),
    "gelu": gelu,
    "elu": elu,
    "softplus": softplus,
}
RULES |= {
    f"{name}_": partial(_in_place, RULES[name])
    for name in (
        *("relu", "add", "sub", "mul", "div", "leaky_relu", "clamp", "clamp_min", "clamp_max", "hardtanh"),
        *("sigmoid", "tanh", "silu", "elu", "neg", "abs"),
    )
}
