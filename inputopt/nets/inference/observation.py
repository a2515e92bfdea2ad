"""What a forward does, seen from outside: the operations it runs, what each reads and writes, and for which module.

A mode that belongs to the calling thread sees every operation below autograd, so that real inputs run the real code:
nothing is traced, nothing is replaced, and nobody else's thread notices.
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
"""Held while hooks are registered: torch numbers them by a counter that threads would share."""

Hook = tuple[nn.Module, Callable[..., Any], bool]
"""A module, what is called with it, and whether that is before the module runs or behind."""

_READING_OPERATIONS = {"aten._local_scalar_dense", "aten.equal", "aten.is_nonzero"}
"""Operations that hand a number to Python, which may decide by it."""

_READING_METHODS = {"tolist", "numpy", "__array__"}
"""Methods of tensors that do so without an operation."""


@dataclass(frozen=True)
class Operation:
    """One operation; a value is what a piece of memory holds between two writes to it, views of it included.

    Attributes:
        name: such as "aten.convolution".
        reads, writes: the numbers of the values.
    """

    name: str
    reads: tuple[int, ...]
    writes: tuple[int, ...]


@dataclass(frozen=True)
class Call:
    """One call of a module.

    Attributes:
        module: which.
        start, end: the operations inside are operations[start:end].
        given: the value of its first input; None for what is no tensor.
        made: the value of what it put out; None for what is no tensor.
    """

    module: nn.Module
    start: int
    end: int
    given: int | None
    made: int | None


@dataclass(frozen=True)
class Observation:
    """One forward.

    Attributes:
        operations: in order.
        calls: of modules, in the order in which they returned.
        flops: floating-point operations.
        random: whether random numbers were drawn by torch.
        reads_numbers: whether numbers were handed to Python, by which it may go one way or another.
        uses_autograd: whether derivatives were taken inside.
        written: the memory (`storage_id`) that was written to.
        overwritten: the values that were, in it.
        writes_input: whether the input was written to.
        leads_back: whether tensors of the user's own model were read, which a private copy has no business with.
        hooks_tensors: whether the forward put hooks on what its modules put out, which see derivatives.
        error: why operations could not be observed; then nothing else is known.
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
    """Inside, every operation of this thread is noted."""

    def __init__(self, given: Tensor | None = None, foreign: frozenset[int] = frozenset(), counts: bool = True) -> None:
        """Observe a forward.

        Args:
            given: the input, where it is asked whether that is written to.
            foreign: memory of the user's model.
            counts: whether floating-point operations are counted.
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
        reads = tuple(self._value(tensor) for tensor in read)  # before anything is written
        output = func(*args, **kwargs)
        self._note(func, args, kwargs, read, reads, output)
        return output

    def observation(self) -> Observation:
        """What was noted."""
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
        """Everything that this thread does with tensors inside is noted."""
        with _Reading(self), self:
            yield

    def note_read(self) -> None:
        """Numbers were handed to Python."""
        self._reads_numbers = True

    def hooks(self, modules: Sequence[nn.Module]) -> list[Hook]:
        """For `registered`: by them, calls of those modules by this thread are noted."""
        thread = threading.get_ident()
        begun: list[tuple[nn.Module, int, int | None]] = []

        def enter(module: nn.Module, args: tuple[Any, ...]) -> None:
            if threading.get_ident() == thread:
                first = args[0] if args and isinstance(args[0], Tensor) else None
                begun.append((module, len(self._operations), None if first is None else self._value(first)))

        def leave(module: nn.Module, args: Any, output: Any) -> None:
            if threading.get_ident() != thread:
                return
            while begun:  # calls that were left by an exception have not been closed
                called, start, given = begun.pop()
                if called is module:
                    made = self._value(output) if isinstance(output, Tensor) else None
                    self._outputs += [output] if isinstance(output, Tensor) else []
                    self._calls.append(Call(module, start, len(self._operations), given, made))
                    return

        return [each for module in modules for each in ((module, enter, True), (module, leave, False))]

    def _note(
        self, func: Any, args: Any, kwargs: dict[str, Any], read: list[Tensor], reads: tuple[int, ...], output: Any
    ) -> None:
        known = {storage_id(tensor) for tensor in read}
        self._leads_back |= not known.isdisjoint(self._foreign)
        written = _written(func, args, kwargs)
        self._written |= {storage_id(tensor) for tensor in written}
        self._overwritten |= {self._value(tensor) for tensor in written}
        for tensor in written:
            self._values[storage_id(tensor)] = self._new()
        writes = [self._value(tensor) for tensor in written]
        for tensor in _tensors((output,)):
            if storage_id(tensor) not in known:  # no view of what was read: memory of its own, or what another one left
                known.add(storage_id(tensor))
                self._values[storage_id(tensor)] = self._new()
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
            self._values[memory] = self._new()
        return self._values[memory]

    def _new(self) -> int:
        self._count += 1
        return self._count - 1


class _Reading(TorchFunctionMode):
    """Tells an observer of numbers that are read without an operation."""

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
    """The floating-point operations of one operation, by torch's own formulas; 0 for those that have none."""
    formula = flop_registry.get(func._overloadpacket)
    try:
        return 0.0 if formula is None else float(formula(*args, **kwargs, out_val=output))
    except Exception:  # a formula that was not made for such inputs must not stop the network
        return 0.0


@contextmanager
def registered(hooks: Sequence[Hook]) -> Iterator[None]:
    """Each hook is registered inside, and none is left.

    Scripted modules take none and are left out.
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
    """What two tensors that share memory have in common; nothing else that lives at the time has it."""
    try:
        return tensor.untyped_storage()._cdata
    except (NotImplementedError, RuntimeError):  # sparse and other tensors without a storage
        return id(tensor)


def _draws(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether an operation that may draw random numbers does: not if the probability of what it drops out is 0."""
    given = {argument.name: argument.default_value for argument in func._schema.arguments}
    given |= dict(zip(given, args, strict=False)) | kwargs
    return all(given.get(name) != 0 for name in ("dropout_p", "dropout", "p"))


def _written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """The arguments that the operation writes to."""
    places, names = _places_written(func)
    chosen = [args[place] for place in places if place < len(args)]
    return list(_tensors([*chosen, *(kwargs[name] for name in names if name in kwargs)]))


@functools.cache
def _places_written(func: Any) -> tuple[tuple[int, ...], tuple[str, ...]]:
    arguments = [
        (place, argument)
        for place, argument in enumerate(func._schema.arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    ]
    return tuple(place for place, _ in arguments), tuple(argument.name for _, argument in arguments)
