"""Runs one forward or backward of a model in evaluation mode, without side effects on the user's model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from inputopt.nets.inference.copying import private_copy, unwrapped
from inputopt.nets.inference.graph import Node, derive_by_backward, lacks_derivative, node_signatures
from inputopt.nets.inference.modes import borrowed, evaluate, restore_buffers
from inputopt.nets.inference.observation import Hook, Observation, Observer, registered, storage_id
from inputopt.nets.inference.rewriting import CHANNELS_LAST, Current, RewriteState
from inputopt.nets.input_range import Scaling
from inputopt.nets.layers import WHOLE, Captured, LayerCapture, StopForward, names, parsed
from inputopt.nets.model_errors import ModelError, first_line
from inputopt.nets.naming import fingerprint
from inputopt.nets.outputs import logits_in

HALF = (torch.float16, torch.bfloat16)

WROTE = (
    "The model wrote to its inputs, which it did not do on the first call, so the given inputs have been modified; "
    "change the model to copy its inputs before it writes to them."
)


class ForwardError(Exception):
    """The model's forward raised an exception.

    Attributes:
        error: the exception that it raised.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class ForwardResult(NamedTuple):
    """Result of one forward.

    Attributes:
        outputs: what the model returned; None if the forward was stopped early.
        captured: the captured output of each layer.
        input_node: the input's node in the autograd graph; None in a plain forward.
        missing: error message about a layer that was never called; None if all were.
        state: the rewrites that were in use; None in a plain forward.
    """

    outputs: Any
    captured: dict[str, Captured]
    input_node: Node | None
    missing: str | None
    state: RewriteState | None

    def overwritten(self) -> frozenset[str]:
        """The layers whose output was modified in place after capture."""
        return frozenset(layer for layer, seen in self.captured.items() if seen.is_overwritten())

    def roots(self, batch: int) -> list[Node]:
        """Autograd nodes of the logits and all captured outputs, for a batch of size `batch`."""
        whole = logits_in(self.outputs, batch)
        nodes = [whole.grad_fn] if isinstance(whole, Tensor) else []
        return [node for node in [*nodes, *(seen.root for seen in self.captured.values())] if node is not None]

    def tensors(self, layers: Sequence[str], batch: int) -> tuple[Tensor | None, ...]:
        """The output tensor of each layer, and the logits for the whole model; None where it is not one tensor."""
        whole = logits_in(self.outputs, batch)
        logits = whole if isinstance(whole, Tensor) else None
        return tuple(logits if layer == WHOLE else self.captured[layer].tensor for layer in layers)


