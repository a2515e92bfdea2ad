"""Skip gradients (Wu et al., 2020) and stochastic depth (Huang et al., 2016): rules for residual branches."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from inputopt.nets.inference.observation import Hook, Observation

SUMS = ("aten.add", "aten.add_")

NORMS = ("aten.native_batch_norm", "aten.native_layer_norm", "aten.native_group_norm", "aten.cudnn_batch_norm")

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


_rules: ContextVar[Mapping[int, BranchRule]] = ContextVar("branch_rules", default={})  # noqa: B039  # not modified


class ContextRule:
    """The rule of one network in the current context: that of a thread, or one that a thread took over."""

    @property
    def rule(self) -> BranchRule:
        """The rule that is set."""
        return _rules.get().get(id(self), PLAIN)

    @contextmanager
    def set(self, rule: BranchRule) -> Iterator[None]:
        """Context in which another rule is set."""
        token = _rules.set({**_rules.get(), id(self): rule})
        try:
            yield
        finally:
            _rules.reset(token)


@dataclass(frozen=True, eq=False)
class Branch:
    """A residual branch.

    Attributes:
        end: the module whose output is added to the skip connection.
        inside: ids of the modules that contribute to this output only, so that they need not run if it is dropped.
    """

    end: nn.Module
    inside: frozenset[int] = frozenset()


def branches(observation: Observation) -> list[Branch]:
    """Find the residual branches in an observed forward.

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
    outputs: dict[nn.Module, set[int]] = {}
    for operation in observation.operations:
        ancestors = 0
        for value in operation.reads:
            ancestors |= sources.setdefault(value, 1 << value)
        if operation.name in SUMS and len(operation.reads) == 2:
            one, other = operation.reads
            for branch, skip in ((one, other), (other, one)):
                if branch != skip and sources[branch] >> skip & 1 and branch in ends and readers[branch] == 1:
                    found[ends[branch].module] += 1
                    outputs.setdefault(ends[branch].module, set()).add(branch)
        for value in operation.writes:
            sources[value] = ancestors | 1 << value
    calls = Counter(call.module for call in observation.calls)
    return [
        Branch(module, _contributing_only_to(outputs[module], observation))
        for module, times in found.items()
        if times == calls[module]
    ]


def _contributing_only_to(values: set[int], observation: Observation) -> frozenset[int]:
    """Ids of the modules whose operations, in all their calls, affect nothing but these values."""
    writing = [place for place, operation in enumerate(observation.operations) if operation.writes]  # others make views
    readers: dict[int, list[int]] = {}
    for place in writing:
        for value in observation.operations[place].reads:
            readers.setdefault(value, []).append(place)
    inside: set[int] = set()  # places of the operations that do
    for place in reversed(writing):  # readers come after what they read
        operation = observation.operations[place]
        # the others that a norm returns are statistics, for its backward
        written = operation.writes[:1] if operation.name in NORMS else operation.writes
        is_unused_memory = not operation.reads and not any(value in readers for value in written)
        if is_unused_memory or all(value in values or _all_in(inside, readers.get(value)) for value in written):
            inside.add(place)
    outside = {
        id(call.module)
        for call in observation.calls
        if any(call.start <= place < call.end and place not in inside for place in writing)
    }
    return frozenset(id(call.module) for call in observation.calls) - outside


def _all_in(inside: set[int], places: list[int] | None) -> bool:
    return places is not None and inside.issuperset(places)


@dataclass(frozen=True)
class Plan:
    """How one forward runs the residual branches.

    Attributes:
        hooks: hooks for `registered`: the output of dropped branches is 0, gradients through the others are scaled.
        unused: ids of the modules that affect the output of dropped branches only.
    """

    hooks: Sequence[Hook] = ()
    unused: frozenset[int] = frozenset()


WHOLLY = Plan()


def planned(found: Sequence[Branch], rule: BranchRule) -> Plan:
    """The plan of the next forward of a network with these branches."""
    thread = threading.get_ident()
    kept = [True] * len(found) if rule.kept is None else rule.kept(len(found))
    dropped = {branch.end: branch for branch, runs in zip(found, kept, strict=True) if not runs}

    def hook(module: nn.Module, inputs: Any, output: Any) -> Tensor | None:
        if threading.get_ident() != thread or not isinstance(output, Tensor):
            return None
        if module in dropped:
            return torch.zeros_like(output)  # and no gradient passes the branch, so that its backward is not computed
        if rule.share != 1 and output.requires_grad:
            output.register_hook(lambda grad: rule.share * grad)  # type: ignore[no-untyped-call]
        return None

    unused = frozenset[int]().union(*(branch.inside for branch in dropped.values()))
    return Plan([(branch.end, hook, False) for branch in found], unused)
