"""Layer names and capturing of layer outputs with forward hooks.

"act" and "act:1" are the output of the module of that name at its first call in a forward, "act:2" at its second,
"act:last" at its last. The names are those of `named_modules()`; "" is the model itself.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from inputopt import checks
from inputopt.nets.inference.observation import Hook, registered
from inputopt.nets.outputs import tensor_in

LAST = "last"

WHOLE = ""
"""The name of the model itself."""


@dataclass(frozen=True)
class Layer:
    """A module of a network.

    Attributes:
        name: the name in `named_modules()`.
        kind: the name of its class.
        shapes: for each call, the shape of the output for one example; None where the output is not one tensor.
    """

    name: str
    kind: str
    shapes: tuple[tuple[int, ...] | None, ...]

    def calls(self) -> tuple[str, ...]:
        """Return the layer name of each call.

        >>> Layer("act", "ReLU", ((3,), (3,), (3,))).calls()
        ('act:1', 'act:2', 'act:3 or act:last')
        """
        if len(self.shapes) < 2:
            return (self.name,) * len(self.shapes)
        calls = [f"{self.name}:{number}" for number in range(1, len(self.shapes) + 1)]
        return (*calls[:-1], f"{calls[-1]} or {self.name}:{LAST}")


def names(model: Any) -> list[str]:
    """Return the names of all submodules that take hooks: all but scripted and traced modules and their children."""
    if not isinstance(model, nn.Module):
        return []
    modules = model.named_modules(remove_duplicate=False)
    return [name for name, module in modules if name and not isinstance(module, torch.jit.ScriptModule)]


def parsed(layer: str, known: Sequence[str]) -> tuple[str, int | None]:
    """Split a layer name into the module's name and the number of the call: 1 is the first, None the last.

    Raises:
        ValueError: unknown module (the message suggests the nearest name), or an invalid call.

    >>> parsed("act:last", ["act"])
    ('act', None)
    """
    name, colon, call = str(layer).partition(":")
    if layer == WHOLE:
        return WHOLE, 1
    checks.one_of("layer", name, known)
    if call == LAST:
        return name, None
    if colon and not (call.isdecimal() and int(call) > 0):
        raise ValueError(
            f"Unknown call {layer!r}; use {name}:1 for the first call, {name}:2 for the second, or {name}:{LAST}."
        )
    return name, int(call or 1)


class StopForward(BaseException):
    """Ends a forward once all requested layers are captured; `except Exception` in a model does not catch it."""


@dataclass(frozen=True)
class Captured:
    """The captured output of a layer.

    Attributes:
        tensor: the tensor selected by `outputs.tensor_in`, or a copy of it; None if there is none.
        version: the version counter of its memory when captured.
        root: the `grad_fn` of the tensor.
    """

    tensor: Tensor | None
    version: int | None
    root: Any

    def is_overwritten(self) -> bool:
        """Whether the tensor was written to in place after it was captured."""
        return self.tensor is not None and self.version != version_of(self.tensor)


def version_of(tensor: Tensor) -> int | None:
    """Return the number of in-place writes to the tensor; None for inference tensors, which have no version counter."""
    return None if tensor.is_inference() else tensor._version


class LayerCapture:
    """Captures the outputs of some layers in one forward of the calling thread.

    If a last call ("act:last") or the model's own output is requested, the forward is run to its end; otherwise it ends
    with `StopForward` as soon as all layers are captured.

    Attributes:
        found: captured output by layer.
        counts: number of calls by module name.
    """

    def __init__(self, wanted: dict[str, tuple[str, int | None]], copied: Container[str] = ()) -> None:
        """`wanted`: `parsed` names by layer; `copied`: layers whose output is overwritten later, which are cloned."""
        self.found: dict[str, Captured] = {}
        self.counts: Counter[str] = Counter()
        self._wanted = wanted
        self._copied = copied
        self._stops_early = all(call is not None and name != WHOLE for name, call in wanted.values())
        self._thread = threading.get_ident()

    def hooks(self, model: nn.Module) -> list[Hook]:
        """Return the hooks to register with `registered`."""
        module_names = dict.fromkeys(name for name, _ in self._wanted.values() if name != WHOLE)
        return [(model.get_submodule(name), partial(self._hook, name), False) for name in module_names]

    def missing(self) -> str | None:
        """Return an error message about the first layer that was not captured; None if all were."""
        for layer, (name, _) in self._wanted.items():
            if layer not in self.found and name != WHOLE:
                calls = self.counts[name]
                times = "once" if calls == 1 else f"{calls} times"
                calls_made = f"calls {name} only {times}" if calls else f"never calls {name}"
                return f"The model {calls_made}, so there is no {layer}; choose a layer that it calls."
        return None

    def _hook(self, name: str, module: nn.Module, args: Any, output: Any) -> None:
        if threading.get_ident() != self._thread:
            return
        self.counts[name] += 1
        for layer, (module_name, call) in self._wanted.items():
            if module_name == name and call in (self.counts[name], None):
                self.found[layer] = _captured(output, layer in self._copied)
        if self._stops_early and len(self.found) == len(self._wanted):
            raise StopForward


def _captured(output: Any, copied: bool) -> Captured:
    tensor = tensor_in(output)
    if tensor is None:
        return Captured(None, None, None)
    root = tensor.grad_fn
    tensor = tensor.clone() if copied else tensor
    return Captured(tensor, version_of(tensor), root)


def list_layers(model: nn.Module, run: Callable[[], Any]) -> list[Layer]:
    """List every module with its output shapes while `run` runs the model, in the order of `named_modules`."""
    known, thread = names(model), threading.get_ident()
    shapes: dict[str, list[tuple[int, ...] | None]] = {name: [] for name in known}

    def hook(name: str, module: nn.Module, args: Any, output: Any) -> None:
        if threading.get_ident() == thread:
            tensor = tensor_in(output)
            shapes[name].append(None if tensor is None else tuple(tensor.shape[1:]))

    with registered([(model.get_submodule(name), partial(hook, name), False) for name in known]):
        run()
    return [Layer(name, type(model.get_submodule(name)).__name__, tuple(shapes[name])) for name in known]
