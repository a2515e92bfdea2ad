"""Records the operations of a forward, the values that each reads and writes, and the module calls around them.

A dispatch mode of the calling thread intercepts every operation below autograd. The model's code runs unchanged on real
inputs: nothing is traced or replaced, and other threads are not affected.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import flop_registry

from inputopt.nets.dispatch_mode import DispatchMode

REGISTERING = threading.Lock()
"""Held while hooks are registered: torch numbers them with a counter shared by all threads."""

Hook = tuple[nn.Module, Callable[..., Any], bool]
"""(module, hook, whether it is a forward pre-hook rather than a forward hook)."""

_READING_OPERATIONS = {"aten._local_scalar_dense", "aten.equal", "aten.is_nonzero"}
"""Operations that return a number to Python, where control flow may depend on it."""

_READING_METHODS = {"tolist", "numpy", "__array__"}
"""Tensor methods that return numbers to Python without an operation."""


@dataclass(frozen=True)
class Operation:
    """One operation. A value is the content of a storage between two writes to it, shared by all its views.

    Attributes:
        name: such as "aten.convolution".
        reads, writes: indices of the values.
    """

    name: str
    reads: tuple[int, ...]
    writes: tuple[int, ...]


@dataclass(frozen=True)
class Call:
    """One call of a module.

    Attributes:
        module: the module called.
        start, end: its operations are operations[start:end].
        given: index of the value of its first input; None if that is not a tensor.
        made: index of the value of its output; None if that is not a tensor.
    """

    module: nn.Module
    start: int
    end: int
    given: int | None
    made: int | None


@dataclass(frozen=True)
class Observation:
    """Record of one forward.

    Attributes:
        operations: the operations in order.
        calls: the module calls in the order in which they returned.
        flops: floating-point operations.
        random: whether torch drew random numbers.
        reads_numbers: whether numbers were returned to Python, so that control flow may depend on them.
        uses_autograd: whether gradients were computed inside the forward.
        written: storages (`storage_id`) that were written to.
        overwritten: indices of the values that were overwritten.
        writes_input: whether the input was written to.
        leads_back: whether tensors of the user's model were read, which a private copy should not do.
        hooks_tensors: whether the forward put gradient hooks on outputs of its modules.
        error: why operations could not be observed; all other fields are then unknown. Empty if they were observed.
    """

    operations: tuple[Operation, ...] = ()
    calls: tuple[Call, ...] = ()
    flops: float = 0.0
    random: bool = False
    reads_numbers: bool = False
    uses_autograd: bool = False
    writes_input: bool = False
    written: frozenset[int] = frozenset()
    overwritten: frozenset[int] = frozenset()
    leads_back: bool = False
    hooks_tensors: bool = False
    error: str = ""


class Observer(DispatchMode):
    """Dispatch mode that records every operation of the calling thread."""

    def __init__(self, given: Tensor | None = None, foreign: frozenset[int] = frozenset(), counts: bool = True) -> None:
        """Observe a forward.

        Args:
            given: the input, to detect whether it is written to; None to skip this.
            foreign: storage ids of the user's model.
            counts: whether to count floating-point operations.
        """
        super().__init__()
        self._counts = counts
        self._foreign = foreign
        self._leads_back = False
        self._outputs: list[Tensor] = []
        self._values: dict[int, int] = {}
        self._count = 0
        self._input = None if given is None else storage_id(given)
        self._operations: list[Operation] = []
        self._calls: list[Call] = []
        self._flops = 0.0
        self._written: set[int] = set()
        self._overwritten: set[int] = set()
        self._random = self._reads_numbers = self._uses_autograd = False

    def __torch_dispatch__(
        self, func: Any, types: Sequence[Any], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        read = list(_tensors((*args, *kwargs.values())))
        reads = tuple(self._value(tensor) for tensor in read)  # before the operation writes
        output = func(*args, **kwargs)
        self._record(func, args, kwargs, read, reads, output)
        return output

    def observation(self) -> Observation:
        """The record so far."""
        return Observation(
            tuple(self._operations),
            tuple(self._calls),
            self._flops,
            self._random,
            self._reads_numbers,
            self._uses_autograd,
            self._input in self._written,
            frozenset(self._written),
            frozenset(self._overwritten),
            self._leads_back,
            any(output._backward_hooks for output in self._outputs),
        )

    @contextmanager
    def active(self) -> Iterator[None]:
        """Context in which operations of this thread and numbers read without an operation are recorded."""
        with _NumberReadMode(self), self:
            yield

    def note_read(self) -> None:
        """Record that numbers were returned to Python."""
        self._reads_numbers = True

    def hooks(self, modules: Sequence[nn.Module]) -> list[Hook]:
        """Hooks for `registered` that record this thread's calls of the modules."""
        thread = threading.get_ident()
        open_calls: list[tuple[nn.Module, int, int | None]] = []

        def enter(module: nn.Module, args: tuple[Any, ...]) -> None:
            if threading.get_ident() == thread:
                first = args[0] if args and isinstance(args[0], Tensor) else None
                open_calls.append((module, len(self._operations), None if first is None else self._value(first)))

        def leave(module: nn.Module, args: Any, output: Any) -> None:
            if threading.get_ident() != thread:
                return
            while open_calls:  # discard calls that an exception ended
                called, start, given = open_calls.pop()
                if called is module:
                    made = self._value(output) if isinstance(output, Tensor) else None
                    self._outputs += [output] if isinstance(output, Tensor) else []
                    self._calls.append(Call(module, start, len(self._operations), given, made))
                    return

        return [each for module in modules for each in ((module, enter, True), (module, leave, False))]

    def _record(
        self, func: Any, args: Any, kwargs: dict[str, Any], read: list[Tensor], reads: tuple[int, ...], output: Any
    ) -> None:
        known = {storage_id(tensor) for tensor in read}
        self._leads_back |= not known.isdisjoint(self._foreign)
        written = _written(func, args, kwargs)
        self._written |= {storage_id(tensor) for tensor in written}
        self._overwritten |= {self._value(tensor) for tensor in written}
        for tensor in written:
            self._values[storage_id(tensor)] = self._new_value()
        writes = [self._value(tensor) for tensor in written]
        for tensor in _tensors((output,)):
            if storage_id(tensor) not in known:  # not a view of an input: new or reused storage
                known.add(storage_id(tensor))
                self._values[storage_id(tensor)] = self._new_value()
                writes.append(self._value(tensor))
        name = str(func._overloadpacket)
        self._operations.append(Operation(name, reads, tuple(writes)))
        self._flops += flops_of(func, args, kwargs, output) if self._counts else 0.0
        self._random |= torch.Tag.nondeterministic_seeded in func.tags and _draws(func, args, kwargs)
        self._reads_numbers |= name in _READING_OPERATIONS
        self._uses_autograd |= torch._C._current_graph_task_id() != -1

    def _value(self, tensor: Tensor) -> int:
        memory = storage_id(tensor)
        if memory not in self._values:
            self._values[memory] = self._new_value()
        return self._values[memory]

    def _new_value(self) -> int:
        self._count += 1
        return self._count - 1


