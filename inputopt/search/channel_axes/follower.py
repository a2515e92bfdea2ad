"""Tracks tensor axes from the input of a network through the operations of one forward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from inputopt.nets.dispatch_mode import DispatchMode
from inputopt.search.channel_axes.axes import UNKNOWN, Axes, Call, tensors
from inputopt.search.channel_axes.axis_rules import ALIKE, FRESH, rule_of


class Follower(DispatchMode):
    """Dispatch mode that tracks the axes of every tensor computed from `x` [1, ...], in the calling thread only.

    Images [1, C, H, W] start with their channels on axis 1. The batch has size 1, so that reshapes that merge it with
    spatial or token axes, as in linear layers and window attention, keep every axis identifiable.
    """

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self._known: Any = WeakTensorKeyDictionary()
        self._known[x] = Axes(frozenset({1})) if x.ndim == 4 else UNKNOWN

    def axes(self, seen: Tensor) -> Axes:
        """Axes of a tensor computed in this mode; `UNKNOWN` if it does not depend on `x`."""
        return self._known.get(seen) or UNKNOWN

    def __torch_dispatch__(
        self, func: Any, types: Sequence[Any], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        names = [argument.name for argument in func._schema.arguments]
        call = Call({**dict(zip(names, args, strict=False)), **(kwargs or {})}, self._known.get)
        namespace, _, name = func._schema.name.rstrip("_").partition("::")
        dependent = bool(call.dependent()) and not FRESH.fullmatch(name)
        found = func(*args, **(kwargs or {}))
        if dependent:
            rule = rule_of(namespace, name)
            for number, out in enumerate(tensors([found])):
                self._known[out] = rule(call, out) if number == 0 or name in ALIKE else UNKNOWN
                self._update_base(out)
        return found

    def _update_base(self, out: Tensor) -> None:
        """Apply the axes of a view that was written to (such as a slice) to its base tensor."""
        base = out._base
        if base is not None and not self.axes(base).channels:
            is_slice = base.ndim == out.ndim and base.stride() == out.stride()
            self._known[base] = Axes(self._known[out].channels) if is_slice else UNKNOWN
