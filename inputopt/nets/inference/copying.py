"""Private copies of user models, which can be run, hooked and rewritten without changing the original."""

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

from inputopt.nets.default_modes import isolated

Memo = dict[int, Any]
"""The memo of `copy.deepcopy`: maps the id of an object to its counterpart in the copy."""


def private_copy(model: nn.Module) -> nn.Module | None:
    """Copy a model without sharing any weight, buffer or module; None if it cannot be copied.

    Attributes that cannot be copied and are not modules, such as locks and files, are shared with the model. Tensors
    with an autograd history are copied without it. Functions and weak references to parts of the model are redirected
    to the copy. Compiled and data-parallel modules run the module that they wrap directly.
    """
    with isolated(), torch.no_grad():  # else copies could be inference tensors or have an autograd history
        memo: Memo = {}
        try:
            copied = copy.deepcopy(model, memo)
        except Exception:  # a user-defined __deepcopy__ may raise anything
            memo = {}
            _replace_uncopyable(model, memo, set())
            try:
                copied = copy.deepcopy(model, memo)
            except Exception:  # the caller then uses the original
                return None
    if not _object_ids(model).isdisjoint(_object_ids(copied)):  # a user-defined __deepcopy__ that returns its original
        return None
    for module in model.modules():
        if id(module) in memo:
            _redirect(memo[id(module)].__dict__, memo)
    for module in copied.modules():
        wrapped = _wrapped_module(module)
        if wrapped is not None:
            vars(module)["forward"] = functools.partial(_call_module, wrapped)
    for parameter in copied.parameters():
        parameter.grad = None
    return copied


def _object_ids(model: nn.Module) -> set[int]:
    """Ids of all modules, parameters and buffers."""
    return {id(each) for each in (*model.modules(), *model.parameters(), *model.buffers())}


def _wrapped_module(module: nn.Module) -> nn.Module | None:
    """The module that a compiled or data-parallel module wraps; None for any other module."""
    if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        return module.module
    compiler = sys.modules.get("torch._dynamo.eval_frame")  # only if already imported, which takes a second
    if compiler is not None and isinstance(module, compiler.OptimizedModule):
        return module._orig_mod
    return None


def unwrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """The original of a function compiled by `torch.compile`, or `function` itself."""
    return getattr(function, "_torchdynamo_orig_callable", function)


def _call_module(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
    return module(*args, **kwargs)


def _replace_uncopyable(value: Any, memo: Memo, seen: set[int]) -> None:
    """Add replacements to the memo for `value` or the parts of it that cannot be copied."""
    if id(value) in seen or id(value) in memo:
        return
    seen.add(id(value))
    if _is_copyable(value, memo):
        return
    if isinstance(value, Tensor):
        memo[id(value)] = value.detach().clone()
        return
    children = list(_children(value))
    for child in children:
        _replace_uncopyable(child, memo, seen)
    if not isinstance(value, nn.Module) and not (children and _is_copyable(value, memo)):
        memo[id(value)] = _copy_generator(value) if isinstance(value, torch.Generator) else value


def _is_copyable(value: Any, memo: Memo) -> bool:
    try:
        copy.deepcopy(value, dict(memo))
    except Exception:  # a user-defined __deepcopy__ may raise anything
        return False
    return True


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return value
    if isinstance(value, types.ModuleType):
        return ()
    return getattr(value, "__dict__", {}).values()


def _copy_generator(generator: torch.Generator) -> torch.Generator:
    copied = torch.Generator(generator.device)
    copied.set_state(generator.get_state())
    return copied


def _redirect(attributes: dict[str, Any], memo: Memo) -> None:
    """Redirect functions, weak references and hooks in a copied module's attributes to the copy."""
    for name, value in attributes.items():
        if isinstance(value, dict):
            for key, inside in value.items():
                value[key] = _redirected(inside, memo)
        elif isinstance(value, list):
            value[:] = [_redirected(inside, memo) for inside in value]
        else:
            attributes[name] = _redirected(value, memo)


def _redirected(value: Any, memo: Memo) -> Any:
    """`value` with its references to the model replaced by references to the copy."""
    if isinstance(value, weakref.ref):
        target = memo.get(id(value()))
        return value if target is None else weakref.ref(target)
    if isinstance(value, types.MethodType):
        return types.MethodType(value.__func__, memo[id(value.__self__)]) if id(value.__self__) in memo else value
    if isinstance(value, (nn.Module, Tensor)) or not isinstance(value, types.FunctionType) or id(value) in memo:
        return memo.get(id(value), value)
    if not _refers_to_model(value, memo, set()):
        return value
    cells = tuple(types.CellType() if _refers_to_model(cell, memo, set()) else cell for cell in value.__closure__ or ())
    function = types.FunctionType(value.__code__, value.__globals__, value.__name__, None, cells)
    memo[id(value)] = function  # before its cells are filled, since one may hold the function itself
    for cell, before in zip(cells, value.__closure__ or (), strict=True):
        if cell is not before:
            cell.cell_contents = _redirected(before.cell_contents, memo)
    function.__defaults__ = (
        None if value.__defaults__ is None else tuple(_redirected(each, memo) for each in value.__defaults__)
    )
    function.__kwdefaults__ = {name: _redirected(each, memo) for name, each in (value.__kwdefaults__ or {}).items()}
    function.__dict__.update(value.__dict__)
    return function


def _refers_to_model(value: Any, memo: Memo, seen: set[int]) -> bool:
    """Whether a function, its closure cells or its defaults refer to a part of the model."""
    if id(value) in seen:
        return False
    seen.add(id(value))
    if isinstance(value, types.CellType):
        try:
            return _refers_to_model(value.cell_contents, memo, seen)
        except ValueError:  # an empty cell
            return False
    if isinstance(value, types.FunctionType):
        references = (*(value.__closure__ or ()), *(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values())
        return any(_refers_to_model(each, memo, seen) for each in references)
    if isinstance(value, weakref.ref):
        return id(value()) in memo
    if isinstance(value, types.MethodType):
        return id(value.__self__) in memo
    return isinstance(value, (nn.Module, Tensor)) and id(value) in memo
