"""Residual branches: a network's modules whose output is added to what they were made from, past which skips lead."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn

SUMS = {operator.add, operator.iadd, torch.add, "add", "add_"}


class _Tracer(fx.Tracer):
    """Does not look into modules without submodules, whoever wrote them: what is in there is no residual branch."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return super().is_leaf_module(m, module_qualified_name) or next(m.children(), None) is None


def branches(model: nn.Module) -> list[str]:
    """The names of the modules that residual branches end in; none for a model whose forward cannot be traced.

    A branch counts if it starts at the very tensor that it is added to, and what its last module puts out goes nowhere
    else. Beside a skip that is itself a module, as where a network halves its images, neither way is the shorter one.
    """
    try:
        nodes = list(_Tracer().trace(model).nodes)
    except Exception:  # a forward that decides by numbers, or anything else that cannot be traced
        return []
    sources: dict[fx.Node, set[fx.Node]] = {}
    calls = Counter(str(node.target) for node in nodes if node.op == "call_module")
    found: Counter[str] = Counter()
    for node in nodes:
        sources[node] = {node}.union(*(sources[source] for source in node.all_input_nodes))
        if node.target in SUMS and len(node.all_input_nodes) == 2:
            one, other = node.all_input_nodes
            for branch, skip in ((one, other), (other, one)):
                if skip in sources[branch] and branch.op == "call_module" and len(branch.users) == 1:
                    found[str(branch.target)] += 1
    return [name for name, times in found.items() if times == calls[name]]


@contextmanager
def damped(model: nn.Module, names: Sequence[str], share: float) -> Iterator[None]:
    """Only that share of a derivative passes through each of those branches inside; no hook is left."""

    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.requires_grad:
            output.register_hook(lambda grad: share * grad)  # type: ignore[no-untyped-call]

    handles = [model.get_submodule(name).register_forward_hook(hook) for name in names]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
