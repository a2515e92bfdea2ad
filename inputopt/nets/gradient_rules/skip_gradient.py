"""Residual branches: modules whose output is added to what it was made from, past which skip connections lead."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from inputopt.nets.inference.observation import Hook, Observation

SUMS = ("aten.add", "aten.add_")


def branches(observation: Observation) -> list[nn.Module]:
    """The modules that residual branches end in.

    A branch counts if it starts at the very tensor that it is added to, and what its last module puts out goes nowhere
    else. Beside a skip that is itself a module, as where a network halves its images, neither way is the shorter one.
    """
    sources: dict[int, int] = {}  # of each value, itself included: a bit for each that it was made from
    ends = {call.made: call for call in observation.calls if next(call.module.children(), None) is None}
    for call in observation.calls:  # where no module without submodules ends, the innermost one that does
        ends.setdefault(call.made, call)
    readers = Counter(
        value
        for place, operation in enumerate(observation.operations)
        for value in set(operation.reads)
        if value in ends and place >= ends[value].end
    )
    found: Counter[nn.Module] = Counter()
    for operation in observation.operations:
        behind = 0
        for value in operation.reads:
            behind |= sources.setdefault(value, 1 << value)
        if operation.name in SUMS and len(operation.reads) == 2:
            one, other = operation.reads
            for branch, skip in ((one, other), (other, one)):
                if branch != skip and sources[branch] >> skip & 1 and branch in ends and readers[branch] == 1:
                    found[ends[branch].module] += 1
        for value in operation.writes:
            sources[value] = behind | 1 << value
    calls = Counter(call.module for call in observation.calls)
    return [module for module, times in found.items() if times == calls[module]]


def damping_hooks(modules: Sequence[nn.Module], share: float) -> list[Hook]:
    """Hooks, for `registered`, by which only that share of a derivative passes through each of those branches."""
    thread = threading.get_ident()

    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        if threading.get_ident() == thread and isinstance(output, Tensor) and output.requires_grad:
            output.register_hook(lambda grad: share * grad)  # type: ignore[no-untyped-call]

    return [(module, hook, False) for module in modules]
