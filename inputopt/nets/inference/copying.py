"""A private copy of a user's model, which may be run, watched and rewritten while the model itself stays as it is."""

from __future__ import annotations

import copy
import functools
import sys
import types
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from inputopt.nets.ambient import isolated

Memo = dict[int, Any]
"""By the id of an object: what stands for it in the copy."""


def private_copy(model: nn.Module) -> nn.Module | None:
    """A copy of the model that shares no weight, buffer or module with it; None for one that cannot be copied.

    What cannot be copied and is no module, such as a lock or a file, is shared with the model; tensors with a history
    are copied without it. Functions and weak references that lead to parts of the model lead to those of the copy.
    Compiled and parallel modules run the module inside them, as it is.
    """
    with isolated(), torch.no_grad():  # else copies could be inference tensors, or have a history
        memo: Memo = {}
        try:
            copied = copy.deepcopy(model, memo)
        except Exception:  # whatever a foreign __deepcopy__ raises
            memo = {}
            _settle(model, memo, set())
            try:
                copied = copy.deepcopy(model, memo)
            except Exception:  # then it has to be used as it is
                return None
    if not _held(model).isdisjoint(_held(copied)):  # a __deepcopy__ that hands out what it was asked to copy
        return None
    for module in model.modules():
        if id(module) in memo:
            _redirect(memo[id(module)].__dict__, memo)
    for module in copied.modules():
        inner = _inner(module)
        if inner is not None:
            vars(module)["forward"] = functools.partial(_run, inner)
    for parameter in copied.parameters():
        parameter.grad = None
    return copied


def _held(model: nn.Module) -> set[int]:
    return {id(each) for each in (*model.modules(), *model.parameters(), *model.buffers())}


def _inner(module: nn.Module) -> nn.Module | None:
    """The module that this one only runs, compiled or on several devices; None for any other."""
    if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        return module.module
    compiler = sys.modules.get("torch._dynamo.eval_frame")  # which takes a second to import, where nobody compiles
    if compiler is not None and isinstance(module, compiler.OptimizedModule):
        return module._orig_mod
    return None


def unwrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function that `torch.compile` was given, or `function` itself."""
    return getattr(function, "_torchdynamo_orig_callable", function)


def _run(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
    return module(*args, **kwargs)


def _settle(value: Any, memo: Memo, seen: set[int]) -> None:
    """Write into the memo what stands for the parts of `value` that cannot be copied."""
    if id(value) in seen or id(value) in memo:
        return
    seen.add(id(value))
    if _is_copyable(value, memo):
        return
    if isinstance(value, Tensor):
        memo[id(value)] = value.detach().clone()
        return
    parts = list(_parts(value))
    for part in parts:
        _settle(part, memo, seen)
    if not isinstance(value, nn.Module) and not (parts and _is_copyable(value, memo)):
        memo[id(value)] = _own_generator(value) if isinstance(value, torch.Generator) else value


def _is_copyable(value: Any, memo: Memo) -> bool:
    try:
        copy.deepcopy(value, dict(memo))
    except Exception:  # whatever a foreign __deepcopy__ raises
        return False
    return True


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return value
    if isinstance(value, types.ModuleType):
        return ()
    return getattr(value, "__dict__", {}).values()


def _own_generator(generator: torch.Generator) -> torch.Generator:
    own = torch.Generator(generator.device)
    own.set_state(generator.get_state())
    return own


def _redirect(attributes: dict[str, Any], memo: Memo) -> None:
    """Have functions and weak references among a copied module's attributes, and its hooks, lead to the copy."""
    for name, value in attributes.items():
        if isinstance(value, dict):
            for key, inside in value.items():
                value[key] = _led(inside, memo)
        elif isinstance(value, list):
            value[:] = [_led(inside, memo) for inside in value]
        else:
            attributes[name] = _led(value, memo)


def _led(value: Any, memo: Memo) -> Any:
    """What leads to the copy where `value` leads to the model; else `value`."""
    if isinstance(value, weakref.ref):
        target = memo.get(id(value()))
        return value if target is None else weakref.ref(target)
    if isinstance(value, types.MethodType):
        return types.MethodType(value.__func__, memo[id(value.__self__)]) if id(value.__self__) in memo else value
    if isinstance(value, (nn.Module, Tensor)) or not isinstance(value, types.FunctionType) or id(value) in memo:
        return memo.get(id(value), value)
    if not _leads(value, memo, set()):
        return value
    cells = tuple(types.CellType() if _leads(cell, memo, set()) else cell for cell in value.__closure__ or ())
    led = types.FunctionType(value.__code__, value.__globals__, value.__name__, None, cells)
    memo[id(value)] = led  # before its cells are filled, one of which may hold the function itself
    for cell, before in zip(cells, value.__closure__ or (), strict=True):
        if cell is not before:
            cell.cell_contents = _led(before.cell_contents, memo)
    led.__defaults__ = None if value.__defaults__ is None else tuple(_led(each, memo) for each in value.__defaults__)
    led.__kwdefaults__ = {name: _led(each, memo) for name, each in (value.__kwdefaults__ or {}).items()}
    led.__dict__.update(value.__dict__)
    return led


def _leads(value: Any, memo: Memo, seen: set[int]) -> bool:
    """Whether a function, or what one of its cells holds, leads to a part of the model."""
    if id(value) in seen:
        return False
    seen.add(id(value))
    if isinstance(value, types.CellType):
        try:
            return _leads(value.cell_contents, memo, seen)
        except ValueError:  # nothing is in it yet
            return False
    if isinstance(value, types.FunctionType):
        held = (*(value.__closure__ or ()), *(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values())
        return any(_leads(each, memo, seen) for each in held)
    if isinstance(value, weakref.ref):
        return id(value()) in memo
    if isinstance(value, types.MethodType):
        return id(value.__self__) in memo
    return isinstance(value, (nn.Module, Tensor)) and id(value) in memo
