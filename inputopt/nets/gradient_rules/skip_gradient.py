"""Skip gradients (Wu et al., 2020): finding residual branches in a forward and scaling the gradients through them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from inputopt.nets.inference.observation import Hook, Observation

SUMS = ("aten.add", "aten.add_")


def branches(observation: Observation) -> list[nn.Module]:
    """Find the modules at the ends of residual branches in an observed forward.

    A branch counts if it starts at the same tensor that its output is added to, and the output of its last module is
    used nowhere else. Blocks whose skip path is itself a module, as at a downsampling, are not counted: neither of the
    two paths is an identity skip.
    """
    sources: dict[int, int] = {}  # by value: a bit mask of the values it depends on, itself included
    ends = {call.made: call for call in observation.calls if next(call.module.children(), None) is None}
    for call in observation.calls:  # else the innermost module that returned the value
        ends.setdefault(call.made, call)
    readers = Counter(
        value
        for place, operation in enumerate(observation.operations)
        for value in set(operation.reads)
        if value in ends and place >= ends[value].end
    )
    found: Counter[nn.Module] = Counter()
    for operation in observation.operations:
        ancestors = 0
        for value in operation.reads:
            ancestors |= sources.setdefault(value, 1 << value)
        if operation.name in SUMS and len(operation.reads) == 2:
            one, other = operation.reads
            for branch, skip in ((one, other), (other, one)):
                if branch != skip and sources[branch] >> skip & 1 and branch in ends and readers[branch] == 1:
                    found[ends[branch].module] += 1
        for value in operation.writes:
            sources[value] = ancestors | 1 << value
    calls = Counter(call.module for call in observation.calls)
    return [module for module, times in found.items() if times == calls[module]]


def damping_hooks(modules: Sequence[nn.Module], share: float) -> list[Hook]:
    """Return hooks for `registered` that multiply the gradient through each of the branches by `share`."""
    thread = threading.get_ident()

    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        if threading.get_ident() == thread and isinstance(output, Tensor) and output.requires_grad:
            output.register_hook(lambda grad: share * grad)  # type: ignore[no-untyped-call]

    return [(module, hook, False) for module in modules]
