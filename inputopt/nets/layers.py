"""Layers by name: what they put out, told apart by call where a module is called more than once in a forward.

"act" is what the module of that name puts out at its first call, as is "act:1"; "act:2" is its second call, "act:last"
its last. The names are those of `named_modules()`; "" is the model itself.
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
        name: as in `named_modules()`.
        kind: its class.
        shapes: of what it puts out for one example, for each call; None where that is not one tensor.
    """

    name: str
    kind: str
    shapes: tuple[tuple[int, ...] | None, ...]

    def calls(self) -> tuple[str, ...]:
        """What each of its calls is called.

        >>> Layer("act", "ReLU", ((3,), (3,), (3,))).calls()
        ('act:1', 'act:2', 'act:3 or act:last')
        """
        if len(self.shapes) < 2:
            return (self.name,) * len(self.shapes)
        calls = [f"{self.name}:{number}" for number in range(1, len(self.shapes) + 1)]
        return (*calls[:-1], f"{calls[-1]} or {self.name}:{LAST}")


def names(model: Any) -> list[str]:
    """The names of all modules inside whose calls can be watched: not those inside scripted or traced modules."""
    if not isinstance(model, nn.Module):
        return []
    modules = model.named_modules(remove_duplicate=False)
    return [name for name, module in modules if name and not isinstance(module, torch.jit.ScriptModule)]


def parsed(layer: str, known: Sequence[str]) -> tuple[str, int | None]:
    """The module's name and which of its calls is meant, the first is 1; None for the last.

    Raises:
        ValueError: no module is called so, which suggests the nearest, or no call.

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
        raise ValueError(f"Unknown call {layer!r}; say {name}:1 for the first, {name}:2 or {name}:{LAST}.")
    return name, int(call or 1)


class StopForward(BaseException):
    """Every layer asked for has been seen: the forward need not go on. No Exception, which models may catch."""


@dataclass(frozen=True)
class Captured:
    """What a layer put out.

    Attributes:
        tensor: the one meant (`outputs.tensor_in`), or a copy of it; None if there is no such.
        version: how often its memory had been written to.
        root: where the graph behind it begins.
    """

    tensor: Tensor | None
    version: int | None
    root: Any

    def is_overwritten(self) -> bool:
        """Whether its memory was written to since."""
        return self.tensor is not None and self.version != version_of(self.tensor)


def version_of(tensor: Tensor) -> int | None:
    """How often the tensor's memory was written to; None for tensors of inference mode, which do not count."""
    return None if tensor.is_inference() else tensor._version


class LayerCapture:
    """Sees what some layers put out in one forward of the calling thread.

    The last call of a module is known only at the end, so for that, and for what the model itself puts out, the model
    is run to its end; else it is left with `StopForward` where the last of the layers was seen.

    Attributes:
        found: by layer, what was seen.
        counts: by module, how often it was called.
    """

    def __init__(self, wanted: dict[str, tuple[str, int | None]], copied: Container[str] = ()) -> None:
        """`wanted`: layers, as `parsed`; `copied`: those whose output the next line writes to."""
        self.found: dict[str, Captured] = {}
        self.counts: Counter[str] = Counter()
        self._wanted = wanted
        self._copied = copied
        self._leaves = all(call is not None and name != WHOLE for name, call in wanted.values())
        self._thread = threading.get_ident()

    def hooks(self, model: nn.Module) -> list[Hook]:
        """For `registered`."""
        watched = dict.fromkeys(name for name, _ in self._wanted.values() if name != WHOLE)
        return [(model.get_submodule(name), partial(self._see, name), False) for name in watched]

    def missing(self) -> str | None:
        """A sentence on the first layer that was not seen."""
        for layer, (name, _) in self._wanted.items():
            if layer not in self.found and name != WHOLE:
                times = self.counts[name]
                often = f"calls {name} only {times} times" if times else f"never calls {name}"
                return f"The model {often}, so there is no {layer}; choose a layer that it calls."
        return None

    def _see(self, name: str, module: nn.Module, args: Any, output: Any) -> None:
        if threading.get_ident() != self._thread:
            return
        self.counts[name] += 1
        for layer, (of, call) in self._wanted.items():
            if of == name and call in (self.counts[name], None):
                self.found[layer] = _captured(output, layer in self._copied)
        if self._leaves and len(self.found) == len(self._wanted):
            raise StopForward


def _captured(output: Any, copied: bool) -> Captured:
    tensor = tensor_in(output)
    if tensor is None:
        return Captured(None, None, None)
    root = tensor.grad_fn
    tensor = tensor.clone() if copied else tensor
    return Captured(tensor, version_of(tensor), root)


def listed(model: nn.Module, run: Callable[[], Any]) -> list[Layer]:
    """Every module with the shapes of what it puts out while `run` runs the model, in the order of `named_modules`."""
    known, thread = names(model), threading.get_ident()
    seen: dict[str, list[tuple[int, ...] | None]] = {name: [] for name in known}

    def see(name: str, module: nn.Module, args: Any, output: Any) -> None:
        if threading.get_ident() == thread:
            tensor = tensor_in(output)
            seen[name].append(None if tensor is None else tuple(tensor.shape[1:]))

    with registered([(model.get_submodule(name), partial(see, name), False) for name in known]):
        run()
    return [Layer(name, type(model.get_submodule(name)).__name__, tuple(seen[name])) for name in known]
