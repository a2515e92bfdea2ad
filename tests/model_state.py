"""All of a model that a careless library might change, in plain values that can be compared."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

PLAIN = (type(None), bool, int, float, str)


def state_of(model: Any) -> dict[str, Any]:
    """Of a module: each module's identity, mode, hooks and attributes, each weight with its gradient, each buffer.

    Of other callables nothing: what they hold is theirs to change.
    """
    if not isinstance(model, nn.Module):
        return {}
    found: dict[str, Any] = {}
    for name, module in model.named_modules():
        found[f"module {name}"] = (
            id(module),
            getattr(module, "training", None),
        )  # scripts that are frozen have no mode
        found.update({f"attribute {name}.{key}": _value(value) for key, value in vars(module).items()})
    for name, parameter in model.named_parameters():
        grad = None if parameter.grad is None else _bits(parameter.grad)
        found[f"parameter {name}"] = (id(parameter), parameter.requires_grad, _bits(parameter), grad)
    for name, buffer in model.named_buffers():
        found[f"buffer {name}"] = (id(buffer), _bits(buffer))
    return found


def _value(value: Any) -> Any:
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, Tensor):
        return id(value), _bits(value)
    if isinstance(value, torch.Generator):
        return id(value), value.get_state().numpy().tobytes()
    if isinstance(value, dict):  # hooks, submodules, caches
        return [(key, _value(entry)) for key, entry in value.items()]
    return id(value)


def _bits(value: Tensor) -> tuple[Any, ...]:
    if is_lazy(value):  # has neither numbers nor a shape yet
        return ()
    kept = value.detach()
    kept = (kept.to_dense() if kept.is_sparse else kept).cpu().contiguous()
    return value.dtype, tuple(value.shape), value._version, kept.reshape(-1).view(torch.uint8).numpy().tobytes()
