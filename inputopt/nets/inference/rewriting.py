"""Faster replacement forwards for modules of the private copy, selected at each call.

A rewrite is stored as the `forward` attribute of the module instance and is active only in a forward that enables it:
the module's class, names, weights and attributes are unchanged, and every other forward is the plain one. Each rewrite
checks that its assumptions still hold (the weights that it was prepared from, the tensor that it expects) and otherwise
runs the plain forward.
"""

from __future__ import annotations

import threading
import types
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from inputopt.nets.inference import convolution, folding, rectifier
from inputopt.nets.inference.folding import CONVOLUTIONS, NORMS, RECTIFIERS, Pair

FOLDED_NORMS = "folded batch norms"
INPLACE_RELUS = "in-place rectifiers"
CHANNELS_LAST = "channels last"
FEW_CHANNELS = "few-channel convolutions"
FORMATS = {False: torch.contiguous_format, True: torch.channels_last}
KINDS = (FOLDED_NORMS, INPLACE_RELUS, CHANNELS_LAST, FEW_CHANNELS)


class RewriteState:
    """State of one forward that uses rewrites.

    Attributes:
        kinds: the kinds of rewrites in use.
        unfolded: ids of convolutions that are not folded in this forward.
        unused: ids of modules whose output does not affect that of this forward: convolutions return zeros.
        pending: maps the id of a batch norm to the output of its folded convolution, until the norm receives it.
        reusable: maps the id of a ReLU to the tensor that it may modify in place.
        broken: whether the output of a folded convolution did not reach its norm, so that the outputs are wrong.
    """

    __slots__ = ("broken", "kinds", "pending", "reusable", "unfolded", "unused")

    def __init__(self, kinds: frozenset[str], unfolded: frozenset[int] = frozenset()) -> None:
        self.kinds = kinds
        self.unfolded = unfolded
        self.unused: frozenset[int] = frozenset()
        self.broken = False
        self.pending: dict[int, Tensor] = {}
        self.reusable: dict[int, Tensor] = {}

    def finish(self) -> None:
        """Mark the forward as broken if any output is still pending at its end."""
        self.broken |= bool(self.pending)


class Current(threading.local):
    """Thread-local rewrite state of the current forward.

    Attributes:
        state: state of a rewritten forward; None in a plain forward.
    """

    state: RewriteState | None = None


Source = tuple[dict[str, Any], str, Tensor, int]
"""(dictionary that holds a tensor, its key, the tensor, its version counter)."""

Prepared = tuple[Tensor, Tensor | None, Tensor | None]
"""Weight and bias of a convolution, and its `patch_matrix` if it has few input channels."""


@dataclass(eq=False)
class Convolution:
    """Replacement forward of a convolution with prepared weights."""

    module: Any
    current: Current
    pair: Pair | None = None
    _sources: list[Source] = field(default_factory=list)
    _prepared: dict[tuple[bool, bool], Prepared] = field(default_factory=dict)
    _shapes: dict[torch.Size, torch.Size] = field(default_factory=dict)  # of outputs, by that of the input

    def __post_init__(self) -> None:
        self._plain = type(self.module).forward.__get__(self.module)
        self._convolve, self._module_id = self.module._conv_forward, id(self.module)
        self.few = convolution.has_few_channels(self.module)
        self.pair_with(self.pair)

    def pair_with(self, pair: Pair | None) -> None:
        """Set the pair whose batch norm may be folded in; None for no folding."""
        self.pair = pair
        self._norm_id = None if pair is None else id(pair.norm)
        self._prepared = {}
        self._address = self.module.weight.data_ptr()
        self._sources = _sources(self.module._parameters, "weight", "bias")
        if pair is not None:
            self._sources += _sources(pair.norm._parameters, "weight", "bias")
            self._sources += _sources(pair.norm._buffers, "running_mean", "running_var")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        state = self.current.state
        if state is None or kwargs or len(args) != 1 or not self._is_fresh():
            return self._plain(*args, **kwargs)
        x, kinds = args[0], state.kinds
        folds = self._norm_id is not None and FOLDED_NORMS in kinds and self._module_id not in state.unfolded
        last = CHANNELS_LAST in kinds and x.ndim == 4
        weight, bias, matrix = self._prepared.get((folds, last)) or self._prepare(folds, last)
        known = self._shapes.get(x.shape) if self._module_id in state.unused else None
        if known is not None:
            y = torch.empty(known, dtype=x.dtype, device=x.device, memory_format=FORMATS[last]).zero_()
        elif matrix is not None and FEW_CHANNELS in kinds and x.ndim == 4:
            y = convolution.convolve(x, weight, matrix, bias, self.module, last)
        else:
            y = self._convolve(x, weight, bias)
        self._shapes[x.shape] = y.shape
        if folds:
            state.broken |= self._norm_id in state.pending
            state.pending[self._norm_id] = y  # type: ignore[index]  # not None if folded
        return y

    def _is_fresh(self) -> bool:
        """Whether the weights are still those prepared from: not modified, replaced or moved in memory."""
        for holder, name, tensor, version in self._sources:
            if holder.get(name) is not tensor or tensor._version != version:
                return False
        return self.module._parameters["weight"].data_ptr() == self._address

    def _prepare(self, folds: bool, last: bool) -> Prepared:
        weight, bias = folding.fold_weights(self.pair) if folds else (self.module.weight, self.module.bias)  # type: ignore[arg-type]
        matrix = convolution.patch_matrix(weight) if self.few else None
        weight = weight.to(memory_format=torch.channels_last) if last else weight
        self._prepared[folds, last] = prepared = (weight, bias, matrix)
        return prepared

    def __reduce__(self) -> Any:
        return _class_forward, (self.module,)


