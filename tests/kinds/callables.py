"""Functions, callable objects, and modules that `deepcopy` refuses."""

from __future__ import annotations

import functools
import logging
import os
import queue
import threading
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from kinds.network import Convolutional, Kind, small
from kinds.wrapped import old

CALLABLES = Kind("functions, objects, what cannot be copied")


def ready() -> nn.Module:
    """A module in evaluation mode, as one that is wrapped in a function has to be."""
    return small().eval()


def followed(net: nn.Module, x: Tensor) -> Tensor:
    """What the module says of x, in the dtype of x: what a function closes over is not converted by `double`."""
    return net.to(x.dtype)(x)


@CALLABLES.add(layers=False)
def anonymous_function() -> Callable[[Tensor], Tensor]:
    net = ready()
    return lambda x: followed(net, x)


@CALLABLES.add(layers=False)
def partial_of_a_function() -> Callable[[Tensor], Tensor]:
    def scaled(net: nn.Module, x: Tensor, scale: float) -> Tensor:
        return scale * followed(net, x)

    return functools.partial(scaled, ready(), scale=2.0)


class Caller:
    """An object that is called, and is no module."""

    def __init__(self) -> None:
        self.net = ready()

    def __call__(self, x: Tensor) -> Tensor:
        return followed(self.net, x)

    def predict(self, x: Tensor) -> Tensor:
        return self(x)


@CALLABLES.add(layers=False)
def callable_object() -> Any:
    return Caller()


@CALLABLES.add(layers=False)
def bound_method() -> Callable[[Tensor], Tensor]:
    return Caller().predict


@CALLABLES.add(layers=False)
def scripted_function() -> Any:
    def bright(x):
        means = x.flatten(2).mean(2)
        return torch.stack([means[:, 0], means[:, 1], means[:, 2], 1 - means.sum(1) / 3], 1)

    with old():
        return torch.jit.script(bright)


@CALLABLES.add(picture="bn")
class HoldsALock(Convolutional):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def forward(self, x: Tensor) -> Tensor:
        with self.lock:
            return super().forward(x)


@CALLABLES.add(picture="bn")
class HoldsAFile(Convolutional):
    def __init__(self) -> None:
        super().__init__()
        self.log = open(os.devnull, "w")  # noqa: SIM115  # held for the model's life
        weakref.finalize(self, self.log.close)

    def forward(self, x: Tensor) -> Tensor:
        print(len(x), file=self.log)
        return super().forward(x)


@CALLABLES.add(picture="bn")
class HoldsAnIterator(Convolutional):
    def __init__(self) -> None:
        super().__init__()
        self.numbers = (number for number in range(10**9))

    def forward(self, x: Tensor) -> Tensor:
        next(self.numbers)
        return super().forward(x)


@CALLABLES.add(picture="bn")
class HoldsAGenerator(Convolutional):
    """A generator of random numbers that evaluation does not draw from."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator()


@CALLABLES.add(picture="bn")
class HoldsAllSorts(Convolutional):
    def __init__(self) -> None:
        super().__init__()
        self.local, self.queue, self.logger = threading.local(), queue.Queue(), logging.getLogger(__name__)
        self.event, self.thread, self.act = threading.Event(), threading.current_thread(), lambda h: torch.relu(h)
        self.itself = weakref.ref(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.read(self.act(self.bn(self.conv(x))))


@CALLABLES.add(picture="bn")
class RefusesToBeCopied(Convolutional):
    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError("This model is the only one of its kind.")


@CALLABLES.add(picture="bn")
class CopiesShareTheirWeights(Convolutional):
    """A `__deepcopy__` that returns the model itself: what is written to the copy is written to the user's."""

    def __deepcopy__(self, memo: Any) -> Any:
        return self


@CALLABLES.add(picture="part.bn")
class KnowsItsParent(nn.Module):
    """A part that holds the whole, by a way that is no submodule."""

    def __init__(self) -> None:
        super().__init__()
        self.part = Convolutional()
        self.part.__dict__["parent"] = self
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.part(x) * self.part.__dict__["parent"].scale
