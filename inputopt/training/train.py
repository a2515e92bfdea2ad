"""Training: forward, backward, and `parameter -= learning_rate * derivative`, until it is good enough."""

from __future__ import annotations

import functools
import itertools
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from inputopt import checks
from inputopt.derivatives.record import Way
from inputopt.derivatives.ways import find_way
from inputopt.nets.ambient import ambient
from inputopt.nets.inference.modes import modes_kept
from inputopt.training.history import History, sampled
from inputopt.training.recorder import Recorder
from inputopt.training.task import Task, check_task, cuts, failure, forward_of
from inputopt.training.updates import MakeOptimiser, Update, find_update, training_of

Perturb = Callable[[nn.Module, Tensor, Tensor, int], Tensor]


class DivergenceWarning(RuntimeWarning):
    """A training ran away to infinite weights and was stopped."""


@dataclass(frozen=True)
class Progress:
    """Where a training stands: `index` of `steps` trainings done, with the error and cost at that point."""

    index: int
    steps: int
    error: float
    cost: float


@ambient()
def train(
    net: nn.Module,
    inputs: Any,
    targets: Any,
    cost: str = "mse",
    learning_rate: float = 0.5,
    steps: int = 10_000,
    method: str = "autograd",
    *,
    batch_size: int | None = None,
    optimiser: str | MakeOptimiser = "descent",
    stop_error: float = 0.0,
    seed: int = 0,
    perturb: Perturb | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> History:
    """Train a network in place; parameters whose `requires_grad` is off are held.

    Args:
        net: an MLP, or with method "autograd" any module whose output are logits [B, n]. Its weights are float32 or
            float64, and all is computed in their type; half precision would lose the steps, and is refused.
        inputs: [B, ...] numbers: a tensor, an array or nested lists, of any type; never written to, by `net` either.
            They are turned into the type of the network's first weights, or left as they are if it only takes them so.
        targets: [B, n] numbers, or class indices [B] of any integer type for cross-entropy on identity outputs.
        cost: "mse" or "cross_entropy".
        learning_rate: how far to step along the derivative.
        steps: how many trainings at most; one batch is one training.
        method: how the derivatives are found: "autograd", "backprop", "dual", "differences" or "one_sided".
        batch_size: examples a training, drawn afresh each round through the data; all of them if not given. The last
            batch of a round may be smaller; of a single example it joins the one before it where the network has batch
            norms, which find no statistics in one.
        optimiser: "descent", "momentum" (0.9), "adam", or a function (parameters, rate) -> torch.optim.Optimizer.
        stop_error: stop once the mean error is this small; 0 never stops. It costs a forward a training.
        seed: what the batches are drawn from.
        perturb: (net, inputs, targets, index) -> the inputs to train on instead, for adversarial training.
        progress: called at each of about 50 samples.

    Ctrl-C ends the training and keeps what it has. A training that diverges warns (`DivergenceWarning`), says so in
    `History.stopped`, and keeps the last weights that were finite and had a finite cost, with their batch statistics.
    It runs the same under `no_grad`, inference mode and autocast, which are switched off inside.

    Raises:
        ValueError, TypeError: names, numbers, shapes or targets that do not fit, and a network whose cost is not finite
            to begin with, before anything has moved; later, what the network's own code raised, chained.

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
    checks.function("progress", progress)
    task = check_task(net, inputs, targets, cost, method)
    way: Way = find_way(method)(net, task.cost)  # type: ignore[arg-type]  # autograd takes any module
    update = find_update(optimiser, way.parameters, rate)
    recorder = Recorder(net, way, task)
    started = time.perf_counter()
    with modes_kept(net), np.errstate(all="ignore"):
        if not net.training:  # else what stands in evaluation mode was put there on purpose
            net.train()
        training = _training(net, way, update, task, size, seed, perturb)
        done, stopped = Run(training, steps, update, recorder, stop, progress)()
    return recorder.history(done, stopped, time.perf_counter() - started)


def _training(
    net: nn.Module, way: Way, update: Update, task: Task, size: int | None, seed: int, perturb: Perturb | None
) -> Callable[[int], Any]:
    """Training number `index`; its batch follows from the index, so that it can be made again."""
    examples = len(task.inputs)
    if size is None and perturb is None:
        with forward_of(examples):
            again = training_of(way.repeated(*way.native(task.inputs, task.targets)), update)

        def repeated(index: int) -> None:
            try:
                again()
            except Exception as error:  # as `forward_of`, which would take longer than a tiny network
                raise failure(error, examples) from error

        return repeated
    parts = cuts(net, examples, examples if size is None else size)

    @functools.lru_cache(maxsize=1)
    def order(number: int) -> Tensor:
        drawn = np.random.default_rng([seed, number]).permutation(examples)
        return torch.from_numpy(drawn).to(task.inputs.device)

    def training(index: int) -> None:
        number, part = divmod(index, len(parts))
        chosen = order(number)[parts[part]]
        some, wanted = task.inputs[chosen], task.targets[chosen]
        if perturb is not None:
            some = _like(some, perturb(net, some, wanted, index))
        with forward_of(len(some)):
            update(way.step(*way.native(some, wanted)))

    return training


def _like(inputs: Tensor, perturbed: Any) -> Tensor:
    """What `perturb` returned, in the type of the inputs that it was given."""
    made = checks.block("what perturb returns", perturbed).to(inputs)
    if made.shape != inputs.shape:
        raise ValueError(f"perturb must return inputs of shape {list(inputs.shape)}, not {list(made.shape)}.")
    return checks.finite("what perturb returns", made)


@dataclass(frozen=True)
class Run:
    """Trainings from sample to sample. Called, it says how many were made and why they ended.

    A stretch whose end is not finite is gone through once more, training by training, to stop before it diverges.
    """

    training: Callable[[int], Any]
    steps: int
    update: Update
    recorder: Recorder
    stop_error: float
    progress: Callable[[Progress], None] | None

    def __call__(self) -> tuple[int, str]:
        """Train."""
        for start, end in itertools.pairwise([*sampled(self.steps), self.steps]):
            done, stopped = self._stretch(start, end)
            if stopped:
                return done, stopped
        return self.steps, "all trainings done"

    def _stretch(self, start: int, end: int) -> tuple[int, str]:
        """The trainings from `start` to before `end`; how many are done, and why there are no more, or an empty text.

        Ctrl-C keeps what there is; weights that are not finite are never left behind.
        """
        index, before = start, self._snapshot()
        try:
            sample = self.recorder.record(start)
            self._tell(start, sample.error, sample.cost)
            for index in range(start, end):
                if self.stop_error and self.recorder.error() <= self.stop_error:
                    return index, f"the error is down to {self.stop_error:g}"
                self.training(index)
            index = end
            if not self.recorder.finite():
                self._restore(before)
                return self._again(start, end)
            if end == self.steps:
                self._tell(end, sample.error, sample.cost)
        except KeyboardInterrupt:
            return (index, "interrupted") if self._mended(before) else (start, "interrupted")
        except BaseException:
            self._mended(before)
            raise
        return index, ""

    def _again(self, start: int, end: int) -> tuple[int, str]:
        """The stretch once more; it may end well this time where a training is random."""
        for index in range(start, end):
            before = self._snapshot()
            self.training(index)
            if not self.recorder.finite():
                self._restore(before)
                warnings.warn(
                    f"The training diverged after {index} trainings and keeps the last finite weights; "
                    "try a smaller learning rate.",
                    DivergenceWarning,
                    stacklevel=6,
                )
                return index, "diverged"
        return end, ""

    def _tell(self, index: int, error: float, cost: float) -> None:
        if self.progress is not None:
            self.progress(Progress(index, self.steps, error, cost))

    def _snapshot(self) -> tuple[Any, Any]:
        return self.update.snapshot(), self.recorder.statistics()

    def _restore(self, snapshot: tuple[Any, Any]) -> None:
        parameters, statistics = snapshot
        self.update.restore(parameters)
        self.recorder.restore(statistics)

    def _mended(self, before: tuple[Any, Any]) -> bool:
        """Whether the weights are finite where a training was broken off; if not, those from before are put back."""
        if self.recorder.finite_weights():
            return True
        self._restore(before)
        return False
