"""Axes followed from the input of a network through the operations of one forward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from inputopt.nets.dispatch_mode import DispatchMode
from inputopt.search.channel_axes.axes import UNKNOWN, Axes, Call, tensors
from inputopt.search.channel_axes.axis_rules import ALIKE, FRESH, rule_of


class Follower(DispatchMode):
    """Inside, the axes of everything that is computed from `x` [1, ...] are followed, in this thread only.

    Images [1, C, H, W] begin with their channels on axis 1. With a single example, reshapes that put the batch together
    with places, as linear layers and windows do, leave each axis to be found again.
    """

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self._known: Any = WeakTensorKeyDictionary()
        self._known[x] = Axes(frozenset({1})) if x.ndim == 4 else UNKNOWN

    def axes(self, seen: Tensor) -> Axes:
        """What is known of a tensor that was computed inside; nothing of one that does not depend on `x`."""
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
                self._note_whole(out)
        return found

    def _note_whole(self, out: Tensor) -> None:
        """What was written into a part of a tensor is in the whole of it."""
        whole = out._base
        if whole is not None and not self.axes(whole).channels:
            cut = whole.ndim == out.ndim and whole.stride() == out.stride()
            self._known[whole] = Axes(self._known[out].channels) if cut else UNKNOWN