class _NumberReadMode(TorchFunctionMode):
    """Function mode that reports to an observer numbers that are read without an operation."""

    def __init__(self, observer: Observer) -> None:
        super().__init__()
        self._observer = observer

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__name__", "") in _READING_METHODS:
            self._observer.note_read()
        return func(*args, **(kwargs or {}))


def flops_of(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> float:
    """Floating-point operations of one operation by torch's formulas; 0 if it has none."""
    formula = flop_registry.get(func._overloadpacket)
    try:
        return 0.0 if formula is None else float(formula(*args, **kwargs, out_val=output))
    except Exception:  # a formula may fail on unusual inputs, which must not stop the forward
        return 0.0


@contextmanager
def registered(hooks: Sequence[Hook]) -> Iterator[None]:
    """Context in which the hooks are registered; they are removed on exit.

    Scripted modules accept no hooks and are skipped.
    """
    with ExitStack() as stack:
        with REGISTERING:
            for module, hook, before in hooks:
                if not isinstance(module, torch.jit.ScriptModule):
                    register = module.register_forward_pre_hook if before else module.register_forward_hook
                    stack.callback(register(hook).remove)
        yield


def _tensors(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


def storage_id(tensor: Tensor) -> int:
    """Identifier of a tensor's storage, unique among live storages and shared by all views."""
    try:
        return tensor.untyped_storage()._cdata
    except (NotImplementedError, RuntimeError):  # sparse and other tensors without a storage
        return id(tensor)


def _draws(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a possibly random operation draws random numbers: not if its dropout probability is 0."""
    given = {argument.name: argument.default_value for argument in func._schema.arguments}
    given |= dict(zip(given, args, strict=False)) | kwargs
    return all(given.get(name) != 0 for name in ("dropout_p", "dropout", "p"))


def _written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """The arguments that the operation writes to."""
    positions, names = _written_arguments(func)
    chosen = [args[position] for position in positions if position < len(args)]
    return list(_tensors([*chosen, *(kwargs[name] for name in names if name in kwargs)]))


@functools.cache
def _written_arguments(func: Any) -> tuple[tuple[int, ...], tuple[str, ...]]:
    arguments = [
        (position, argument)
        for position, argument in enumerate(func._schema.arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    ]
    return tuple(position for position, _ in arguments), tuple(argument.name for _, argument in arguments)
