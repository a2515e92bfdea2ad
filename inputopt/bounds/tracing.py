"""Tracing of a network's forward into a `Graph`: operations on the inputs as torch runs them, below autograd.

All code that computes with torch is seen: modules, functional calls, tensor methods, residual additions. What a network
does with the values of its inputs outside of torch is found by comparing the graph with the network itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from inputopt.bounds.aten_rules import RULES
from inputopt.bounds.graph_builder import GraphBuilder, RefusalError
from inputopt.bounds.network_graph import Graph, UnsupportedNetworkError
from inputopt.nets.dispatch_mode import DispatchMode
from inputopt.nets.frozen import Frozen
from inputopt.nets.inference.forward import ForwardError
from inputopt.nets.layers import WHOLE
from inputopt.nets.outputs import logits_in
from inputopt.search.keyed_random import uniform

ROWS = 3
"""Number of rows that a network is traced with: more than one, so that the batch dimension can be told apart."""

COMPARED = 256
"""Number of inputs on which the graph is compared with the network."""

TOLERANCE = 1e-3
"""Largest difference between graph and network, relative to the largest logit: they compute in different dtypes."""


class _Recorder(DispatchMode):
    """Records the operations of the calling thread; their tensors stay alive, so that ids are unique."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, result))
        return result


def _built(x: Tensor, calls: list[tuple[Any, Any, Any, Any]]) -> GraphBuilder:
    """The graph of recorded calls; built afterwards, because inside of a dispatch mode nothing is differentiated."""
    made = GraphBuilder(x)
    for func, args, kwargs, result in calls:
        if not any(made.knows(each) for each in _tensors((args, kwargs))):
            continue
        name = func.overloadpacket.__name__
        if name in OF_SHAPES:
            continue
        rule = RULES.get(name)
        try:
            if rule is None:
                raise RefusalError(
                    "code that hands values of tensors to Python (.item(), if)" if name in READS else name
                )
            rule(made, result, func, args, kwargs)
        except RefusalError as refusal:
            made.refuse(str(refusal), None if name in READS or func._schema.is_mutable else result)
    return made


OF_SHAPES = (
    *("new_ones", "new_zeros", "new_empty", "new_full", "new_empty_strided"),
    *("zeros_like", "ones_like", "empty_like", "full_like"),
)
"""Operations whose result depends on the shape of their argument only."""

READING = "code that hands values of tensors to Python (.item(), if)"
"""The reason that is given for the operations below."""

READS = ("_local_scalar_dense", "is_nonzero", "equal")
"""Operations that hand values of tensors to Python, which may then depend on them."""


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, (list, tuple)):
        return [each for part in value for each in _tensors(part)]
    if isinstance(value, dict):
        return _tensors(list(value.values()))
    return []


def trace(function: Callable[[Tensor], Any], x: Tensor) -> Graph:
    """Trace a function of inputs [B, ...]; constants keep their dtype and their autograd history.

    Raises:
        UnsupportedNetworkError: an operation on the way to the logits is not supported; the message names it.
    """
    rows = x[:1].detach().expand(ROWS, *x.shape[1:]).clone()
    recorder = _Recorder()
    with recorder:
        outputs = function(rows)
    logits = logits_in(outputs, ROWS)
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise UnsupportedNetworkError("Bounds need a network that returns one tensor of logits [B, n].")
    return _built(rows, recorder.calls).graph(logits)


@torch.no_grad()
def graph_of(net: Frozen, x: Tensor) -> Graph:
    """Trace a network with its normalisation; the graph has float64 constants and agrees with the network on `x`.

    Args:
        net: the network.
        x: inputs [B, ...] within its bounds, on which graph and network are compared.

    Raises:
        UnsupportedNetworkError: an operation is not supported, or graph and network disagree.
    """
    x = x[:COMPARED]
    net(x)  # chooses the dtype that the network computes in
    runner = net._network.runner

    def forward(rows: Tensor) -> Any:
        return runner(rows, (WHOLE,), isolate=True).outputs

    try:
        graph = trace(forward, x).to(torch.float64)
    except ForwardError as failure:
        raise UnsupportedNetworkError(
            f"The network could not be traced on a batch of {ROWS} ({type(failure.error).__name__})."
        ) from failure
    for each in (x, _others(net, x)):
        if not _agree(graph, net, each):
            raise UnsupportedNetworkError(
                "The traced operations give other logits than the network, which depends on its inputs in another way."
            )
    return graph


def _others(net: Frozen, x: Tensor) -> Tensor:
    """Random inputs within the bounds, or where these are infinite within a unit of x: a constant would show there."""
    low, high = (bound.expand(x.shape) for bound in net.box(x))
    low = torch.where(low.isfinite(), low, x - net.unit)
    high = torch.where(high.isfinite(), high, x + net.unit)
    ids = torch.arange(len(x), device=x.device)
    return low + (high - low) * uniform(x.shape[1:], 0, ids).to(x.dtype)


def _agree(graph: Graph, net: Frozen, x: Tensor) -> bool:
    """Whether graph and network give the same logits, up to the rounding of the network's dtype."""
    expected = net(x).double()
    found = torch.cat([graph(part.to(torch.float64)) for part in torch.split(x, 64)])
    return bool(((found - expected).abs() <= TOLERANCE * (1 + expected.abs().amax())).all())