@dataclass(eq=False)
class Norm:
    """Replacement forward of a batch norm: returns the output of the convolution that it is folded into."""

    module: Any
    current: Current
    pair: Pair

    def __post_init__(self) -> None:
        self._plain, self._module_id = type(self.module).forward.__get__(self.module), id(self.module)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        state = self.current.state
        pending = None if state is None else state.pending.pop(self._module_id, None)
        if state is None or pending is None:
            return self._plain(*args, **kwargs)
        if not args or args[0] is not pending:
            state.broken = True
            return self._plain(*args, **kwargs)
        if self.pair.rectifier is not None and INPLACE_RELUS in state.kinds:
            state.reusable[id(self.pair.rectifier)] = pending
        return pending

    def __reduce__(self) -> Any:
        return _class_forward, (self.module,)


@dataclass(eq=False)
class Rectifier:
    """Replacement forward of a ReLU: works in place on an input that no other operation reads."""

    module: Any
    current: Current

    def __post_init__(self) -> None:
        self._plain, self._module_id = type(self.module).forward.__get__(self.module), id(self.module)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        state = self.current.state
        free = None if state is None else state.reusable.pop(self._module_id, None)
        if state is None or free is None or not args or args[0] is not free:
            return self._plain(*args, **kwargs)
        if self._module_id in state.unused:
            return free
        return rectifier.rectify_over(self.module, free)

    def __reduce__(self) -> Any:
        return _class_forward, (self.module,)


def is_plain(module: nn.Module) -> bool:
    """Whether a module runs the standard forward of its torch class on its own weights and has no hooks."""
    kind = next((kind for kind in (*CONVOLUTIONS, *NORMS, *RECTIFIERS) if isinstance(module, kind)), None)
    if kind is None or type(module).forward is not kind.forward or not _is_default(vars(module).get("forward"), module):
        return False
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    if any(vars(module).get(name) for name in hooks):
        return False
    if isinstance(module, CONVOLUTIONS):
        is_standard = type(module)._conv_forward is kind._conv_forward  # type: ignore[union-attr]
        return is_standard and module._parameters.get("weight") is not None and "bias" in module._parameters
    if isinstance(module, NORMS):
        has_statistics = all(module._buffers.get(name) is not None for name in ("running_mean", "running_var"))
        return has_statistics and not module.training and {"weight", "bias"} <= module._parameters.keys()
    return type(module) is kind and not module.inplace


def _is_default(forward: Any, module: nn.Module) -> bool:
    """Whether an instance's `forward` is None or the class's, as an unpickled or copied rewrite is."""
    return forward is None or getattr(forward, "__func__", None) is type(module).forward


def restore(module: nn.Module) -> None:
    """Remove a module's replacement forward."""
    if isinstance(vars(module).get("forward"), (Convolution, Norm, Rectifier)):
        del module.__dict__["forward"]


def rewrite(pairs: Iterable[Pair], convolutions: Iterable[nn.Module], current: Current) -> None:
    """Set replacement forwards on the modules of the pairs and on the other convolutions; fold no other norm."""
    paired = {id(pair.convolution): pair for pair in pairs}
    for module in {id(each): each for each in (*convolutions, *(pair.convolution for pair in pairs))}.values():
        if not isinstance(vars(module).get("forward"), Convolution):
            vars(module)["forward"] = Convolution(module, current)
        if vars(module)["forward"].pair is not paired.get(id(module)):
            vars(module)["forward"].pair_with(paired.get(id(module)))
    for pair in pairs:
        vars(pair.norm)["forward"] = Norm(pair.norm, current, pair)
        if pair.rectifier is not None:
            vars(pair.rectifier)["forward"] = Rectifier(pair.rectifier, current)


def _class_forward(module: nn.Module) -> Any:
    return types.MethodType(type(module).forward, module)


def _sources(holder: dict[str, Any], *names: str) -> list[Source]:
    return [(holder, name, holder[name], holder[name]._version) for name in names if holder[name] is not None]
