"""Models that return only the predicted class of each input, in the form of scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from inputopt import checks
from inputopt.nets.frozen import Frozen, frozen
from inputopt.nets.layers import WHOLE
from inputopt.nets.randomness import generator_states, restore_generators
from inputopt.search.inputs import float_tensor

Decide = Callable[[Tensor], Any]
"""Inputs, a tensor [B, ...] -> predicted classes, integers [B]: a tensor, an array or a list."""


MANY = 1000
"""Number of classes where it is not given; more of them change no result."""


@dataclass(frozen=True)
class Decisions:
    """Scores of a function that returns predicted classes: 1 for the predicted class and -1 for the others.

    Freeze it to set bounds: `Frozen(Decisions(decide, 10), bounds=(0, 255))`.

    Attributes:
        decide: inputs, a tensor [B, ...] -> predicted classes, integers [B]: a tensor, an array or a list. Of a service
            that takes arrays: `lambda x: service(x.numpy())`.
        classes: number of classes.
    """

    decide: Decide
    classes: int

    def __post_init__(self) -> None:
        checks.whole("classes", self.classes, least=2)

    def __call__(self, x: Tensor) -> Tensor:
        """Scores [B, classes].

        Raises:
            ValueError: a predicted class that is not one of them.
        """
        predicted = torch.as_tensor(self.decide(x), device=x.device)
        if predicted.shape != x.shape[:1]:
            raise ValueError(
                f"The model must return a class for each of {len(x)} inputs, not shape {list(predicted.shape)}."
            )
        if bool(((predicted < 0) | (predicted >= self.classes)).any()):
            raise ValueError(
                f"The model returned class {int(predicted.max())}, but there are {self.classes} classes; give the "
                "number of classes: Decisions(model, classes)."
            )
        return 2 * functional.one_hot(predicted.long(), self.classes).to(x.dtype) - 1


@torch.no_grad()
def scores_of(model: Any, x: Any, y: Any) -> Any:
    """The model, or if it returns predicted classes its `Decisions`.

    The number of classes is then 1,000, or one more than the largest label if that is more.

    Args:
        model: a network, or a function.
        x: inputs [B, ...]; the model is run on the first one.
        y: labels [B]; None for the model's predictions.
    """
    if isinstance(model, (Frozen, Decisions)) or not isinstance(x, (Tensor, np.ndarray)) or not len(x):
        return model
    decide, predicted = _first_answer(model, x)
    if predicted is None or predicted.is_floating_point() or predicted.shape != (1,):
        return model
    largest = int(predicted.max()) if y is None else max(int(predicted.max()), int(checks.as_tensor(y).max()))
    return Decisions(decide, max(MANY, largest + 1))


def _first_answer(model: Any, x: Any) -> tuple[Decide, Tensor | None]:
    """The function or, of a module, a copy in evaluation mode, and what it returns for the first input as it is.

    None if that is no tensor, array or list of numbers, or if the model fails: the attack then says why.
    """
    net = frozen(model)
    decide = (lambda x: net.runner(x, (WHOLE,)).outputs) if isinstance(model, nn.Module) else model
    states = generator_states()
    try:
        return decide, torch.as_tensor(decide(float_tensor("x", x[:1], net).clone()))
    except Exception:
        return decide, None
    finally:
        restore_generators(states)
