"""Taps: the intermediate tensors of a forward, found and replaced while it runs.

A function mode of the calling thread sees every operation, also those in code without submodules. Tensors that come
from elsewhere (numpy, scripted modules, custom functions) are found where an operation is first given them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from inputopt.nets.gradient_rules.operation_names import is_inplace, name_of_operation
from inputopt.nets.inference.observation import storage_id

Wanted = Callable[[Tensor], bool]
Visit = Callable[[int, Tensor], Tensor]
"""(number of the tensor in the forward, tensor) -> what the forward goes on with."""

_SWITCHES = {"_set_grad_enabled", "get", "set", "size", "dim", "__get__", "__set__"}


class Taps(TorchFunctionMode):
    """Mode for one forward, in which `visit` is called with each new tensor that is `wanted`, in order.

    Views of such tensors and results of in-place operations are no new tensors.
    """

    def __init__(self, given: Tensor, wanted: Wanted, visit: Visit, graded: bool = True, entries: bool = False) -> None:
        """Visit the tensors of a forward.

        Args:
            given: the model's input, which is not visited.
            wanted: which tensors are visited.
            visit: what is done with them.
            graded: whether only tensors that gradients can flow through are visited: what is computed without
                gradients is visited when an operation with gradients first uses it.
            entries: whether only arguments of operations with weights are visited: of those that are also given a
                tensor that was made before the forward.
        """
        super().__init__()
        self._wanted, self._visit, self._graded, self._entries, self._count = wanted, visit, graded, entries, 0
        self._given = storage_id(given)
        self._known: dict[int, Tensor] = {id(given): given}  # the tensors are kept alive, so that ids are unique
        self._replaced: dict[int, Tensor] = {}

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if name_of_operation(func) in _SWITCHES or (self._graded and not torch.is_grad_enabled()):
            return func(*args, **kwargs)
        if self._entries:
            return self._entered(func, args, kwargs)
        inplace = is_inplace(func)
        args = (*args[:1], *map(self._argument, args[1:])) if inplace else tuple(map(self._argument, args))
        kwargs = {key: self._argument(each) for key, each in kwargs.items()}
        made = func(*args, **kwargs)
        if inplace or "out" in kwargs:
            return made
        if isinstance(made, Tensor):
            return self._result(made, args)
        if type(made) in (list, tuple):
            return type(made)(self._result(each, args) if isinstance(each, Tensor) else each for each in made)
        for each in made if isinstance(made, tuple) else ():  # named tuples, as of `max`
            self._know(each)
        return made

    def _entered(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        tensors = [each for each in (*args, *kwargs.values()) if isinstance(each, Tensor)]
        if len(tensors) > 1 and any(id(each) not in self._known and not self._wanted(each) for each in tensors):
            args, kwargs = tuple(map(self._entry, args)), {key: self._entry(each) for key, each in kwargs.items()}
        made = func(*args, **kwargs)
        for each in made if isinstance(made, (list, tuple)) else (made,):
            self._know(each)
        return made

    def _entry(self, value: Any) -> Any:
        """An argument of an operation with weights, visited once if it is wanted."""
        if not isinstance(value, Tensor) or not self._wanted(value) or storage_id(value) == self._given:
            return value
        if id(value) not in self._replaced:
            self._know(value)
            self._replaced[id(value)] = self._visited(value)
        return self._replaced[id(value)]

    def _know(self, tensor: Any) -> None:
        if isinstance(tensor, Tensor):
            self._known[id(tensor)] = tensor

    def _argument(self, value: Any) -> Any:
        """An argument, visited if it is a tensor that no operation has made."""
        if type(value) in (list, tuple):
            return type(value)(map(self._argument, value))
        if not isinstance(value, Tensor):
            return value
        if id(value) in self._replaced:
            return self._replaced[id(value)]
        if id(value) in self._known or isinstance(value, torch.nn.Parameter) or not self._wanted(value):
            return value
        self._know(value)
        self._replaced[id(value)] = self._visited(value)
        return self._replaced[id(value)]

    def _result(self, made: Tensor, args: tuple[Any, ...]) -> Tensor:
        self._know(made)
        if not self._wanted(made) or any(isinstance(each, Tensor) and self._is_view(made, each) for each in args):
            return made
        visited = self._visited(made)
        self._know(visited)
        return visited

    def _visited(self, tensor: Tensor) -> Tensor:
        self._count += 1
        with torch._C.DisableTorchFunction():  # other modes of this forward must not change what `visit` does
            return self._visit(self._count - 1, tensor)

    def _is_view(self, made: Tensor, given: Tensor) -> bool:
        """Whether a result is, or shares its memory with, a tensor that was visited already, or that is the input."""
        return made is given or (self._wanted(given) and storage_id(made) == storage_id(given))
