"""A network whose weights stand still: all that the input side knows of one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from inputopt import checks
from inputopt.nets.inference.convolution import quicken
from inputopt.nets.inference.folding import folded, prefers_channels_last
from inputopt.nets.inference.memory import keep_freed
from inputopt.nets.inference.modes import evaluating
from inputopt.nets.inference.threads import threads_for_operations
from inputopt.nets.layers import Layer, captured, listed, names, parsed
from inputopt.nets.naming import fingerprint, name_of
from inputopt.nets.skips import branches, damped


class Frozen:
    """A network held still, with the range of its inputs.

    The user's model is never changed: a private copy runs in evaluation mode and without weight gradients, its batch
    norms folded into the convolutions before them. Where a model cannot be copied it is used as it is, put into
    evaluation mode for each call and back after it.

    Args:
        model: a module, or any function of [B, ...], that returns logits [B, n] or has them as `.logits`.
        bounds: the lowest and highest value an input may have.
        mean, std: what the model expects subtracted from and divided out of its inputs, a number or one a channel.

    Attributes:
        bounds: as given.
        name: what the model was loaded by; None for one that was made otherwise.
        convolves: whether it is known to convolve images.
        forwards, backwards: how many examples were run so far, each way.
        device, dtype: where the model's numbers are, and of which type.

    Raises:
        TypeError, ValueError: not a model, or bounds, mean and std that make no sense.
    """

    def __init__(
        self,
        model: nn.Module | Callable[[Tensor], Any],
        bounds: tuple[float, float] = (0.0, 1.0),
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
    ) -> None:
        if not callable(model):
            raise TypeError(f"model must be a torch module or a function, not {type(model).__name__}.")
        low, high = bounds
        if not low < high:
            raise ValueError(f"bounds must be (low, high) with low below high, not {bounds}.")
        keep_freed()
        self.bounds = (float(low), float(high))
        self.name = name_of(model)
        self.forwards = self.backwards = 0
        self._operations: dict[tuple[int, ...], float] = {}
        self._mean = torch.as_tensor(0.0 if mean is None else mean, dtype=torch.float64)
        self._std = torch.as_tensor(1.0 if std is None else std, dtype=torch.float64)
        if not bool((self._std > 0).all()):
            raise ValueError("std must be above 0; leave it out for a model that takes its inputs as they are.")
        self._model, self._private = _private_copy(model)
        self._names = names(self._model)
        self._fast: Any = self._model
        self._folded: frozenset[str] = frozenset()
        if self._private:
            self._fast, self._folded = folded(self._model)
            quicken(self._fast)
        self.convolves = isinstance(model, nn.Module) and prefers_channels_last(model)
        self._channels_last = self._private and self.convolves
        if self._channels_last:
            self._fast = self._fast.to(memory_format=torch.channels_last)
        parameter = next(iter(model.parameters()), None) if isinstance(model, nn.Module) else None
        self._dtype = None if parameter is None else parameter.dtype
        self.device = torch.device("cpu") if parameter is None else parameter.device
        self.dtype = self._dtype or torch.float32
        checks.finite("mean", self._mean)
        if isinstance(model, nn.Module):
            for weights in model.parameters():
                checks.finite("the network's weights", weights)

    def __call__(self, x: Tensor) -> Tensor:
        """Logits [B, n] of inputs [B, ...] in the bounds."""
        with threads_for_operations(self.operations(x)):
            outputs = self._run_counted(x)
        logits = outputs if isinstance(outputs, Tensor) else getattr(outputs, "logits", None)
        if not isinstance(logits, Tensor):
            raise TypeError(
                "The model must return a tensor of logits, or something with .logits; wrap it in one that does."
            )
        if logits.ndim != 2 or len(logits) != len(x):
            raise ValueError(f"The model must return logits [B, n], not {list(logits.shape)} for {len(x)} inputs.")
        return logits

    def operations(self, x: Tensor) -> float:
        """How many floating-point operations a forward of inputs [B, ...] takes; 0 before the first of that shape."""
        return len(x) * self._operations.get(tuple(x.shape[1:]), 0.0)

    def features(self, x: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """What the named modules put out for inputs [B, ...]; nothing behind the last of them is run.

        A module that is called more than once is told apart: "act" or "act:1" is its first call, "act:last" its last.
        The model itself is called "".

        Raises:
            ValueError: the model has no module of such a name, or never calls it.
        """
        if isinstance(layers, str) or not layers:
            raise ValueError("layers must be a list of names, at least one.")
        known = self.layer_names()
        if not known:
            raise ValueError("This model has no named layers; give a torch module that has.")
        # a folded convolution no longer puts out what its name promises
        unfolded = any(parsed(layer, known)[0] in self._folded for layer in layers)
        model = self._model if unfolded else self._fast
        with threads_for_operations(self.operations(x)):
            return captured(model, layers, lambda: self._run(model, x), known)

    def layers(self, x: Tensor) -> list[Layer]:
        """Every module with the shapes of what it puts out for inputs [B, ...], call by call."""
        with torch.no_grad():
            return listed(self._model, lambda: self._run(self._model, x)) if self.layer_names() else []

    def gradient(self, value: Tensor, x: Tensor, samples: int = 1, keep: bool = False) -> Tensor:
        """d(sum of `value`) / dx: [B] numbers that each depend on their own example give each example's gradient.

        `samples` is how often each example was run to get there, for the count; `keep`: there is more to derive.
        """
        if not value.requires_grad:
            raise ValueError("The model's output has no derivative by its input; let it run with gradients, in torch.")
        self.backwards += samples * len(value)
        with threads_for_operations(samples * self.operations(x)):
            return torch.autograd.grad(value.sum(), x, retain_graph=keep)[0]

    @contextmanager
    def skipping(self, share: float) -> Iterator[None]:
        """Inside, derivatives take the network's skip connections: only `share` of each passes the branches beside.

        The skip gradient method (Wu et al., 2020): an input that is led like this carries over to other networks far
        better. It is no derivative of the output any more; with a share of 1 nothing changes.

        Raises:
            ValueError: no residual branches are known of this model.
        """
        if checks.share("branches", share) == 1:
            yield
            return
        names = branches(self._model) if isinstance(self._model, nn.Module) else []
        if not names:
            raise ValueError("This model has no residual branches that tracing its forward finds; leave branches at 1.")
        with ExitStack() as stack:
            for model in {self._model, self._fast}:  # one and the same where nothing was folded
                stack.enter_context(damped(model, names, share))
            yield

    def described(self) -> dict[str, Any]:
        """In plain values: the model's name, a fingerprint of its weights, and the settings it was frozen with."""
        settings = {"mean": self._mean.tolist(), "std": self._std.tolist()}
        return {"name": self.name, "weights": fingerprint(self._model), "bounds": list(self.bounds), **settings}

    def layer_names(self) -> list[str]:
        """The names that `features` knows."""
        return list(self._names)

    def first_weights(self) -> tuple[int, ...] | None:
        """The shape of the first weights that mix inputs, [n_out, n_in, ...]; None where there are none."""
        weights = self._model.parameters() if isinstance(self._model, nn.Module) else iter(())
        return next((tuple(each.shape) for each in weights if each.ndim > 1), None)

    def _run_counted(self, x: Tensor) -> Any:
        """Run the model, and count its operations where inputs of this shape are new."""
        if tuple(x.shape[1:]) in self._operations:
            return self._run(self._fast, x)
        with FlopCounterMode(display=False) as counter:
            outputs = self._run(self._fast, x)
        self._operations[tuple(x.shape[1:])] = counter.get_total_flops() / max(1, len(x))
        return outputs

    def _run(self, model: Any, x: Tensor) -> Any:
        self.forwards += len(x)
        x = self._normalised(x)
        if self._channels_last and x.ndim == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        if self._private or not isinstance(model, nn.Module):
            return model(x)
        with evaluating(model):
            return model(x)

    def _normalised(self, x: Tensor) -> Tensor:
        if self._mean.ndim or self._std.ndim or float(self._mean) != 0 or float(self._std) != 1:
            shape = (-1,) + (1,) * (x.ndim - 2)
            x = (x - self._mean.to(x).reshape(shape)) / self._std.to(x).reshape(shape)
        return x if self._dtype is None else x.to(self._dtype)


def frozen(model: Frozen | nn.Module | Callable[[Tensor], Any]) -> Frozen:
    """`model` itself if it is frozen; else frozen with inputs in [0, 1]."""
    return model if isinstance(model, Frozen) else Frozen(model)


def _private_copy(model: Any) -> tuple[Any, bool]:
    """A copy for inference and True, or the model as it is and False where it cannot be copied."""
    if not isinstance(model, nn.Module):
        return model, False
    try:
        copied = copy.deepcopy(model)
    except Exception:  # whatever a foreign __deepcopy__ raises, the model can still be used as it is
        return model, False
    for parameter in copied.parameters():
        parameter.grad = None
    for module in copied.modules():
        if isinstance(getattr(module, "inplace", None), bool):
            setattr(module, "inplace", False)  # noqa: B010  # it would write to the inputs, or to a layer that was asked for
    return copied.eval().requires_grad_(False), True
