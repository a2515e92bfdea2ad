"""Skip gradients (Wu et al., 2020) and stochastic depth (Huang et al., 2016): rules for residual branches."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from inputopt.nets.inference.observation import Hook, Observation

SUMS = ("aten.add", "aten.add_")

Kept = Callable[[int], Sequence[bool]]
"""Number of residual branches -> for each, in the order of the forward, whether the next forward runs it."""


@dataclass(frozen=True)
class BranchRule:
    """How residual branches are run.

    Attributes:
        share: factor on the gradient through each branch.
        kept: chooses at each forward the branches that are run; the output of the others is 0. None runs all of them.
    """

    share: float = 1.0
    kept: Kept | None = None

    @property
    def is_plain(self) -> bool:
        """Whether all branches are run, with their whole gradients."""
        return self.share == 1 and self.kept is None


PLAIN = BranchRule()


class ThreadRule(threading.local):
    """The rule that the calling thread has set."""

    rule: BranchRule = PLAIN


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


def branch_hooks(modules: Sequence[nn.Module], rule: BranchRule) -> list[Hook]:
    """Return hooks for `registered`, for one forward, that apply the rule to branches ending in these modules."""
    thread = threading.get_ident()
    kept = [True] * len(modules) if rule.kept is None else rule.kept(len(modules))
    dropped = {module for module, runs in zip(modules, kept, strict=True) if not runs}

    def hook(module: nn.Module, inputs: Any, output: Any) -> Tensor | None:
        if threading.get_ident() != thread or not isinstance(output, Tensor):
            return None
        if module in dropped:
            return torch.zeros_like(output)  # and no gradient passes the branch, so that its backward is not computed
        if rule.share != 1 and output.requires_grad:
            output.register_hook(lambda grad: rule.share * grad)  # type: ignore[no-untyped-call]
        return None

    return [(module, hook, False) for module in modules]
