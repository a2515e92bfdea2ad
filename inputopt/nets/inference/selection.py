"""Selects the rewrites of a private copy that are in use, and records why the others are not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from torch import nn

from inputopt.nets.inference.convolution import has_few_channels
from inputopt.nets.inference.folding import CONVOLUTIONS, Pair, pairs, prefers_channels_last
from inputopt.nets.inference.forward import Runner
from inputopt.nets.inference.observation import Observation, storage_id
from inputopt.nets.inference.rewriting import (
    CHANNELS_LAST,
    FEW_CHANNELS,
    FOLDED_NORMS,
    INPLACE_RELUS,
    KINDS,
    Current,
    is_plain,
    restore,
    rewrite,
)

NOTHING = {
    FOLDED_NORMS: "no convolution output is read by a batch norm only",
    INPLACE_RELUS: "no output of a folded batch norm is read by a ReLU only",
    CHANNELS_LAST: "it has no 2-D convolution",
    FEW_CHANNELS: "it has no plain 2-D convolution with few input channels on a CPU",
}

DECIDES = "its control flow depends on values, so other inputs may take another path"


class Rewrites:
    """The rewrites of a private copy.

    Attributes:
        kinds: those in use.
        is_local: whether each rewrite is correct independently of the other operations. False for folded norms and
            in-place ReLUs, which rely on no other operation reading a tensor, and if control flow depends on numbers.
        reads_numbers: whether control flow may depend on numbers.
    """

    def __init__(self, model: nn.Module | None, current: Current) -> None:
        """`model` is the private copy before any rewrite; None if there is none."""
        modules = [] if model is None else list(model.modules())
        self._plain = {id(module): module for module in modules if is_plain(module)}
        self._current = current
        self._channels_last = model is not None and prefers_channels_last(model)
        self._pairs: dict[int, Pair] = {}  # by the id of the convolution
        self._refused: set[int] = set()  # ids of convolutions whose output has other readers
        self._dropped: dict[str, str] = {}
        self.reads_numbers = False
        self.is_local = True
        self.kinds: frozenset[str] = frozenset()

    def reasons(self) -> dict[str, str]:
        """For each kind of rewrite, "used" or the reason why it is not."""
        why = {kind: f"not used: {self._dropped.get(kind, NOTHING[kind])}" for kind in KINDS}
        return why | dict.fromkeys(self.kinds, "used")

    def drop(self, kinds: Iterable[str], reason: str) -> None:
        """Stop using these kinds; the first reason given is kept."""
        for kind in kinds:
            self._dropped.setdefault(kind, reason)
        self._update_kinds()

    def without(self, kind: str) -> frozenset[str]:
        """The kinds in use without `kind` and without those that depend on it."""
        return self.kinds - ({FOLDED_NORMS, INPLACE_RELUS} if kind == FOLDED_NORMS else {kind})

    def update(self, seen: Observation) -> None:
        """Update from an observed forward: add pairs that can be folded, and exclude those that must not be."""
        self.reads_numbers |= seen.reads_numbers
        if seen.reads_numbers:
            self.drop((FOLDED_NORMS, INPLACE_RELUS), DECIDES)
        self._exclude({id(module) for module in self._plain.values() if _is_written(module, seen)})
        found, refused = pairs(seen, lambda module: id(module) in self._plain)
        self._refused |= refused
        for pair in found:
            self._add_pair(pair)
        self._pairs = {
            number: pair
            for number, pair in self._pairs.items()
            if number not in self._refused and id(pair.norm) in self._plain
        }
        convolutions = [module for module in self._plain.values() if isinstance(module, CONVOLUTIONS)]
        rewrite(self._pairs.values(), convolutions, self._current)
        self._update_kinds()

    def unfolded_for(self, asked: set[int]) -> frozenset[int]:
        """The ids of convolutions that must stay unfolded when the outputs of these modules are requested."""
        return frozenset(number for number, pair in self._pairs.items() if not asked.isdisjoint(pair.same_output))

    def _exclude(self, modules: set[int]) -> None:
        """Restore these modules and do not rewrite them again."""
        self._refused |= modules
        for number in modules:
            restore(self._plain.pop(number))

    def _add_pair(self, pair: Pair) -> None:
        number, old = id(pair.convolution), self._pairs.get(id(pair.convolution))
        if old is None:
            self._pairs[number] = pair
        elif pair.norm is not old.norm:
            self._refused.add(number)
        elif pair.read and not old.read:
            self._pairs[number] = replace(pair, same_output=pair.same_output | old.same_output)
        elif pair.read and pair.rectifier is not old.rectifier:
            self._pairs[number] = replace(old, rectifier=None, same_output=pair.same_output | old.same_output)

    def _update_kinds(self) -> None:
        available = {
            FOLDED_NORMS: bool(self._pairs),
            INPLACE_RELUS: FOLDED_NORMS not in self._dropped
            and any(pair.rectifier is not None for pair in self._pairs.values()),
            CHANNELS_LAST: self._channels_last,
            FEW_CHANNELS: any(has_few_channels(each) for each in self._plain.values()),
        }
        self.kinds = frozenset(kind for kind in KINDS if available[kind] and kind not in self._dropped)
        self.is_local = not self.reads_numbers and self.kinds.isdisjoint((FOLDED_NORMS, INPLACE_RELUS))


def _is_written(module: nn.Module, seen: Observation) -> bool:
    """Whether the forward writes to the storage of the module's own parameters or buffers."""
    tensors = (*module.parameters(recurse=False), *module.buffers(recurse=False))
    return any(storage_id(tensor) in seen.written for tensor in tensors)


def reason_against(runner: Runner, seen: Observation) -> str:
    """Reason why the network cannot be rewritten at all; empty if it can."""
    if not runner.is_private:
        what = "cannot be copied" if runner.modules else "is a function, whose layers are not known"
        return f"the model {what}"
    if seen.error:
        return f"its operations cannot be observed: {seen.error}"
    if seen.hooks_tensors:
        return (
            "its forward puts gradient hooks on module outputs, which would see other gradients in rewritten operations"
        )
    if seen.random:
        return "its forward draws random numbers, so two runs cannot be compared"
    if any(module._backward_hooks or module._backward_pre_hooks for module in runner.modules):
        return "its backward hooks would also be called by the verification"
    return "its forward computes gradients itself" if seen.uses_autograd else ""
