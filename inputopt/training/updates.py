"""Updates of the parameters: the document's gradient descent, or any optimiser of torch.optim."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from inputopt import checks
from inputopt.training.fast.tape import Made, Tape

MakeOptimiser = Callable[[list[Tensor], float], torch.optim.Optimizer]

OptimiserName = Literal["descent", "momentum", "adam"]

OPTIMISERS: dict[str, MakeOptimiser] = {
    "momentum": lambda parameters, rate: torch.optim.SGD(parameters, rate, momentum=0.9),
    "adam": lambda parameters, rate: torch.optim.Adam(parameters, rate),
}


class Update(Protocol):
    """Updates the parameters from their gradients; its whole state can be saved and restored."""

    def __call__(self, derivatives: Sequence[Any]) -> None: ...

    def snapshot(self) -> Any:
        """A copy of the parameters and of the optimiser's state."""

    def restore(self, snapshot: Any) -> None:
        """Restore a snapshot."""


class Descent:
    """Gradient descent, parameter -= learning_rate * derivative, for arrays and tensors."""

    def __init__(self, parameters: list[Any], rate: float) -> None:
        self._parameters = parameters
        self._steps = [_parameter_step(parameter, rate) for parameter in parameters]

    def __call__(self, derivatives: Sequence[Any]) -> None:
        for run, operands in self.calls(derivatives):
            run(*operands)

    def calls(self, derivatives: Sequence[Any]) -> list[Made]:
        """The function calls that make the step."""
        pairs = zip(self._steps, derivatives, strict=True)
        return [call for step, derivative in pairs if derivative is not None for call in step(derivative)]

    def snapshot(self) -> Any:
        return copy.deepcopy(self._parameters)

    def restore(self, snapshot: Any) -> None:
        for parameter, saved in zip(self._parameters, snapshot, strict=True):
            parameter[...] = saved


def _parameter_step(parameter: Any, rate: float) -> Callable[[Any], list[Made]]:
    """A function from the derivative by one parameter to the calls that update it."""
    if isinstance(parameter, Tensor):
        subtract = functools.partial(parameter.sub_, alpha=rate)
        return lambda derivative: [(subtract, (derivative,))]
    # preallocated memory and the rate as a 0-d array halve numpy's time
    step, scale = np.empty_like(parameter), np.asarray(rate, parameter.dtype)
    return lambda derivative: [
        (np.multiply, (scale, derivative, step)),
        (np.subtract, (parameter, step, parameter)),
    ]


class TorchOptimiser:
    """A torch.optim optimiser on tensors that share the parameters' memory."""

    def __init__(self, parameters: list[Any], rate: float, make: MakeOptimiser) -> None:
        self._tensors = [torch.as_tensor(parameter) for parameter in parameters]
        self._optimiser = make(self._tensors, rate)
        if not isinstance(self._optimiser, torch.optim.Optimizer):
            raise TypeError(f"optimiser must return a torch.optim.Optimizer, not {type(self._optimiser).__name__}.")
        if isinstance(self._optimiser, torch.optim.LBFGS):
            raise ValueError(
                "LBFGS re-evaluates the cost in each step, which train does not support; choose another optimiser."
            )

    def __call__(self, derivatives: Sequence[Any]) -> None:
        for tensor, derivative in zip(self._tensors, derivatives, strict=True):
            tensor.grad = None if derivative is None else torch.as_tensor(derivative)
        self._optimiser.step()

    def snapshot(self) -> Any:
        return [tensor.clone() for tensor in self._tensors], copy.deepcopy(self._optimiser.state_dict())

    def restore(self, snapshot: Any) -> None:
        tensors, state = snapshot
        for tensor, saved in zip(self._tensors, tensors, strict=True):
            tensor.copy_(saved)
        self._optimiser.load_state_dict(copy.deepcopy(state))


def find_update(optimiser: OptimiserName | MakeOptimiser, parameters: list[Any], rate: float) -> Update:
    """The update "descent", "momentum" or "adam", or that of an optimiser made by (parameters, rate) -> torch.optim."""
    if callable(optimiser):
        return TorchOptimiser(parameters, rate, optimiser)
    checks.one_of("optimiser", optimiser, ["descent", *OPTIMISERS])
    if optimiser == "descent":
        return Descent(parameters, rate)
    return TorchOptimiser(parameters, rate, OPTIMISERS[optimiser])


def training_of(derivatives: Callable[[], Sequence[Any]], update: Update) -> Callable[[], Any]:
    """A function that makes one update: compute the gradients, then make the step.

    A `Tape`, whose results are always in the same memory, is extended by the calls of `Descent`.
    """
    if isinstance(derivatives, Tape) and isinstance(update, Descent):
        return derivatives.then(update.calls(derivatives.results))
    return lambda: update(derivatives())
