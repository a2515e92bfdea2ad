"""Straight-through gradients for operations without a useful derivative (Bengio et al., 2013; Athalye et al., 2018).

A function mode of the calling thread replaces the derivative of single operations during a forward. The values are
those of the model: only the gradient differs. It needs no module tree, so it works for plain functions too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from inputopt.nets.gradient_rules.operation_names import is_inplace, name_of_operation
from inputopt.nets.gradient_rules.soft_rules import CASTS, HARD, INTEGER, SATURATING, SHAPED, leaking
from inputopt.nets.gradient_rules.stand_ins import (
    StandIns,
    by_class,
    differentiable,
    joined,
    largest_of,
    looked_up,
    nearest_scores,
    same_sum,
)
from inputopt.nets.inference.observation import storage_id

READING = {"numpy", "tolist", "item", "__array__", "__float__", "__int__", "__bool__", "__index__"}
"""Methods that return numbers to Python, which torch refuses for a tensor with a gradient."""


class StraightThrough(TorchFunctionMode):
    """Mode for one forward, in which gradients pass through rounding, casts, comparisons and detached tensors.

    - Rounding and casts to integers have derivative 1, remainders 0; signs have that of a tanh, comparisons that of a
      sigmoid, and reading from a table that of a difference quotient.
    - `detach`, `.data` and `no_grad` do not stop gradients.
    - With `leak`, saturating operations pass on a gradient everywhere.

    In-place operations on tensors that were made outside of the forward, such as buffers, run without gradients.

    Attributes:
        applied: number of operations whose derivative was replaced.
        saturating: number of saturating operations met.
        shaped: number of stand-ins that have a width.
    """

    def __init__(self, leak: bool = False, width: float = 1.0) -> None:
        super().__init__()
        self.applied = self.saturating = self.shaped = 0
        self._width = width
        self._leak = leak
        self._recording = True
        self._stand_ins = StandIns()
        self._made: dict[int, Tensor] = {}  # storages made in this forward; the tensors keep them alive
        self._asked: list[Tensor] = []  # tensors that the model wants the gradient of

    def __enter__(self) -> StraightThrough:
        self._recording = torch.is_grad_enabled()
        super().__enter__()  # type: ignore[no-untyped-call]  # torch's modes are not typed
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        torch.set_grad_enabled(self._recording)
        self._stand_ins, self._made, self._asked = StandIns(), {}, []

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not self._recording:
            return func(*args, **kwargs)
        name, inplace = name_of_operation(func), is_inplace(func)
        if inplace and isinstance(args[0], Tensor) and not self._is_made(args[0]):
            with torch.no_grad():
                return func(*args, **kwargs)
        made = self._replaced(name, inplace, func, args, kwargs)
        if name == "getitem":
            self._follow_scores(made, *args[:2])
        self._remember(made, args)
        return made

    def _replaced(self, name: str, inplace: bool, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        handler = _HANDLERS.get(name)
        if handler is not None:
            return handler(self, func, args, kwargs)
        first: Any = args[0] if args else None
        if self._stand_ins.among((*args, *kwargs.values())):
            return self._of_stand_ins(name, func, args, kwargs)
        if name in SATURATING and differentiable(first):
            self.saturating += 1
            if not self._leak:
                return func(*args, **kwargs)
            hard = func(first.clone() if inplace else first, *args[1:], **kwargs)
            made = same_sum(hard, leaking(name, self._width, first, *args[1:], **kwargs))
            return first.copy_(made) if inplace else made
        if name in HARD and any(map(differentiable, args[:2])):
            soft = HARD[name](self._width, *args, **kwargs)
            if soft is not None:
                self.applied += 1
                self.shaped += name in SHAPED
                hard = func(first.detach().clone() if inplace else first, *args[1:], **kwargs)
                if not hard.is_floating_point():
                    self._stand_ins.add(hard, soft)
                    return hard
                return first.copy_(joined(hard, soft)) if inplace else joined(hard, soft)
        return func(*args, **kwargs)

    def _of_stand_ins(self, name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of an operation with arguments that have stand-ins; its gradient passes through them."""
        stand_ins = self._stand_ins
        self.applied += 1
        if name in CASTS:
            made, soft = func(*args, **kwargs), stand_ins.of(args[0])
            return made if soft is None else self._matched(made, soft)
        if name == "where" and len(args) == 3:
            a, b = (stand_ins.floating(each) for each in args[1:])
            made, soft = func(args[0], a, b), stand_ins.of(args[0])
            gain = torch.as_tensor(a).detach() - torch.as_tensor(b).detach()
            return made if soft is None else same_sum(made, (soft * gain).expand_as(made))
        if name in ("embedding", "getitem") and len(args) > 1 and isinstance(args[1], Tensor):
            table, index = args[:2]  # `torch.embedding` and indexing have this order; `F.embedding` calls the first
            made, soft = func(*args, **kwargs), stand_ins.of(index)
            if name == "embedding" and not table.is_floating_point():
                table, index = index, table
                soft = stand_ins.of(index)
            if soft is None or index.dtype == torch.bool or not table.is_floating_point():
                return made
            return same_sum(made, looked_up(table.detach(), index.long(), soft))
        made = func(*args, **kwargs)
        try:
            soft_args = [stand_ins.floating(each) for each in args]
            named = {key: stand_ins.floating(each) for key, each in kwargs.items()}
            return self._matched(made, INTEGER.get(name, func)(*soft_args, **named))
        except (RuntimeError, TypeError, ValueError, IndexError):  # not defined for floating-point tensors
            return made

    def _matched(self, hard: Any, soft: Any) -> Any:
        """`hard` with the gradients of `soft`; lists and tuples item by item."""
        if type(hard) in (list, tuple) and isinstance(soft, (list, tuple)) and len(hard) == len(soft):
            return type(hard)(self._matched(*pair) for pair in zip(hard, soft, strict=True))
        if not isinstance(hard, Tensor) or not isinstance(soft, Tensor) or hard.shape != soft.shape:
            return hard
        if hard.is_floating_point():
            return joined(hard, soft) if soft.requires_grad else hard
        self._stand_ins.add(hard, soft)
        return hard

    # ------------------------------------------------------------------------------------- gradients inside the model
    def set_grad_enabled(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Leave gradients on."""
        self.applied += not args[0]

    def detach(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Another tensor on the same memory, with the gradient."""
        if not args[0].requires_grad:
            return func(*args, **kwargs)
        self.applied += 1
        return args[0].view_as(args[0])

    def read(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The numbers of a tensor, which must be detached for that."""
        return func(args[0].detach() if isinstance(args[0], Tensor) else args[0], *args[1:], **kwargs)

    def require_grad(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """`requires_grad_` of a tensor with a gradient: keep it, and let a backward inside the model end there."""
        if not args[0].requires_grad or args[0].is_leaf:
            return func(*args, **kwargs)
        args[0].retain_grad()
        self._asked.append(args[0])
        return args[0]

    def backward(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A backward inside the model, up to the tensors that it wants the gradient of."""
        asked, self._asked = self._asked, []
        return func(*args, **{**kwargs, "inputs": kwargs.get("inputs") or asked or None})

    def argmax(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Remember what an index is the argmax of, for its one-hot code."""
        index, dim = func(*args, **kwargs), kwargs.get("dim", args[1] if len(args) > 1 else None)
        if dim is not None and differentiable(args[0]) and index.ndim == args[0].ndim - 1:
            self._stand_ins.add_scores(index, args[0].movedim(dim, -1))
        return index

    def one_hot(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The one-hot code of an argmax changes as a softmax does."""
        hard, scores = func(*args, **kwargs), self._stand_ins.scores_of(args[0])
        if scores is not None:
            self.applied += 1
            self.shaped += 1
            self._stand_ins.add(hard, largest_of(scores, hard.shape[-1], self._width).expand(hard.shape))
        return hard

    def topk(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Remember what the k largest or smallest elements of the last dimension were chosen among."""
        found = func(*args, **kwargs)
        dim = kwargs.get("dim", args[2] if len(args) > 2 else -1)
        largest = kwargs.get("largest", args[3] if len(args) > 3 else True)
        if differentiable(args[0]) and dim in (-1, args[0].ndim - 1):
            scores = nearest_scores(args[0], found.values, largest, self._width)
            self._stand_ins.add_scores(found.indices, scores)
        return found

    def _follow_scores(self, made: Any, table: Any, index: Any) -> None:
        """Where classes are looked up by an index, remember the scores of the classes."""
        scores = self._stand_ins.scores_of(index)
        if scores is not None and isinstance(table, Tensor) and table.ndim == 1 and not table.is_floating_point():
            self._stand_ins.add_scores(made, by_class(scores, table))

    # --------------------------------------------------------------------------------------- what the forward has made
    def _is_made(self, tensor: Tensor) -> bool:
        return tensor.requires_grad or storage_id(tensor) in self._made

    def _remember(self, made: Any, args: tuple[Any, ...]) -> None:
        given = [each for each in args if isinstance(each, Tensor)]
        for tensor in made if isinstance(made, (list, tuple)) else (made,):
            if isinstance(tensor, Tensor):
                memory = storage_id(tensor)
                if not any(storage_id(each) == memory for each in given):  # not a view of what was given
                    self._made.setdefault(memory, tensor)


Handler = Callable[[StraightThrough, Any, tuple[Any, ...], dict[str, Any]], Any]

_HANDLERS: dict[str, Handler] = {
    "_set_grad_enabled": StraightThrough.set_grad_enabled,
    "detach": StraightThrough.detach,
    "data": StraightThrough.detach,
    "requires_grad_": StraightThrough.require_grad,
    "backward": StraightThrough.backward,
    "argmax": StraightThrough.argmax,
    "one_hot": StraightThrough.one_hot,
    "topk": StraightThrough.topk,
    **dict.fromkeys(READING, StraightThrough.read),
}
