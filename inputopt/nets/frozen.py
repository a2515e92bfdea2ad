"""Frozen: a model with fixed weights and an input range, as used by attacks, searches and visualisations."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from inputopt import checks
from inputopt.nets.default_modes import isolated
from inputopt.nets.gradient_rules.skip_gradient import BranchRule, ContextRule, Kept
from inputopt.nets.inference.folding import prefers_channels_last
from inputopt.nets.inference.forward import ForwardError, ForwardResult, Runner
from inputopt.nets.inference.memory import keep_freed
from inputopt.nets.inference.network import Network
from inputopt.nets.inference.threads import threads_for_operations
from inputopt.nets.input_range import parse_bounds, parse_scaling
from inputopt.nets.layers import WHOLE, Layer, list_layers
from inputopt.nets.model_checks import check_model
from inputopt.nets.model_errors import NO_DERIVATIVE, NoGradientError, explain_backward_error, explain_error
from inputopt.nets.naming import kind_of, name_of, summary_of
from inputopt.nets.network_facts import facts_of
from inputopt.nets.outputs import checked_layer, checked_logits
from inputopt.nets.randomness import generator_states, generators_used, next_number, restore_generators
from inputopt.summaries import Summarised, Summary


class Frozen(Summarised):
    """A model with fixed weights, together with the bounds and normalisation of its inputs.

    The user's model is never changed: a private copy is run, in evaluation mode (set by the model's own `eval()`), with
    weights that require no gradient. A model that cannot be copied is used itself, by one thread at a time, and is put
    into evaluation mode for each call and restored afterwards; a function is called as it is.

    **Optimisations are verified.** At the first inputs the copy is run on two of them, both unchanged and optimised
    (batch norms folded into convolutions, channels-last memory and others, see `optimisations`); outputs and gradients
    are compared, and an optimisation that differs by more than rounding is disabled. Inputs that take another path
    through the model, because of their size or values, are verified again.

    **Dtypes.** Inputs may have any floating-point dtype. They are cast to the compute dtype: that of the weights, but
    float32 for float16 and bfloat16 weights (which it represents exactly), unless the model runs only in its own dtype.
    Logits, layer outputs and searches are in float32, or float64 if the model or its inputs are; gradients have the
    dtype of the inputs.

    **Outputs** are logits [B, n]: a tensor, a `.logits` field, or the only such tensor in a tuple, list, mapping or
    dataclass. Inputs are never written to: a model that writes to its inputs is given a copy.

    Args:
        model: a module, or any function of [B, ...].
        bounds: the lowest and the highest value of an input, each a number, a tensor [C] with one value per channel, or
            a tensor that broadcasts to one input; may be infinite. Default (0, 1).
        mean, std: normalisation (x - mean) / std that is applied before the model, in the same forms; default: none.
        class_names: names of the classes, in the order of the logits; default: those that the model was loaded with.

    Attributes:
        bounds: the given bounds.
        unit: the length that step sizes are fractions of: the largest finite width of the bounds, 1 if there is none.
        name: the name that the model was loaded by; None for a model from another source.
        kind: the name of the model's class, or of the function.
        facts: what is known of the model beside its weights: `facts.class_names`, or None.
        convolves: whether the model is known to convolve images.
        forwards, backwards: number of examples run forward and backward, without those in `checks`.
        device: the device of the model's weights.

    Raises:
        TypeError, ValueError: not a model, or invalid weights, bounds, mean or std.
    """

    def __init__(
        self,
        model: nn.Module | Callable[[Tensor], Any],
        bounds: tuple[Any, Any] = (0.0, 1.0),
        mean: Any = None,
        std: Any = None,
        *,
        class_names: Sequence[str] | None = None,
    ) -> None:
        check_model(model)
        self._box, self._scaling = parse_bounds(bounds), parse_scaling(mean, std)
        keep_freed()
        self.bounds: tuple[Any, Any] = (self._box.low, self._box.high)
        self.unit = self._box.unit
        self.name, self.kind, self.facts = name_of(model), kind_of(model), facts_of(model, class_names)
        self.convolves = isinstance(model, nn.Module) and prefers_channels_last(model)
        self.forwards = self.backwards = 0
        self._network = Network(model, self._scaling)
        self._count_lock, self._branches = threading.Lock(), ContextRule()
        weights = [*model.parameters(), *model.buffers()] if isinstance(model, nn.Module) else []
        self._has_weights, self.device = bool(weights), weights[0].device if weights else torch.device("cpu")

    def __call__(self, x: Tensor) -> Tensor:
        """Return logits [B, n] of inputs [B, ...] in the bounds.

        Raises:
            ModelError: the model's own code failed.
            InputShapeError, OutOfMemoryError, ValueError: the model does not take these inputs.
            TypeError, ValueError: the model returns no logits [B, n].
        """
        result = self._run(x, (WHOLE,))
        return checked_logits(result.outputs, x.shape[0], self._out_dtype(x))

    def observed(self, x: Tensor) -> Tensor:
        """Return logits [B, n] like a call, and update `is_random` by whether this forward drew random numbers.

        Raises:
            The same errors as a call.
        """
        network, states = self._network, generator_states()
        was_random = network.is_random
        result = self._run(x, (WHOLE,), observe=True)
        network.is_random |= generators_used(states)  # a false positive caused by another thread only costs time
        if network.is_random and not was_random:
            restore_generators(states)
        return checked_logits(result.outputs, x.shape[0], self._out_dtype(x))

    def features(self, x: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """Return the outputs of the named layers for inputs [B, ...]; the forward stops after the last of them.

        Outputs are those returned by the module, even if a later in-place operation overwrites them. "act" or "act:1"
        is the first call of a module, "act:2" its second, "act:last" its last. "" is the model itself, with its logits.
        Of a layer with several outputs it is the tensor called `last_hidden_state` or `logits`, or the first of a
        tuple, or the only one with two dimensions or more.

        Raises:
            ValueError: the model has no module of this name or never calls it; or an error as for logits.
            TypeError: a layer returns several tensors.
        """
        if isinstance(layers, str) or not layers:
            raise ValueError("layers must be a list of at least one layer name.")
        if not self.runner.names and any(layer != WHOLE for layer in layers):
            raise ValueError("This model has no named layers; give a torch module with submodules.")
        unique = tuple(dict.fromkeys(layers))
        result = self._run(x, unique)
        dtype = self._out_dtype(x)
        found = {layer: checked_layer(layer, seen.tensor, dtype) for layer, seen in result.captured.items()}
        if WHOLE in unique:
            found[WHOLE] = checked_logits(result.outputs, len(x), dtype)
        return found

    def layers(self, x: Tensor) -> list[Layer]:
        """List all modules with the output shape of each of their calls on inputs [B, ...]."""
        if not self.layer_names():
            return []
        with torch.no_grad(), isolated(x.device):
            x = x.clone() if x.is_inference() else x
            try:
                self._network.decide(x, (WHOLE,))
                return list_layers(self.runner.model, lambda: self.runner(x, (WHOLE,)))
            except ForwardError as failure:
                raise self._explained(failure, x)  # noqa: B904  # the cause is the model's error

    def gradient(self, value: Tensor, x: Tensor, samples: int = 1, keep: bool = False) -> Tensor:
        """Return the gradient of sum(value) with respect to x: per-example gradients if value[i] depends on x[i] only.

        Args:
            value: numbers computed from the model's outputs on x, such as losses [B].
            x: inputs [B, ...]; the gradient has their shape and dtype, and may contain NaN or infinities.
            samples: number of forwards of each example behind `value`, for the count in `backwards`.
            keep: whether to keep the graph for another backward.

        Raises:
            ValueError: `value` has no gradient with respect to x.
            ModelError, OutOfMemoryError: the backward failed.
        """
        if not value.requires_grad:
            raise NoGradientError(NO_DERIVATIVE)
        with self._count_lock:
            self.backwards += samples * value.numel()
        with isolated(x.device), threads_for_operations(samples * self.operations(x)):
            try:
                grad = self._network.runner.derive(value, x, keep)
            except Exception as error:
                raise explain_backward_error(error, x) from error
        if grad is None:
            raise NoGradientError(NO_DERIVATIVE)
        return grad

    @contextmanager
    def skipping(self, share: float, kept: Kept | None = None) -> Iterator[None]:
        """Context in which gradients through residual branches are scaled by `share`, favouring skip connections.

        The skip gradient method (Wu et al., 2020): adversarial inputs found with it transfer far better to other
        networks. It is no longer the gradient of the output; a share of 1 changes nothing. `kept`, a function of the
        number of branches, chooses those that each forward runs. Both apply to forwards of the calling thread, which
        raise a ValueError if the model has no detectable residual branches.
        """
        with self._branches.set(BranchRule(checks.share("branches", share), kept)):
            yield

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of searches: float64 for a model that computes in float64, else float32."""
        return torch.float64 if self._network.is_double else torch.float32

    def search_dtype(self, x: Tensor) -> torch.dtype:
        """Return the dtype of a search that starts at `x`: float64 if `x` or the model is, else float32."""
        return torch.float64 if x.dtype == torch.float64 else self.dtype

    @property
    def is_random(self) -> bool:
        """Whether the model was observed to draw random numbers; False before the first forward."""
        return self._network.is_random

    @property
    def checks(self) -> int:
        """Number of further examples run to choose the compute dtype and to verify optimisations."""
        return self._network.checks

    @property
    def optimisations(self) -> dict[str, str]:
        """By name of an optimisation of the private copy: "used", or why it is not used."""
        return self._network.optimisations()

    @property
    def runner(self) -> Runner:
        """Runs the private copy as it is, without optimisations and without counting."""
        return self._network.runner

    def box(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return low and high as tensors that broadcast to `like` [B, ...], in its dtype and on its device."""
        return self._box.box(like)

    def operations(self, x: Tensor) -> float:
        """Return the floating-point operations of a forward on `x` [B, ...]; 0 before the first of its shape."""
        return x.shape[0] * self._network.flops(x.shape[1:])

    def described(self) -> dict[str, Any]:
        """Return name, weight fingerprint, bounds, mean and std of the model as plain Python values."""
        bounds = [bound.tolist() if isinstance(bound, Tensor) else bound for bound in self.bounds]
        settings = {"mean": self._scaling.mean.tolist(), "std": self._scaling.std.tolist()}
        return {"name": self.name, "weights": self._network.runner.fingerprint(), "bounds": bounds, **settings}

    def layer_names(self) -> list[str]:
        """Return the layer names that `features` accepts."""
        return list(self._network.runner.names)

    def first_weights(self) -> tuple[int, ...] | None:
        """Return the shape [n_out, n_in, ...] of the first parameter with two dimensions or more; None if none."""
        model = self._network.runner.model
        weights = model.parameters() if isinstance(model, nn.Module) else iter(())
        return next((tuple(each.shape) for each in weights if each.ndim > 1), None)

    def _run(self, x: Tensor, layers: tuple[str, ...], observe: bool = False) -> ForwardResult:
        if not isinstance(x, Tensor):
            raise TypeError(
                f"Inputs must be a tensor [B, ...], not {type(x).__name__}; convert it with torch.as_tensor."
            )
        if self._has_weights and x.device != self.device:
            raise ValueError(f"The inputs are on {x.device} and the network on {self.device}; move both to one device.")
        network = self._network
        with self._count_lock:
            self.forwards += x.shape[0]
        with isolated(x.device), threads_for_operations(self.operations(x)):
            x = x.clone() if x.is_inference() else x
            try:
                network.decide(x, layers)
                if network.failure is not None and x.requires_grad and torch.is_grad_enabled():
                    raise NoGradientError(NO_DERIVATIVE) from network.failure.error
                with next_number() if network.is_random else nullcontext():
                    result = network.run(x, layers, self._branches.rule, observe)
            except ForwardError as failure:
                raise self._explained(failure, x)  # noqa: B904  # the cause is the model's error
        if result.missing:
            raise ValueError(result.missing)
        return result

    def _explained(self, failure: ForwardError, x: Tensor) -> Exception:
        """Return the model's error on these inputs as an exception with a one-sentence message."""
        sentence = explain_error(failure.error, x, self._network.accepts(x.shape[1:]))
        if sentence is not failure.error:  # an error of a nested Frozen is returned unchanged
            sentence.__cause__ = failure.error
        return sentence

    def _out_dtype(self, x: Tensor) -> torch.dtype:
        return torch.float64 if x.dtype == torch.float64 or self._network.is_double else torch.float32

    def _summary(self, images: bool) -> Summary:
        return summary_of(self.name, self.kind, self._box, self._scaling, self.device, self.optimisations)

    def __getstate__(self) -> dict[str, Any]:
        scaling, counts = self._scaling, (self.forwards, self.backwards)
        made = {"model": self.runner.model, "bounds": self.bounds, "mean": scaling.mean, "std": scaling.std}
        return {"made": made, "name": self.name, "facts": self.facts, "counts": counts}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Frozen.__init__(self, **state["made"])
        self.name, self.facts = state["name"], state["facts"]
        self.forwards, self.backwards = state["counts"]


def frozen(model: Frozen | nn.Module | Callable[[Tensor], Any]) -> Frozen:
    """Return `model`, as `Frozen` with bounds (0, 1) if it is not frozen."""
    return model if isinstance(model, Frozen) else Frozen(model)
