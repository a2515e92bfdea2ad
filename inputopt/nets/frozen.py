"""A network whose weights stand still: all that the input side knows of one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from inputopt import checks
from inputopt.nets.ambient import isolated
from inputopt.nets.inference.folding import prefers_channels_last
from inputopt.nets.inference.forward import ForwardError, ForwardResult
from inputopt.nets.inference.memory import keep_freed
from inputopt.nets.inference.network import Network
from inputopt.nets.inference.threads import threads_for_operations
from inputopt.nets.input_range import made_bounds, made_scaling
from inputopt.nets.layers import WHOLE, Layer, listed
from inputopt.nets.model_checks import check_model
from inputopt.nets.model_errors import NO_DERIVATIVE, explained, explained_backward
from inputopt.nets.naming import name_of
from inputopt.nets.outputs import checked_layer, checked_logits
from inputopt.nets.randomness import generator_states, moved_on, next_number, put_back


class Frozen:
    """A network held still, with the range of its inputs.

    The user's model is never changed: a private copy runs, in evaluation mode as the model's own `eval()` makes it,
    with weights that want no gradient. A model that cannot be copied is used as it is, by one thread at a time, put
    into evaluation mode for each call and back after it; a function is called as it is.

    **What is quick about the copy is verified.** At the first inputs the copy is run on two of them as it is and as
    rewritten (batch norms folded into convolutions, channels last and others, see `optimisations`), and outputs and
    derivatives are compared; what differs by more than rounding explains is dropped. Inputs that take another way
    through the network, by their size or their numbers, are verified again.

    **Dtypes.** Inputs of any floating-point dtype are taken, and cast to what the network computes in: the dtype of its
    weights, or float32 for weights of float16 and bfloat16, which it holds exactly, unless the network insists on its
    own. Logits, layers and searches are in float32, or in float64 if the network or its inputs are; derivatives are in
    the dtype of the inputs.

    **Outputs** are logits [B, n]: a tensor, what is called `.logits`, or the only such tensor in a tuple, list, mapping
    or dataclass. Inputs are never written to, even if the model does so: then it gets a copy.

    Args:
        model: a module, or any function of [B, ...].
        bounds: the lowest and highest value of an input: numbers, or tensors that are one for each channel, [C], or
            broadcast to one input. Either may be infinite.
        mean, std: what the model expects subtracted from and divided out of its inputs, in the same forms.

    Attributes:
        bounds: as given.
        unit: the length that step sizes are parts of: the largest finite width of the bounds, 1 if there is none.
        name: what the model was loaded by; None for one that was made otherwise.
        convolves: whether it is known to convolve images.
        forwards, backwards: how many examples were run for those who asked, each way.
        device: where the model's weights are.

    Raises:
        TypeError, ValueError: not a model, or weights, bounds, mean and std that make no sense.
    """

    def __init__(
        self,
        model: nn.Module | Callable[[Tensor], Any],
        bounds: tuple[Any, Any] = (0.0, 1.0),
        mean: Any = None,
        std: Any = None,
    ) -> None:
        check_model(model)
        self._box = made_bounds(bounds)
        self._scaling = made_scaling(mean, std)
        keep_freed()
        self.bounds: tuple[Any, Any] = (self._box.low, self._box.high)
        self.unit = self._box.unit
        self.name = name_of(model)
        self.convolves = isinstance(model, nn.Module) and prefers_channels_last(model)
        self.forwards = self.backwards = 0
        self._network = Network(model, self._scaling)
        self._counting = threading.Lock()
        self._shares = _Share()
        weights = [*model.parameters(), *model.buffers()] if isinstance(model, nn.Module) else []
        self.device = weights[0].device if weights else torch.device("cpu")
        self._somewhere = bool(weights)

    # --------------------------------------------------------------------------------------------------- what it says
    def __call__(self, x: Tensor) -> Tensor:
        """Logits [B, n] of inputs [B, ...] in the bounds.

        Raises:
            ModelError: the model's own code failed.
            InputShapeError, OutOfMemoryError, ValueError: it does not take these inputs.
            TypeError, ValueError: it returns no logits [B, n].
        """
        result = self._run(x, (WHOLE,))
        return checked_logits(result.outputs, x.shape[0], self._out_dtype(x))

    def observed(self, x: Tensor) -> Tensor:
        """Logits, as a call gives them; afterwards `is_random` also says whether the model draws at these inputs.

        Raises:
            As a call.
        """
        network, states = self._network, generator_states()
        known = network.is_random
        result = self._run(x, (WHOLE,), observe=True)
        network.is_random |= moved_on(states)  # by the model, or by another thread, which costs time only
        if network.is_random and not known:
            put_back(states)
        return checked_logits(result.outputs, x.shape[0], self._out_dtype(x))

    def features(self, x: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """What the named modules put out for inputs [B, ...]; nothing behind the last of them is run.

        It is what the module put out, also where the next line writes to it. A module that is called more than once is
        told apart: "act" or "act:1" is its first call, "act:last" its last. The model itself is called "", and puts out
        logits. Of a layer that puts out more than a tensor it is the one called `last_hidden_state` or `logits`, or the
        first of a tuple, or the only one in it that has two dimensions or more.

        Raises:
            ValueError: the model has no module of such a name, or never calls it; and as for logits.
            TypeError: a layer puts out several tensors.
        """
        if isinstance(layers, str) or not layers:
            raise ValueError("layers must be a list of names, at least one.")
        if not self._network.runner.names and any(layer != WHOLE for layer in layers):
            raise ValueError("This model has no named layers; give a torch module that has.")
        asked = tuple(dict.fromkeys(layers))
        result = self._run(x, asked)
        dtype = self._out_dtype(x)
        found = {layer: checked_layer(layer, seen.tensor, dtype) for layer, seen in result.captured.items()}
        if WHOLE in asked:
            found[WHOLE] = checked_logits(result.outputs, len(x), dtype)
        return found

    def layers(self, x: Tensor) -> list[Layer]:
        """Every module with the shapes of what it puts out for inputs [B, ...], call by call."""
        if not self.layer_names():
            return []
        network = self._network
        with torch.no_grad(), isolated(x.device):
            x = x.clone() if x.is_inference() else x
            try:
                network.decide(x, (WHOLE,))
                return listed(network.runner.model, lambda: network.runner(x, (WHOLE,)))
            except ForwardError as failure:
                raise self._explained(failure, x)  # noqa: B904  # its cause is what the model raised

    def gradient(self, value: Tensor, x: Tensor, samples: int = 1, keep: bool = False) -> Tensor:
        """d(sum of `value`) / dx: [B] numbers that each depend on their own example give each example's gradient.

        Args:
            value: numbers made from what the network said of x.
            x: what to derive by; the derivative has its shape and dtype, and may hold NaN or infinities.
            samples: how often each example was run to get there, for the count.
            keep: whether there is more to derive.

        Raises:
            ValueError: there is no derivative.
            ModelError, OutOfMemoryError: the backward failed.
        """
        if not value.requires_grad:
            raise ValueError(NO_DERIVATIVE)
        with self._counting:
            self.backwards += samples * value.numel()
        with isolated(x.device), threads_for_operations(samples * self.operations(x)):
            try:
                found = self._network.runner.derive(value, x, keep)
            except Exception as error:
                raise explained_backward(error, x) from error
        if found is None:
            raise ValueError(NO_DERIVATIVE)
        return found

    @contextmanager
    def skipping(self, share: float) -> Iterator[None]:
        """Inside, derivatives take the network's skip connections: only `share` of each passes the branches beside.

        The skip gradient method (Wu et al., 2020): an input that is led like this carries over to other networks far
        better. It is no derivative of the output any more; with a share of 1 nothing changes. It holds for the forwards
        of the calling thread, which raise a ValueError if the network shows no residual branches.
        """
        before, self._shares.share = self._shares.share, checks.share("branches", share)
        try:
            yield
        finally:
            self._shares.share = before

    # ---------------------------------------------------------------------------------------------- what is known of it
    @property
    def dtype(self) -> torch.dtype:
        """What searches run in: float64 for a network that computes in float64, else float32."""
        return torch.float64 if self._network.is_double else torch.float32

    def search_dtype(self, x: Tensor) -> torch.dtype:
        """What a search from `x` runs in: float64 if it or the network is, else float32."""
        return torch.float64 if x.dtype == torch.float64 else self.dtype

    @property
    def is_random(self) -> bool:
        """Whether it was seen to draw random numbers; not known before the first forward."""
        return self._network.is_random

    @property
    def checks(self) -> int:
        """On how many examples more it was run: to find out how to run it, and to verify what makes it quick."""
        return self._network.checks

    @property
    def optimisations(self) -> dict[str, str]:
        """What makes the private copy quick: "used", or the reason why not."""
        return self._network.optimisations()

    def box(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """The bounds of inputs such as `like` [B, ...], as tensors of its dtype and device that broadcast to it."""
        return self._box.box(like)

    def operations(self, x: Tensor) -> float:
        """How many floating-point operations a forward of inputs [B, ...] takes; 0 before the first of that shape."""
        return x.shape[0] * self._network.flops(x.shape[1:])

    def described(self) -> dict[str, Any]:
        """In plain values: the model's name, a fingerprint of its weights, and the settings it was frozen with."""
        bounds = [end.tolist() if isinstance(end, Tensor) else end for end in self.bounds]
        settings = {"mean": self._scaling.mean.tolist(), "std": self._scaling.std.tolist()}
        return {"name": self.name, "weights": self._network.runner.fingerprint(), "bounds": bounds, **settings}

    def layer_names(self) -> list[str]:
        """The names that `features` knows."""
        return list(self._network.runner.names)

    def first_weights(self) -> tuple[int, ...] | None:
        """The shape of the first weights that mix inputs, [n_out, n_in, ...]; None where there are none."""
        model = self._network.runner.model
        weights = model.parameters() if isinstance(model, nn.Module) else iter(())
        return next((tuple(each.shape) for each in weights if each.ndim > 1), None)

    # ------------------------------------------------------------------------------------------------------ how it runs
    def _run(self, x: Tensor, layers: tuple[str, ...], observe: bool = False) -> ForwardResult:
        if not isinstance(x, Tensor):
            raise TypeError(
                f"Inputs must be a tensor [B, ...], not {type(x).__name__}; convert it with torch.as_tensor."
            )
        if self._somewhere and x.device != self.device:
            raise ValueError(f"The inputs are on {x.device} and the network on {self.device}; move one to the other.")
        network = self._network
        with self._counting:
            self.forwards += x.shape[0]
        with isolated(x.device), threads_for_operations(self.operations(x)):
            x = x.clone() if x.is_inference() else x
            try:
                network.decide(x, layers)
                if network.failure is not None and x.requires_grad and torch.is_grad_enabled():
                    raise ValueError(NO_DERIVATIVE) from network.failure.error
                with next_number() if network.is_random else nullcontext():
                    result = network.run(x, layers, self._shares.share, observe)
            except ForwardError as failure:
                raise self._explained(failure, x)  # noqa: B904  # its cause is what the model raised
        if result.missing:
            raise ValueError(result.missing)
        return result

    def _explained(self, failure: ForwardError, x: Tensor) -> Exception:
        """What the model raised on these inputs, as one sentence."""
        said = explained(failure.error, x, self._network.accepts(x.shape[1:]))
        if said is not failure.error:  # which is a sentence already if it comes from a frozen network within
            said.__cause__ = failure.error
        return said

    def _out_dtype(self, x: Tensor) -> torch.dtype:
        return torch.float64 if x.dtype == torch.float64 or self._network.is_double else torch.float32

    def __getstate__(self) -> dict[str, Any]:
        runner, scaling = self._network.runner, self._scaling
        made = {"model": runner.model, "bounds": self.bounds, "mean": scaling.mean, "std": scaling.std}
        return {"made": made, "name": self.name, "counts": (self.forwards, self.backwards)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Frozen.__init__(self, **state["made"])
        self.name = state["name"]
        self.forwards, self.backwards = state["counts"]


class _Share(threading.local):
    share: float = 1.0


def frozen(model: Frozen | nn.Module | Callable[[Tensor], Any]) -> Frozen:
    """`model` itself if it is frozen; else frozen with inputs in [0, 1]."""
    return model if isinstance(model, Frozen) else Frozen(model)
