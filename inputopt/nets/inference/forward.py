"""One forward of a model, and one derivative of it: on inputs of ours, in evaluation mode, with nothing left behind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from inputopt.nets.errors import ModelError, first_line
from inputopt.nets.inference.copying import private_copy, unwrapped
from inputopt.nets.inference.graph import Node, derive_by_backward, lacks_derivative, node_signatures
from inputopt.nets.inference.modes import borrowed, buffers_kept, evaluate
from inputopt.nets.inference.observation import Hook, Observation, Observer, registered, storage_id
from inputopt.nets.inference.rewriting import CHANNELS_LAST, Current, RewriteState
from inputopt.nets.inputs import Scaling
from inputopt.nets.layers import WHOLE, Captured, LayerCapture, StopForward, names, parsed
from inputopt.nets.naming import fingerprint
from inputopt.nets.outputs import logits_in

HALF = (torch.float16, torch.bfloat16)

WROTE = (
    "The model wrote to its inputs, which it did not do the first time, so that the inputs given are changed; have it "
    "copy what it writes to."
)


class ForwardError(Exception):  # what it carries is the error
    """The model's own forward raised.

    Attributes:
        error: what it raised.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class ForwardResult(NamedTuple):
    """What came of one forward.

    Attributes:
        outputs: what the model returned; None if it was left early.
        captured: by layer, what was put out.
        input_node: the node of the input, to which they lead back; None in a plain forward.
        missing: a sentence on a layer that was never called; None if all were.
        state: the rewrites that were in use.
    """

    outputs: Any
    captured: dict[str, Captured]
    input_node: Node | None
    missing: str | None
    state: RewriteState | None

    def overwritten(self) -> frozenset[str]:
        """The layers whose output was written to behind them."""
        return frozenset(layer for layer, seen in self.captured.items() if seen.is_overwritten())

    def roots(self, batch: int) -> list[Node]:
        """Where the graphs of all that came out begin, for so many inputs."""
        whole = logits_in(self.outputs, batch)
        nodes = [whole.grad_fn] if isinstance(whole, Tensor) else []
        return [node for node in [*nodes, *(seen.root for seen in self.captured.values())] if node is not None]

    def tensors(self, layers: Sequence[str], batch: int) -> tuple[Tensor | None, ...]:
        """What each layer put out, where that is one tensor; the model itself its logits."""
        whole = logits_in(self.outputs, batch)
        logits = whole if isinstance(whole, Tensor) else None
        return tuple(logits if layer == WHOLE else self.captured[layer].tensor for layer in layers)


