"""Modules of the private copy that have a second, quicker forward, and what decides at each call which one runs.

A rewrite stands on the instance, in place of its `forward`, and does nothing but in a forward that asked for it: the
module's class, names, weights and attributes stay what they are, and every other forward is the plain one. Each rewrite
looks for itself whether what it relies on still holds (the weights it was made from, the tensor it expects), and runs
the plain forward where it does not.
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
KINDS = (FOLDED_NORMS, INPLACE_RELUS, CHANNELS_LAST, FEW_CHANNELS)


class RewriteState:
    """One forward in which some kinds of rewrites are in use.

    Attributes:
        kinds: which.
        unfolded: ids of convolutions that keep their batch norm nevertheless.
        pending: by the id of a norm, what was folded into what it is about to get.
        reusable: by the id of a rectifier, what it may write over.
        broken: whether what a folded convolution put out did not go to its norm, so that the outputs are wrong.
    """

    __slots__ = ("broken", "kinds", "pending", "reusable", "unfolded")

    def __init__(self, kinds: frozenset[str], unfolded: frozenset[int] = frozenset()) -> None:
        self.kinds = kinds
        self.unfolded = unfolded
        self.broken = False
        self.pending: dict[int, Tensor] = {}
        self.reusable: dict[int, Tensor] = {}

    def finish(self) -> None:
        """At the end of the whole forward nothing may be pending any more."""
        self.broken |= bool(self.pending)


class Current(threading.local):
    """What the calling thread's forward goes by: each thread has its own.

    Attributes:
        state: the rewrites in use; None in a plain forward.
    """

    state: RewriteState | None = None


Source = tuple[dict[str, Any], str, Tensor, int]
"""Who holds a tensor, by what name, the tensor, and how often it was written to."""

Prepared = tuple[Tensor, Tensor | None, Tensor | None]
"""Weight and bias of a convolution, and the `patch_matrix` of one over few channels."""


@dataclass(eq=False)
class Convolution:
    """The forward of a convolution with weights prepared for it."""

    module: Any
    current: Current
    pair: Pair | None = None
    _sources: list[Source] = field(default_factory=list)
    _prepared: dict[tuple[bool, bool], Prepared] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._plain = type(self.module).forward.__get__(self.module)
        self._convolve, self._number = self.module._conv_forward, id(self.module)
        self.few = convolution.has_few_channels(self.module)
        self.pair_with(self.pair)

    def pair_with(self, pair: Pair | None) -> None:
        """From now on this norm may be folded in; None for no norm."""
        self.pair = pair
        self._norm = None if pair is None else id(pair.norm)
        self._prepared = {}
        self._place = self.module.weight.data_ptr()
        self._sources = _sources(self.module._parameters, "weight", "bias")
        if pair is not None:
            self._sources += _sources(pair.norm._parameters, "weight", "bias")
            self._sources += _sources(pair.norm._buffers, "running_mean", "running_var")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        state = self.current.state
        if state is None or kwargs or len(args) != 1 or not self._is_fresh():
            return self._plain(*args, **kwargs)
        x, kinds = args[0], state.kinds
        folds = self._norm is not None and FOLDED_NORMS in kinds and self._number not in state.unfolded
        last = CHANNELS_LAST in kinds and x.ndim == 4
        weight, bias, matrix = self._prepared.get((folds, last)) or self._prepare(folds, last)
        if matrix is not None and FEW_CHANNELS in kinds and x.ndim == 4:
            y = convolution.convolve(x, weight, matrix, bias, self.module, last)
        else:
            y = self._convolve(x, weight, bias)
        if folds:
            state.broken |= self._norm in state.pending
            state.pending[self._norm] = y  # type: ignore[index]  # there is a norm where it folds
        return y

    def _is_fresh(self) -> bool:
        """Whether the weights are those that others were prepared from: not written to, exchanged or laid elsewhere."""
        for holder, name, tensor, version in self._sources:
            if holder.get(name) is not tensor or tensor._version != version:
                return False
        return self.module._parameters["weight"].data_ptr() == self._place

    def _prepare(self, folds: bool, last: bool) -> Prepared:
        weight, bias = folding.fold_weights(self.pair) if folds else (self.module.weight, self.module.bias)  # type: ignore[arg-type]
        matrix = convolution.patch_matrix(weight) if self.few else None
        weight = weight.to(memory_format=torch.channels_last) if last else weight
        self._prepared[folds, last] = prepared = (weight, bias, matrix)
        return prepared

    def __reduce__(self) -> Any:
        return _method_of, (self.module,)


@dataclass(eq=False)
class Norm:
    """The forward of a batch norm that passes on what the convolution before it has normalised."""

    module: Any
    current: Current
    pair: Pair

    def __post_init__(self) -> None:
        self._plain, self._number = type(self.module).forward.__get__(self.module), id(self.module)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        state = self.current.state
        pending = None if state is None else state.pending.pop(self._number, None)
        if state is None or pending is None:
            return self._plain(*args, **kwargs)
        if not args or args[0] is not pending:
            state.broken = True
            return self._plain(*args, **kwargs)
        if self.pair.rectifier is not None and INPLACE_RELUS in state.kinds:
            state.reusable[id(self.pair.rectifier)] = pending
        return pending

    def __reduce__(self) -> Any:
        return _method_of, (self.module,)


@dataclass(eq=False)
class Rectifier:
    """The forward of a rectifier that writes over an input which nobody else reads."""

    module: Any
    current: Current

    def __post_init__(self) -> None:
        self._plain, self._number = type(self.module).forward.__get__(self.module), id(self.module)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        state = self.current.state
        free = None if state is None else state.reusable.pop(self._number, None)
        if free is None or not args or args[0] is not free:
            return self._plain(*args, **kwargs)
        return rectifier.rectify_over(self.module, free)

    def __reduce__(self) -> Any:
        return _method_of, (self.module,)


def is_plain(module: nn.Module) -> bool:
    """Whether a module does what torch's class of its kind does, with weights of its own, and no hook watches it."""
    kind = next((kind for kind in (*CONVOLUTIONS, *NORMS, *RECTIFIERS) if isinstance(module, kind)), None)
    if kind is None or type(module).forward is not kind.forward or not _is_own(vars(module).get("forward"), module):
        return False
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    if any(vars(module).get(name) for name in hooks):
        return False
    if isinstance(module, CONVOLUTIONS):
        has_own = type(module)._conv_forward is kind._conv_forward  # type: ignore[union-attr]
        return has_own and module._parameters.get("weight") is not None and "bias" in module._parameters
    if isinstance(module, NORMS):
        gathered = all(module._buffers.get(name) is not None for name in ("running_mean", "running_var"))
        return gathered and not module.training and {"weight", "bias"} <= module._parameters.keys()
    return type(module) is kind and not module.inplace


def _is_own(forward: Any, module: nn.Module) -> bool:
    """Whether a forward on the instance is none, or what a rewrite was stored as: that of the class."""
    return forward is None or getattr(forward, "__func__", None) is type(module).forward


def restore(module: nn.Module) -> None:
    """Take a module's second forward away."""
    if isinstance(vars(module).get("forward"), (Convolution, Norm, Rectifier)):
        del module.__dict__["forward"]


def rewrite(pairs: Iterable[Pair], convolutions: Iterable[nn.Module], current: Current) -> None:
    """Give the modules of the pairs, and the other convolutions, their second forward; no other norm is folded."""
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


def _method_of(module: nn.Module) -> Any:
    return types.MethodType(type(module).forward, module)


def _sources(holder: dict[str, Any], *names: str) -> list[Source]:
    return [(holder, name, holder[name], holder[name]._version) for name in names if holder[name] is not None]
