"""Names of torch functions as function modes see them."""

from __future__ import annotations

from typing import Any

import torch

_AUGMENTED = {f"__i{name}__" for name in ("add", "sub", "mul", "div", "truediv", "floordiv", "mod", "pow", "and", "or")}
_KEPT = {"__array__", "__float__", "__int__", "__bool__", "__index__", "requires_grad_", "_set_grad_enabled"}
_PROPERTIES = {torch.Tensor.data.__get__: "data"}  # type: ignore[attr-defined]  # a property of C


def name_of_operation(func: Any) -> str:
    """The name of an operation, the same for its function, method, operator and in-place form.

    >>> name_of_operation(torch.Tensor.round_), name_of_operation(torch.Tensor.__floordiv__)
    ('round', 'floordiv')
    """
    name = str(getattr(func, "__name__", ""))
    if name in _KEPT:
        return name
    if name == "__get__":
        return _PROPERTIES.get(func, name)
    if name in _AUGMENTED:
        return name[3:-2]
    if name.startswith("__") and name.endswith("__"):
        return name[2:-2]
    return name.rstrip("_")


def is_inplace(func: Any) -> bool:
    """Whether an operation writes to its first argument.

    >>> is_inplace(torch.Tensor.add_), is_inplace(torch.Tensor.add)
    (True, False)
    """
    name = str(getattr(func, "__name__", ""))
    if name in _KEPT:
        return False
    return name in _AUGMENTED or name == "__setitem__" or (name.endswith("_") and not name.endswith("__"))
