"""Training by gradients: forward, backward, and `parameter -= learning_rate * derivative` or another optimiser."""

from __future__ import annotations

import functools
import itertools
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from inputopt import checks
from inputopt.derivatives.gradient_methods import MethodName, find_gradient_method
from inputopt.derivatives.record import GradientMethod
from inputopt.nets.costs import CostName
from inputopt.nets.default_modes import default_modes
from inputopt.nets.inference.modes import modes_kept
from inputopt.training.fast.repeated import repeated as fixed_batch_step
from inputopt.training.history import History, log_spaced, sampled
from inputopt.training.recorder import Recorder
from inputopt.training.task import Task, check_task, epoch_slices, failure, forward_of
from inputopt.training.updates import MakeOptimiser, OptimiserName, Update, find_update, training_of

Perturb = Callable[[nn.Module, Tensor, Tensor, int], Tensor]
Loss = Callable[[nn.Module, Tensor, Tensor, int], Tensor]


class DivergenceWarning(RuntimeWarning):
    """Training diverged to weights or a cost that are not finite, and was stopped."""


@dataclass(frozen=True)
class Progress:
    """Progress of a training run: `index` of `steps` updates done, with the error and cost at that point."""

    index: int
    steps: int
    error: float
    cost: float


@default_modes()
def train(
    net: nn.Module,
    inputs: Any,
    targets: Any,
    cost: CostName = "mse",
    learning_rate: float = 0.5,
    steps: int = 10_000,
    method: MethodName = "autograd",
    *,
    batch_size: int | None = None,
    optimiser: OptimiserName | MakeOptimiser = "descent",
    stop_error: float = 0.0,
    seed: int = 0,
    perturb: Perturb | None = None,
    loss: Loss | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> History:
    """Train a network in place; parameters with `requires_grad=False` are not changed.

    Args:
        net: an MLP, or with method "autograd" any module that returns logits [B, n]. Its weights must be float32 or
            float64, the dtype of all computations; half precision is refused, because small steps would be lost.
        inputs: [B, ...] numbers: a tensor, an array or nested lists, of any dtype; never written to, also not by `net`.
            They are converted to the dtype of the network's first weights, or kept if the network accepts only theirs.
        targets: [B, n] numbers, or class indices [B] of any integer type for cross-entropy on identity outputs.
        cost: "mse" or "cross_entropy".
        learning_rate: learning rate of the optimiser.
        steps: maximum number of updates, one per batch.
        method: differentiation method: "autograd", "backprop", "dual", "differences" or "one_sided".
        batch_size: examples per update, shuffled anew every epoch; all of them if not given. The last batch of an epoch
            may be smaller; if it is a single example and the network has batch norms, which need several examples, it
            is merged into the batch before it.
        optimiser: "descent", "momentum" (0.9), "adam", or a function (parameters, rate) -> torch.optim.Optimizer.
        stop_error: stop when the mean error is at most this; 0 never stops. It costs one forward per update.
        seed: seed of the batch order.
        perturb: (net, inputs, targets, index) -> the inputs to train on instead, for adversarial training.
        loss: (net, inputs, targets, index) -> a number to minimise instead of the cost, with method "autograd"; the
            history still has the cost.
        progress: called at each of about 50 samples.

    Ctrl-C ends training and keeps the current weights. If training diverges, it stops with a `DivergenceWarning` and a
    note in `History.stopped`, and restores the last finite weights with a finite cost, and their batch statistics.
    Results are the same under `no_grad`, inference mode and autocast, which are switched off inside.

    Raises:
        ValueError, TypeError: invalid names, numbers, shapes or targets, or an initial cost that is not finite; raised
            before anything is changed. Later, errors of the network's own code, chained.

    >>> from inputopt.nets.mlp import MLP
    >>> net = MLP([1, 1], weights=[[[0.3]]], biases=[[0.5]])
    >>> train(net, [[1.0]], [[0.0]], steps=10_000, method="backprop").error[-1].round(6).item()
    0.007176
    """
    rate = float(checks.positive("learning_rate", learning_rate))
    steps, seed = checks.whole("steps", steps), checks.seed(seed)
    size = None if batch_size is None else checks.whole("batch_size", batch_size)
    stop = float(checks.not_negative("stop_error", stop_error))
    checks.function("perturb", perturb)
    checks.function("loss", loss)
    if loss is not None and method != "autograd":
        raise ValueError(f"loss= needs method='autograd', not {method!r}; leave one of them out.")
    checks.function("progress", progress)
    task = check_task(net, inputs, targets, cost, method)
    bound_method: GradientMethod = find_gradient_method(method)(net, task.cost)  # type: ignore[arg-type]  # autograd takes any module
    update = find_update(optimiser, bound_method.parameters, rate)
    recorder = Recorder(net, bound_method, task)
    started = time.perf_counter()
    with modes_kept(net), np.errstate(all="ignore"):
        if not net.training:  # else submodules in evaluation mode are so on purpose
            net.train()
        training = _training(net, bound_method, update, task, size, seed, perturb, loss)
        plotted = log_spaced(steps) if size is None else []  # with batches, measuring costs more than an update
        done, stopped = Run(training, steps, update, recorder, stop, progress, plotted)()
    return recorder.history(done, stopped, time.perf_counter() - started)


def _training(
    net: nn.Module,
    bound_method: GradientMethod,
    update: Update,
    task: Task,
    size: int | None,
    seed: int,
    perturb: Perturb | None,
    loss: Loss | None,
) -> Callable[[int], Any]:
    """A function that makes update `index`; the batch depends on the index only, so that it can be repeated."""
    examples = len(task.inputs)
    if size is None and perturb is None and loss is None:
        with forward_of(examples):
            step = training_of(fixed_batch_step(bound_method, *bound_method.native(task.inputs, task.targets)), update)

        def repeated(index: int) -> None:
            try:
                step()
            except Exception as error:  # as in `forward_of`, which is slower than a tiny network
                raise failure(error, examples) from error

        return repeated
    parts = epoch_slices(net, examples, examples if size is None else size)

    @functools.lru_cache(maxsize=1)
    def order(number: int) -> Tensor:
        drawn = np.random.default_rng([seed, number]).permutation(examples)
        return torch.from_numpy(drawn).to(task.inputs.device)

    def training(index: int) -> None:
        number, part = divmod(index, len(parts))
        chosen = order(number)[parts[part]]
        inputs, targets = task.inputs[chosen], task.targets[chosen]
        if perturb is not None:
            inputs = _like(inputs, perturb(net, inputs, targets, index))
        with forward_of(len(inputs)):
            if loss is None:
                update(bound_method.step(*bound_method.native(inputs, targets)))
            else:
                update(_gradients_of(loss, net, inputs, targets, index))

    return training


def _gradients_of(loss: Loss, net: nn.Module, inputs: Tensor, targets: Tensor, index: int) -> tuple[Tensor | None, ...]:
    """The gradients of the user's loss with respect to the trained parameters."""
    value = loss(net, inputs, targets, index)
    if not isinstance(value, Tensor) or value.ndim or not value.requires_grad:
        raise ValueError("loss must return a number, a tensor of shape [], that depends on the network's parameters.")
    trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
    return torch.autograd.grad(value, trained, allow_unused=True)


def _like(inputs: Tensor, perturbed: Any) -> Tensor:
    """The result of `perturb`, checked, in the dtype and on the device of the inputs."""
    made = checks.block("the return value of perturb", perturbed).to(inputs)
    if made.shape != inputs.shape:
        raise ValueError(f"perturb must return inputs of shape {list(inputs.shape)}, not {list(made.shape)}.")
    return checks.finite("the return value of perturb", made)


@dataclass(frozen=True)
class Run:
    """Runs the updates from sample to sample; a call returns the number of updates and the reason for stopping.

    Error and cost are also measured at the updates `plotted`, for curves on a logarithmic axis.

    If weights or cost are not finite after the updates between two samples, these updates are repeated with a check
    after each, to stop before the one that diverges.
    """

    training: Callable[[int], Any]
    steps: int
    update: Update
    recorder: Recorder
    stop_error: float
    progress: Callable[[Progress], None] | None
    plotted: Sequence[int] = ()

    def __call__(self) -> tuple[int, str]:
        """Run all updates."""
        logged = set(sampled(self.steps))
        for start, end in itertools.pairwise([*sorted(logged.union(self.plotted)), self.steps]):
            done, stopped = self._updates(start, end, start in logged)
            if stopped:
                return done, stopped
        return self.steps, "all steps done"

    def _updates(self, start: int, end: int, logged: bool) -> tuple[int, str]:
        """Run updates `start` to `end` - 1; return the number done, and the reason for stopping or an empty text.

        `logged`: whether a sample is recorded at `start`, or only error and cost.

        Ctrl-C keeps the current weights if they are finite; else those at `start` are restored.
        """
        index, before = start, self._snapshot()
        try:
            error, cost = self.recorder.record(start, logged)
            if logged:
                self._report(start, error, cost)
            for index in range(start, end):
                if self.stop_error and self.recorder.error() <= self.stop_error:
                    return index, f"the error is down to {self.stop_error:g}"
                self.training(index)
            index = end
            if not self.recorder.finite():
                self._restore(before)
                return self._repeated(start, end)
            if end == self.steps:
                self._report(end, error, cost)
        except KeyboardInterrupt:
            return (index, "interrupted") if self._finite_or_restored(before) else (start, "interrupted")
        except BaseException:
            self._finite_or_restored(before)
            raise
        return index, ""

    def _repeated(self, start: int, end: int) -> tuple[int, str]:
        """Repeat the updates with a check after each; they may not diverge again if the network is random."""
        for index in range(start, end):
            before = self._snapshot()
            self.training(index)
            if not self.recorder.finite():
                self._restore(before)
                warnings.warn(
                    f"The training diverged in update {index + 1} and keeps the last finite weights; "
                    "try a smaller learning rate.",
                    DivergenceWarning,
                    stacklevel=6,
                )
                return index, "diverged"
        return end, ""

    def _report(self, index: int, error: float, cost: float) -> None:
        if self.progress is not None:
            self.progress(Progress(index, self.steps, error, cost))

    def _snapshot(self) -> tuple[Any, Any]:
        return self.update.snapshot(), self.recorder.statistics()

    def _restore(self, snapshot: tuple[Any, Any]) -> None:
        parameters, statistics = snapshot
        self.update.restore(parameters)
        self.recorder.restore(statistics)

    def _finite_or_restored(self, before: tuple[Any, Any]) -> bool:
        """Whether the weights are finite after an interruption; if not, the earlier ones are restored."""
        if self.recorder.finite_weights():
            return True
        self._restore(before)
        return False