@dataclass
class Runner:
    """A model and the settings that it is run with.

    Attributes:
        model: private copy of a module in evaluation mode; the user's module if it cannot be copied; or a function.
        scaling: mean and standard deviation that inputs are normalised with.
        is_private: whether `model` is a private copy.
        dtypes: maps the dtype of inputs to the dtype that the model computes in; None keeps that of the inputs.
        writes_input: whether the model modifies its inputs in place, so that it is given a copy of them.
        lacks_derivative: whether torch has no derivative for some operation of the model.
        is_checkpointed: whether the backward recomputes parts of the model (reentrant checkpoints).
        weights_require_grad: whether the private copy's weights require gradients as the user's do, for a forward that
            differentiates with respect to them.
        overwritten_modules: ids of modules whose output was seen to be modified in place afterwards.
        cloned_layers: layers whose output is copied when captured, since it is modified in place afterwards.
        current: the calling thread's rewrite state.
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
    _foreign: frozenset[int] = frozenset()  # storage ids of the user's model, if `model` is a copy

    def __post_init__(self) -> None:
        self._given = self.model
        if isinstance(self.model, nn.Module):
            copied = private_copy(self.model)
            self.is_private = copied is not None
            if copied is not None:
                tensors = (*self.model.parameters(), *self.model.buffers())
                self._foreign, self.model = frozenset(map(storage_id, tensors)), copied
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
        self.is_unshared = self.is_private or not self.modules  # its modes can be changed without a lock

    def share(self, written: frozenset[int]) -> None:
        """Switch to the user's model, because parts of the private copy refer back to it.

        Restores weights that a forward of the private copy changed, except those in `written`: storage ids of tensors
        that the forward wrote to in the user's model.
        """
        with torch.no_grad():
            for theirs, ours in zip(self._given.parameters(), self.model.parameters(), strict=True):
                if storage_id(ours) not in written and not torch.equal(theirs, ours.to(theirs.dtype)):
                    theirs.copy_(ours)
        self.model, self.is_private, self._foreign, self._trainable = self._given, False, frozenset(), ()
        self._name_parts()

    @contextmanager
    def buffers_unchanged(self) -> Iterator[None]:
        """Restore the buffers of the user's model on exit.

        Raises:
            ValueError: there is no private copy, and a forward changed them.
        """
        with restore_buffers(self._given) as changed:
            yield
        if changed and not self.is_private:
            raise ValueError(
                f"The model cannot be copied and its forward writes to its buffer {changed[0]!r}, so running it would "
                "change it; make the model copyable by copy.deepcopy."
            )

    def freeze(self, frozen: bool = True) -> None:
        """Freeze the private copy's weights, or with `frozen=False`, set `requires_grad` as in the user's model."""
        self.weights_require_grad = not frozen
        for parameter in self._trainable:
            parameter.requires_grad_(self.weights_require_grad)

    def prepare(self, x: Tensor, state: RewriteState | None = None, isolate: bool = False) -> Tensor:
        """Convert dtype, scale and memory format of inputs; `isolate` ensures that the result is not `x` itself."""
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
        """Module name and call number of each layer; raises ValueError for an unknown layer."""
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
        """Run the model until the last of `layers` is captured.

        Args:
            x: inputs [B, ...].
            layers: names of the layers to capture.
            state: the rewrites to use; None for a plain forward.
            isolate: whether the model is given a copy of x instead of x itself.
            hooks: additional hooks (see `registered`).
            mode: context in which the model runs.

        Raises:
            ForwardError: the model raised an exception.
            ModelError: the model modified the caller's inputs in place.
        """
        given = self.prepare(x, state, isolate)
        version = x._version if given is x else 0
        input_node = None if state is None else given.grad_fn
        result = self._run(given, layers, state, hooks, mode, input_node)
        if given is x and x._version != version:
            raise ModelError(WROTE)
        return result

    def run_observed(self, x: Tensor, layers: Sequence[str]) -> tuple[ForwardResult, Observation]:
        """Observe a plain forward on a copy of `x`; if it cannot be observed, `Observation.error` says why."""
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
        """The layers whose output must be copied when captured."""
        if not self.overwritten_modules:
            return self.cloned_layers
        wanted = self.parsed(layers).items()
        return self.cloned_layers | {
            layer
            for layer, (name, _) in wanted
            if name and id(self.model.get_submodule(name)) in self.overwritten_modules
        }

    def fingerprint(self) -> str | None:
        """Fingerprint of the original weights (`naming.fingerprint`)."""
        return self._fingerprint or fingerprint(self.model)

    def to_float32(self) -> list[tuple[Tensor, torch.dtype]]:
        """Convert half-precision weights to float32, which is exact; returns the tensors and their former dtypes."""
        self._fingerprint = self.fingerprint()
        halves = [each for each in (*self.model.parameters(), *self.model.buffers()) if each.dtype in HALF]
        before = [(each, each.dtype) for each in halves]
        for each in halves:
            each.data = each.data.float()
        return before

    def evaluating(self) -> AbstractContextManager[None]:
        """Context that puts a shared model into evaluation mode; does nothing for a private copy."""
        return nullcontext() if self.is_unshared else borrowed(self.model)

    def derive(self, value: Tensor, x: Tensor, keep: bool) -> Tensor | None:
        """d (sum of value) / dx; None if value does not depend on x. `keep` retains the graph for another backward."""
        if self.lacks_derivative and lacks_derivative(node_signatures([value.grad_fn], None)):
            return None
        if self.is_checkpointed and self.is_private and x.is_leaf:
            return derive_by_backward(value, x, keep)
        ones = torch.ones_like(value)
        if self.is_unshared:
            return torch.autograd.grad(value, x, ones, retain_graph=keep, allow_unused=True)[0]
        with self.evaluating():
            return torch.autograd.grad(value, x, ones, retain_graph=keep, allow_unused=True)[0]
