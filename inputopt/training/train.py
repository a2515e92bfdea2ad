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
from inputopt.derivatives.ways import WAYS, check_batch, find_way
from inputopt.nets.costs import Cost, check_targets, find_cost
from inputopt.nets.inference.modes import evaluating, modes_kept
from inputopt.nets.mlp import MLP
from inputopt.training.history import History, sampled
from inputopt.training.recorder import Recorder
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
        net: an MLP, or with method "autograd" any module whose output are logits [B, n].
        inputs: [B, ...] numbers.
        targets: [B, n] numbers, or class indices [B] for cross-entropy on identity outputs.
        cost: "mse" or "cross_entropy".
        learning_rate: how far to step along the derivative.
        steps: how many trainings at most; one batch is one training.
        method: how the derivatives are found: "autograd", "backprop", "dual", "differences" or "one_sided".
        batch_size: examples a training, drawn afresh each round through the data; all of them if not given.
        optimiser: "descent", "momentum" (0.9), "adam", or a function (parameters, rate) -> torch.optim.Optimizer.
        stop_error: stop once the mean error is this small; 0 never stops. It costs a forward a training.
        seed: what the batches are drawn from.
        perturb: (net, inputs, targets, index) -> the inputs to train on instead, for adversarial training.
        progress: called at each of about 50 samples.

    Ctrl-C ends the training and keeps what it has. A training that diverges warns (`DivergenceWarning`) and keeps the
    last finite weights.

    Raises:
        ValueError, TypeError: names, numbers, shapes or targets that do not fit, before anything has moved.

    >>> net = MLP([1, 1], weights=[[[0.3]]], biases=[[0.5]])
    >>> train(net, [[1.0]], [[0.0]], steps=10_000, method="backprop").error[-1].round(6).item()
    0.007176
    """
    resolved, made, wanted = _check(net, inputs, targets, cost, method)
    checks.positive("learning_rate", learning_rate)
    checks.whole("steps", steps)
    if stop_error:
        checks.positive("stop_error", stop_error)
    way: Way = find_way(method)(net, resolved)  # type: ignore[arg-type]  # autograd takes any module
    update = find_update(optimiser, way.parameters, learning_rate)
    recorder = Recorder(net, way, resolved, made, wanted)
    seed = checks.seed(seed)
    started = time.perf_counter()
    with modes_kept(net), torch.enable_grad(), np.errstate(all="ignore"):
        if not net.training:  # else what stands in evaluation mode was put there on purpose
            net.train()
        training = _training(net, way, update, made, wanted, batch_size, seed, perturb)
        done, stopped = _run(training, steps, update, way, recorder, stop_error, progress)
    return recorder.history(done, stopped, time.perf_counter() - started)


def _check(net: nn.Module, inputs: Any, targets: Any, cost: str, method: str) -> tuple[Cost, Tensor, Tensor]:
    checks.one_of("method", method, WAYS)
    if not isinstance(net, nn.Module):
        raise TypeError(f"The network must be a torch module, not {type(net).__name__}.")
    if not any(parameter.requires_grad for parameter in net.parameters()):
        raise ValueError("The network has no parameters that may move, so there is nothing to train.")
    if isinstance(net, MLP):
        resolved = find_cost(cost, net.output)
        return resolved, *check_batch(net, resolved, inputs, targets)
    if method != "autograd":
        raise ValueError(f"method {method!r} works on inputopt.MLP only; use method='autograd' for other networks.")
    resolved = find_cost(cost, "identity")
    parameters = [checks.finite("the network's weights", value) for value in net.parameters()]
    made = checks.batch("inputs", checks.tensor("inputs", inputs, parameters[0].dtype, parameters[0].device))
    try:
        with evaluating(net), torch.no_grad():
            outputs = Recorder.outputs(net, made[:1])
    except (RuntimeError, IndexError) as error:
        raise ValueError(f"The network does not take inputs of shape {list(made.shape[1:])} ({error}).") from error
    return resolved, made, check_targets(resolved, targets, len(made), outputs.shape[1], outputs)


def _training(
    net: nn.Module,
    way: Way,
    update: Update,
    inputs: Tensor,
    targets: Tensor,
    size: int | None,
    seed: int,
    perturb: Perturb | None,
) -> Callable[[int], Any]:
    """Training number `index`; its batch follows from the index, so that it can be made again."""
    if size is None and perturb is None:
        again = training_of(way.repeated(*way.native(inputs, targets)), update)
        return lambda index: again()
    size = checks.whole("batch_size", len(inputs) if size is None else size)
    rounds = -(-len(inputs) // size)

    @functools.lru_cache(maxsize=1)
    def order(number: int) -> Tensor:
        drawn = np.random.default_rng([seed, number]).permutation(len(inputs))
        return torch.from_numpy(drawn).to(inputs.device)

    def training(index: int) -> None:
        number, part = divmod(index, rounds)
        chosen = order(number)[part * size : (part + 1) * size]
        some, wanted = inputs[chosen], targets[chosen]
        update(way.step(*way.native(some if perturb is None else perturb(net, some, wanted, index), wanted)))

    return training


def _run(
    training: Callable[[int], Any],
    steps: int,
    update: Update,
    way: Way,
    recorder: Recorder,
    stop_error: float,
    progress: Callable[[Progress], None] | None,
) -> tuple[int, str]:
    """Train from sample to sample; returns how many trainings were made and why they ended."""
    marks = [*sampled(steps), steps]
    index = 0
    try:
        for start, end in itertools.pairwise(marks):
            index = start
            sample = recorder.record(start)
            if progress is not None:
                progress(Progress(start, steps, sample.error, sample.cost))
            before = update.snapshot()
            for index in range(start, end):
                if stop_error and recorder.error() <= stop_error:
                    return index, f"the error is down to {stop_error:g}"
                training(index)
            if not _finite(way):
                update.restore(before)
                ended = _replay(training, start, end, update, way)
                if ended is not None:
                    return ended
        index = steps
        if progress is not None:
            progress(Progress(steps, steps, sample.error, sample.cost))
    except KeyboardInterrupt:
        return index, "interrupted"
    return steps, "all trainings done"


def _finite(way: Way) -> bool:
    return all(bool(torch.isfinite(torch.as_tensor(parameter)).all()) for parameter in way.parameters)


def _replay(training: Callable[[int], Any], start: int, end: int, update: Update, way: Way) -> tuple[int, str] | None:
    """Go through a stretch that ended in infinite weights once more, training by training, and stop before they do.

    None if it ends well this time, as it may where a training is random.
    """
    for index in range(start, end):
        before = update.snapshot()
        training(index)
        if not _finite(way):
            update.restore(before)
            warnings.warn(
                f"The training diverged after {index} trainings and keeps the last finite weights; "
                "try a smaller learning rate.",
                DivergenceWarning,
                stacklevel=4,
            )
            return index, "diverged"
    return None
