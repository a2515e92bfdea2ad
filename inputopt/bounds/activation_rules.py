"""Rules that translate torch's activations (ATen) into nodes: piecewise linear ones as sums of ReLUs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from inputopt.bounds.graph_builder import GraphBuilder, RefusalError
from inputopt.bounds.relaxations import ELU, GELU, SOFTPLUS, TANH_GELU, Elementwise


def activated(kind: Elementwise, trace: GraphBuilder, result: Any, func: Any, args: Any, kwargs: Any) -> None:
    """A smooth activation that has a relaxation of its own."""
    node = trace.node(args[0])
    trace.set(result, trace.add(kind.name, kind, (node,), trace.shape(node)))


def rectified(trace: GraphBuilder, result: Any, func: Any, args: Any, kwargs: Any) -> None:
    """max(z, 0)."""
    trace.set(result, trace.rectified(trace.node(args[0])))


def leaky(trace: GraphBuilder, result: Any, func: Any, args: Any, kwargs: Any) -> None:
    """slope * z + (1 - slope) * relu(z)."""
    slope = args[1] if len(args) > 1 else 0.01
    if isinstance(slope, Tensor):
        node = trace.node(args[0])
        slope = (
            slope.double().reshape(-1, *(1,) * (len(trace.shape(node)) - 1)) if slope.numel() > 1 else slope.double()
        )
        slope = slope.reshape(()) if slope.numel() == 1 else slope
    else:
        slope = torch.tensor(float(slope), dtype=torch.float64)
    node = trace.node(args[0])
    above = trace.scaled(trace.rectified(node), 1 - slope)
    trace.set(result, trace.added(trace.scaled(node, slope), above))


def clamped(trace: GraphBuilder, result: Any, func: Any, args: Any, kwargs: Any) -> None:
    """clamp, hardtanh: lowest + relu(z - lowest), then highest - relu(highest - z)."""
    name = func.overloadpacket.__name__.strip("_")
    low, high = kwargs.get("min"), kwargs.get("max")
    if name == "clamp_max":
        high = args[1]
    elif name == "hardtanh":
        low, high = (*args[1:], -1.0, 1.0)[:2] if len(args) != 2 else (args[1], 1.0)
    else:
        low = args[1] if len(args) > 1 else low
        high = args[2] if len(args) > 2 else high
    if isinstance(low, Tensor) or isinstance(high, Tensor):
        raise RefusalError("a clamp between tensors")
    node, one = trace.node(args[0]), torch.tensor(1.0)
    if low is not None:
        shift = torch.tensor(float(low), dtype=torch.float64)
        node = trace.scaled(trace.rectified(trace.scaled(node, one, -shift)), one, shift)
    if high is not None:
        shift = torch.tensor(float(high), dtype=torch.float64)
        node = trace.scaled(trace.rectified(trace.scaled(node, -one, shift)), -one, shift)
    trace.set(result, node)


def absolute(trace: GraphBuilder, result: Any, func: Any, args: Any, kwargs: Any) -> None:
    """|z| = relu(z) + relu(-z)."""
    node = trace.node(args[0])
    minus = trace.scaled(node, torch.tensor(-1.0))
    trace.set(result, trace.added(trace.rectified(node), trace.rectified(minus)))


def larger(sign: float, trace: GraphBuilder, result: Any, func: Any, args: Any, kwargs: Any) -> None:
    """Element-wise maximum, or with sign -1 minimum, of two values."""
    if not (trace.knows(args[0]) and trace.knows(args[1])):
        raise RefusalError(func.overloadpacket.__name__)
    one, other = trace.node(args[0]), trace.node(args[1])
    if sign < 0:
        one, other = (trace.scaled(each, torch.tensor(sign)) for each in (one, other))
    made = trace.maximum(one, other)
    trace.set(result, made if sign > 0 else trace.scaled(made, torch.tensor(sign)))


def elu(trace: GraphBuilder, result: Any, func: Any, args: Any, kwargs: Any) -> None:
    """elu with alpha and scale 1."""
    if [float(each) for each in args[1:]] not in ([], [1.0], [1.0, 1.0], [1.0, 1.0, 1.0]):
        raise RefusalError("an elu with alpha or scale other than 1")
    activated(ELU, trace, result, func, args, kwargs)


def softplus(trace: GraphBuilder, result: Any, func: Any, args: Any, kwargs: Any) -> None:
    """Softplus with its beta, as softplus(beta z) / beta; beyond the threshold it is the identity (see `SOFTPLUS`)."""
    beta = float(args[1]) if len(args) > 1 else 1.0
    if len(args) > 2 and float(args[2]) < 20:
        raise RefusalError("a softplus with a threshold below 20")
    node = trace.node(args[0])
    node = node if beta == 1 else trace.scaled(node, torch.tensor(beta, dtype=torch.float64))
    node = trace.add("softplus", SOFTPLUS, (node,), trace.shape(node))
    trace.set(result, node if beta == 1 else trace.scaled(node, torch.tensor(1 / beta, dtype=torch.float64)))


def gelu(trace: GraphBuilder, result: Any, func: Any, args: Any, kwargs: Any) -> None:
    """gelu, exact or by its tanh approximation."""
    activated(TANH_GELU if kwargs.get("approximate") == "tanh" else GELU, trace, result, func, args, kwargs)