@dataclass
class Runner:
    """A model and how it is run.

    Attributes:
        model: a private copy of a module in evaluation mode, or where there is none the user's own; or a function.
        scaling: what is subtracted from and divided out of inputs.
        is_private: whether `model` is a private copy.
        dtypes: by the dtype of inputs, that which the model computes in; None for whatever comes.
        writes_input: whether the model writes to its inputs, so that it gets a copy of them.
        lacks_derivative: whether torch does not know the derivative of some operation in it.
        is_checkpointed: whether parts of it are run again in the backward (reentrant checkpoints).
        weights_require_grad: whether the private copy's weights want gradients as the user's do, for a forward that
            differentiates by them.
        overwritten_modules: ids of modules whose output was seen to be written to behind them.
        cloned_layers: layers whose output the next line writes to.
    """

    model: Any
    scaling: Scaling
    is_private: bool = False
    dtypes: dict[torch.dtype, torch.dtype | None] = field(default_factory=dict)
    writes_input: bool = False
    lacks_derivative: bool = False
    is_checkpointed: bool = False
    weights_require_grad: bool = False
    overwritten_modules: set[int] = field(default_factory=set)
    cloned_layers: frozenset[str] = frozenset()
    current: Current = field(default_factory=Current)
    _trainable: tuple[nn.Parameter, ...] = ()
    _fingerprint: str | None = None
    _foreign: frozenset[int] = frozenset()  # the memory of the user's model, where there is a private copy

    def __post_init__(self) -> None:
        self._given = self.model
        if isinstance(self.model, nn.Module):
            copied = private_copy(self.model)
            self.is_private = copied is not None
            self._foreign = frozenset(map(storage_id, _tensors_of(self.model))) if copied is not None else frozenset()
            self.model = self.model if copied is None else copied
        else:
            self.model = unwrapped(self.model)
        if self.is_private:
            evaluate(self.model)
            self._trainable = tuple(parameter for parameter in self.model.parameters() if parameter.requires_grad)
            self.freeze()
        self._name_parts()

    def _name_parts(self) -> None:
        self.modules = tuple(self.model.modules()) if isinstance(self.model, nn.Module) else ()
        self.names = names(self.model)
        self.is_unshared = self.is_private or not self.modules  # nobody else's modes are touched

    def share(self, written: frozenset[int]) -> None:
        """Use the user's own model from now on, since parts of the private copy lead back to it.

        Its weights that a forward of the copy has changed are those of the copy again, unless it has written to these
        (memory `written`).
        """
        with torch.no_grad():
            for theirs, ours in zip(self._given.parameters(), self.model.parameters(), strict=True):
                if storage_id(ours) not in written and not torch.equal(theirs, ours.to(theirs.dtype)):
                    theirs.copy_(ours)
        self.model, self.is_private, self._foreign, self._trainable = self._given, False, frozenset(), ()
        self._name_parts()

    @contextmanager
    def unwritten(self) -> Iterator[None]:
        """Keep the buffers of the user's model as they are, and refuse to run it if that changes them.

        Raises:
            ValueError: there is no private copy, and a forward changed them.
        """
        with buffers_kept(self._given) as changed:
            yield
        if changed and not self.is_private:
            raise ValueError(
                f"The model cannot be copied and its forward writes to its buffer {changed[0]!r}, so that using it "
                "would change it; make it a model that copy.deepcopy can copy."
            )

    def freeze(self, frozen: bool = True) -> None:
        """Have the private copy's weights want no gradient; or those that the user's do, for a forward that asks it."""
        self.weights_require_grad = not frozen
        for parameter in self._trainable:
            parameter.requires_grad_(self.weights_require_grad)

    def prepare(self, x: Tensor, state: RewriteState | None = None, isolate: bool = False) -> Tensor:
        """Inputs as the model wants them; `isolate`: no memory of `x` itself."""
        y, dtype = x, self.dtypes.get(x.dtype)
        if dtype is not None and y.dtype != dtype:
            y = y.to(torch.promote_types(y.dtype, dtype) if y.is_floating_point() else dtype)
        y = self.scaling(y)
        if dtype is not None and y.dtype != dtype:
            y = y.to(dtype)
        if state is not None and CHANNELS_LAST in state.kinds and y.ndim == 4:
            y = y.contiguous(memory_format=torch.channels_last)
        return y.clone() if y is x and (isolate or self.writes_input) else y

    def parsed(self, layers: Sequence[str]) -> dict[str, tuple[str, int | None]]:
        """By layer, the module's name and the call; ValueError for one that there is not."""
        return {layer: parsed(layer, self.names) for layer in layers}

    def __call__(
        self,
        x: Tensor,
        layers: Sequence[str],
        state: RewriteState | None = None,
        isolate: bool = False,
        hooks: Sequence[Hook] = (),
        mode: AbstractContextManager[Any] | None = None,
    ) -> ForwardResult:
        """Run the model on inputs `x` [B, ...] until the last of `layers` was seen.

        Args:
            state: the rewrites to use; none in a plain forward.
            isolate: whether the model must not even see the memory of x.
            hooks: more to register (`registered`).
            mode: what to be in while the model runs.

        Raises:
            ForwardError: the model raised.
            ModelError: it wrote to inputs that are not its own.
        """
        given = self.prepare(x, state, isolate)
        version = x._version if given is x else 0
        input_node = None if state is None else given.grad_fn
        result = self._run(given, layers, state, hooks, mode, input_node)
        if given is x and x._version != version:
            raise ModelError(WROTE)
        return result

    def run_observed(self, x: Tensor, layers: Sequence[str]) -> tuple[ForwardResult, Observation]:
        """A plain forward on inputs of its own, and what was seen of it; where nothing could be, why not."""
        given = self.prepare(x, isolate=True)
        before = given.detach().clone().nan_to_num()
        observer = Observer(given, self._foreign)
        try:
            result = self._run(given, layers, None, observer.hooks(self.modules), observer.active(), given.grad_fn)
        except ForwardError as failure:
            return self(x, layers, isolate=True), Observation(error=first_line(failure.error))
        seen = observer.observation()
        written = seen.writes_input or not torch.equal(before, given.detach().nan_to_num())
        return result, replace(seen, writes_input=written)

    def _run(
        self,
        given: Tensor,
        layers: Sequence[str],
        state: RewriteState | None,
        hooks: Sequence[Hook],
        mode: AbstractContextManager[Any] | None,
        input_node: Node | None = None,
    ) -> ForwardResult:
        watch = None if layers == (WHOLE,) else LayerCapture(self.parsed(layers), self.layers_to_clone(layers))
        every = hooks if watch is None else [*hooks, *watch.hooks(self.model)]
        outputs = None
        if state is not None:
            self.current.state = state
        try:
            if every or mode or not self.is_unshared:
                with self.evaluating(), registered(every), mode or nullcontext():
                    outputs = self.model(given)
            else:
                outputs = self.model(given)
            if state is not None:
                state.finish()
        except StopForward:
            pass
        except Exception as error:
            raise ForwardError(error) from error
        finally:
            if state is not None:
                self.current.state = None
        if watch is None:
            return ForwardResult(outputs, {}, input_node, None, state)
        return ForwardResult(outputs, watch.found, input_node, watch.missing(), state)

    def layers_to_clone(self, layers: Sequence[str]) -> frozenset[str]:
        """Those of the layers that are to be copied as they are put out."""
        if not self.overwritten_modules:
            return self.cloned_layers
        wanted = self.parsed(layers).items()
        return self.cloned_layers | {
            layer
            for layer, (name, _) in wanted
            if name and id(self.model.get_submodule(name)) in self.overwritten_modules
        }

    def fingerprint(self) -> str | None:
        """That of the weights as they were given (`naming.fingerprint`)."""
        return self._fingerprint or fingerprint(self.model)

    def to_float32(self) -> list[tuple[Tensor, torch.dtype]]:
        """Hold the weights of half precision in float32, which holds them exactly; returns what they were."""
        self._fingerprint = self.fingerprint()
        halves = [each for each in (*self.model.parameters(), *self.model.buffers()) if each.dtype in HALF]
        before = [(each, each.dtype) for each in halves]
        for each in halves:
            each.data = each.data.float()
        return before

    def evaluating(self) -> AbstractContextManager[None]:
        """Evaluation mode inside, of a module that is not ours alone."""
        return nullcontext() if self.is_unshared else borrowed(self.model)

    def derive(self, value: Tensor, x: Tensor, keep: bool) -> Tensor | None:
        """d (sum of value) / dx; None if it does not depend on x. `keep`: there is more to derive."""
        if self.lacks_derivative and lacks_derivative(node_signatures([value.grad_fn], None)):
            return None
        if self.is_checkpointed and self.is_private and x.is_leaf:
            return derive_by_backward(value, x, keep)
        ones = torch.ones_like(value)
        if self.is_unshared:
            return torch.autograd.grad(value, x, ones, retain_graph=keep, allow_unused=True)[0]
        with self.evaluating():
            return torch.autograd.grad(value, x, ones, retain_graph=keep, allow_unused=True)[0]


def _tensors_of(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]
