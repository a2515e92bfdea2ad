"""Recording of the samples of a training run."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from inputopt.derivatives.autograd import to_single_precision
from inputopt.derivatives.plain import is_plain
from inputopt.derivatives.record import GradientMethod
from inputopt.nets.inference.modes import evaluating
from inputopt.training.history import History, Point, Sample, named_numbers
from inputopt.training.task import Task, forward_of

TINY = 64  # parameters; samples of networks up to this size hold every number


class Recorder:
    """Measures a network on all training examples and collects the samples."""

    def __init__(self, net: nn.Module, way: GradientMethod, task: Task) -> None:
        self._net, self._way, self._task = net, way, task
        self._plain = net if is_plain(net) else None
        self._batch = way.native(task.inputs, task.targets)
        names = [name.rpartition(".")[0] for name, value in net.named_parameters() if value.requires_grad]
        self._layers = tuple(dict.fromkeys(names))
        self._layer_of = names
        self._samples: list[Sample] = []
        self._points: list[Point] = []
        self._now: tuple[float, float] | None = None  # error and cost, if measured since the last update

    def error(self) -> float:
        """The current mean error."""
        return self._error_and_cost()[0]

    def finite(self) -> bool:
        """Whether the weights, the error and the cost are finite."""
        if not self.finite_weights():
            return False
        self._now = self._error_and_cost()
        return all(map(math.isfinite, self._now))

    def finite_weights(self) -> bool:
        """Whether all trained weights are finite."""
        return all(bool(torch.isfinite(torch.as_tensor(parameter)).all()) for parameter in self._way.parameters)

    def statistics(self) -> list[tuple[nn.Module, str, Tensor, Tensor]]:
        """The network's buffers, such as batch norm statistics: (module, name, buffer, copy)."""
        return [
            (module, name, value, value.clone())
            for module in self._net.modules()
            for name, value in module.named_buffers(recurse=False)
        ]

    @torch.no_grad()
    def restore(self, statistics: list[tuple[nn.Module, str, Tensor, Tensor]]) -> None:
        """Restore the buffers."""
        self._now = None
        for module, name, value, kept in statistics:
            value.copy_(kept)
            setattr(module, name, value)  # a forward may have replaced the buffer

    @torch.no_grad()
    def _error_and_cost(self) -> tuple[float, float]:
        """Current mean error and cost, in one forward; the cost is computed from the error if it is defined by it."""
        cost, inputs, targets = self._task.cost, self._task.inputs, self._task.targets
        with evaluating(self._net), forward_of(len(inputs)):
            outputs = to_single_precision(self._net(inputs if self._plain else inputs.clone()))
            logits = outputs if self._plain is None or cost.of_error else self._plain.logits(inputs)
        errors = cost.error(outputs, targets)
        costs = cost.torch(logits, targets) if cost.of_error is None else cost.of_error(errors).mean()
        return errors.mean().item(), costs.item()

    def record(self, index: int, logged: bool = True) -> tuple[float, float]:
        """Measure the network on all examples before update `index`; return the error and the cost.

        A sample is kept if `logged`, else only error and cost.

        Raises:
            ValueError: the error or cost is not finite before the first update.
        """
        error, cost = self._now or self._error_and_cost()
        self._now = None
        if not index and not (math.isfinite(error) and math.isfinite(cost)):
            raise ValueError(
                f"The cost is {cost} before the first update, so it has no gradient; scale the inputs or the targets, "
                "or start from smaller weights."
            )
        self._points.append(Point(index, error, cost))
        if logged:
            with evaluating(self._net), forward_of(len(self._task.inputs)):
                norms, details = self._norms(), self._details()
            self._samples.append(Sample(index, error, cost, norms, details))
        return error, cost

    def _norms(self) -> tuple[float, ...]:
        squares = dict.fromkeys(self._layers, 0.0)
        for layer, derivative in zip(self._layer_of, self._way.step(*self._batch), strict=True):
            if derivative is not None:
                squares[layer] += torch.as_tensor(derivative).square().sum().item()
        return tuple(square**0.5 for square in squares.values())

    def history(self, trainings: int, stopped: str, seconds: float) -> History:
        """The finished record; a run that stopped early gets one more sample at its end."""
        if not self._samples or trainings > self._samples[-1].index + (stopped == "all steps done"):
            with np.errstate(all="ignore"):
                self.record(trainings)
        return History(tuple(self._samples), self._layers, trainings, stopped, seconds, tuple(self._points))

    def _details(self) -> dict[str, float]:
        net = self._plain
        if net is None or sum(value.numel() for value in net.parameters()) > TINY:
            return {}
        found = self._way.report(self._task.inputs, self._task.targets)
        columns = {
            "weight": net.weights,
            "bias": net.biases,
            "dCost/dWeight": found.weights,
            "dCost/dBias": found.biases,
            "dCost/dInput": [found.inputs.flatten(1).mean(0)],
        }
        numbers: dict[str, float] = {}
        for what, values in columns.items():
            numbers |= named_numbers(what, [value.detach().cpu().numpy() for value in values])
        return numbers
