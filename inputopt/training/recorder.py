"""Takes the samples of a training."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from inputopt.derivatives.record import Way
from inputopt.nets.costs import Cost
from inputopt.nets.inference.modes import evaluating
from inputopt.nets.mlp import MLP
from inputopt.training.history import History, Sample, named_numbers

TINY = 64  # parameters: up to here a sample holds every number


class Recorder:
    """Measures a network on all its examples, and collects the samples."""

    def __init__(self, net: nn.Module, way: Way, cost: Cost, inputs: Tensor, targets: Tensor) -> None:
        self._net, self._way, self._cost, self._inputs, self._targets = net, way, cost, inputs, targets
        self._batch = way.native(inputs, targets)
        names = [name.rpartition(".")[0] for name, value in net.named_parameters() if value.requires_grad]
        self._layers = tuple(dict.fromkeys(names))
        self._layer_of = names
        self._samples: list[Sample] = []

    @staticmethod
    def outputs(net: nn.Module, inputs: Tensor) -> Tensor:
        """What the network says, as [B, n]; a ValueError if it says something else."""
        outputs = net(inputs)
        if not isinstance(outputs, Tensor) or outputs.ndim != 2:
            raise ValueError("The network must return one tensor of logits [B, n]; wrap it in a module that does.")
        return outputs

    @torch.no_grad()
    def error(self) -> float:
        """The mean error now."""
        with evaluating(self._net):
            return self._cost.error(self._net(self._inputs), self._targets).mean().item()

    @torch.no_grad()
    def _error_and_cost(self) -> tuple[float, float]:
        """The means now, of one forward; the cost by way of the error where that is how the document defines it."""
        outputs = self._net(self._inputs)
        errors = self._cost.error(outputs, self._targets)
        if self._cost.of_error is not None:
            return errors.mean().item(), self._cost.of_error(errors).mean().item()
        logits = self._net.logits(self._inputs) if isinstance(self._net, MLP) else outputs
        return errors.mean().item(), self._cost.torch(logits, self._targets).item()

    def record(self, index: int) -> Sample:
        """Measure the network before training `index`, on all examples, and keep what was found."""
        with evaluating(self._net):
            sample = self._measured(index)
        self._samples.append(sample)
        return sample

    def _measured(self, index: int) -> Sample:
        derivatives = [torch.as_tensor(found) for found in self._way.step(*self._batch)]
        squares = dict.fromkeys(self._layers, 0.0)
        for layer, derivative in zip(self._layer_of, derivatives, strict=True):
            squares[layer] += derivative.square().sum().item()
        norms = tuple(square**0.5 for square in squares.values())
        return Sample(index, *self._error_and_cost(), norms, self._details())

    def history(self, trainings: int, stopped: str, seconds: float) -> History:
        """The finished record; a training that ended early is sampled once more where it ended."""
        if trainings > self._samples[-1].index + (stopped == "all trainings done"):
            with np.errstate(all="ignore"), torch.enable_grad():
                self.record(trainings)
        return History(tuple(self._samples), self._layers, trainings, stopped, seconds)

    def _details(self) -> dict[str, float]:
        net = self._net
        if not isinstance(net, MLP) or sum(value.numel() for value in net.parameters()) > TINY:
            return {}
        found = self._way.report(self._inputs, self._targets)
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
