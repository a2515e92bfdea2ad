"""How a derivative becomes a step: the document's plain descent, or any optimiser of torch.optim."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from inputopt import checks

MakeOptimiser = Callable[[list[Tensor], float], torch.optim.Optimizer]

OPTIMISERS: dict[str, MakeOptimiser] = {
    "momentum": lambda parameters, rate: torch.optim.SGD(parameters, rate, momentum=0.9),
    "adam": lambda parameters, rate: torch.optim.Adam(parameters, rate),
}


class Update(Protocol):
    """Moves the parameters; its whole state can be copied out and put back."""

    def __call__(self, derivatives: Sequence[Any]) -> None: ...

    def snapshot(self) -> Any:
        """A copy of the parameters and of what the update remembers."""

    def restore(self, snapshot: Any) -> None:
        """Put a snapshot back."""


class Descent:
    """parameter -= learning_rate * derivative; arrays and tensors alike."""

    def __init__(self, parameters: list[Any], rate: float) -> None:
        self._parameters = parameters
        # as an array of no dimensions, which numpy multiplies by in half the time that a Python number takes
        rates = [rate if isinstance(value, Tensor) else np.asarray(rate, value.dtype) for value in parameters]
        self._rated = list(zip(parameters, rates, strict=True))

    def __call__(self, derivatives: Sequence[Any]) -> None:
        for (parameter, rate), derivative in zip(self._rated, derivatives, strict=True):
            parameter -= rate * derivative

    def snapshot(self) -> Any:
        return copy.deepcopy(self._parameters)

    def restore(self, snapshot: Any) -> None:
        for parameter, saved in zip(self._parameters, snapshot, strict=True):
            parameter[...] = saved


class TorchOptimiser:
    """An optimiser of torch.optim on tensors that share the parameters' memory."""

    def __init__(self, parameters: list[Any], rate: float, make: MakeOptimiser) -> None:
        self._tensors = [torch.as_tensor(parameter) for parameter in parameters]
        self._optimiser = make(self._tensors, rate)

    def __call__(self, derivatives: Sequence[Any]) -> None:
        for tensor, derivative in zip(self._tensors, derivatives, strict=True):
            tensor.grad = torch.as_tensor(derivative)
        self._optimiser.step()

    def snapshot(self) -> Any:
        return [tensor.clone() for tensor in self._tensors], copy.deepcopy(self._optimiser.state_dict())

    def restore(self, snapshot: Any) -> None:
        tensors, state = snapshot
        for tensor, saved in zip(self._tensors, tensors, strict=True):
            tensor.copy_(saved)
        self._optimiser.load_state_dict(copy.deepcopy(state))


def find_update(optimiser: str | MakeOptimiser, parameters: list[Any], rate: float) -> Update:
    """The update called `optimiser`: "descent", "momentum", "adam", or what makes an optimiser of torch.optim."""
    if callable(optimiser):
        return TorchOptimiser(parameters, rate, optimiser)
    checks.one_of("optimiser", optimiser, ["descent", *OPTIMISERS])
    if optimiser == "descent":
        return Descent(parameters, rate)
    return TorchOptimiser(parameters, rate, OPTIMISERS[optimiser])
