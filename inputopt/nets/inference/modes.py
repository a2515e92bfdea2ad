"""Training and evaluation mode, borrowed and given back: of every submodule, since some may be frozen on purpose."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from inputopt.nets.errors import ModelError, first_line

_BORROWED: WeakKeyDictionary[nn.Module, threading.RLock] = WeakKeyDictionary()
_BORROWING = threading.Lock()


@contextmanager
def modes_kept(net: nn.Module) -> Iterator[None]:
    """Whatever happens inside, every submodule is in the mode it was in; frozen scripts have none."""
    modes = [(module, getattr(module, "training", None)) for module in net.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            if training is not None:
                module.training = training


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Evaluation mode inside: nothing random, and no statistics are gathered."""
    with modes_kept(net):
        evaluate(net)
        yield


@contextmanager
def borrowed(net: nn.Module) -> Iterator[None]:
    """Evaluation mode inside, of a model that several threads may ask for: they go one at a time."""
    with _BORROWING:
        lock = _BORROWED.setdefault(net, threading.RLock())
    with lock, evaluating(net):
        yield


def evaluate(net: nn.Module) -> None:
    """Call `net.eval()`, which may be the user's own: what it does is meant, what it returns is not asked for.

    Raises:
        ModelError: it fails.
    """
    try:
        net.eval()
    except NotImplementedError:  # an exported module, whose mode was settled when it was made
        pass
    except Exception as error:
        raise ModelError(f"The model's own eval() failed ({first_line(error)}); let it take no arguments.") from error


@contextmanager
def buffers_kept(model: object) -> Iterator[list[str]]:
    """Restore on exit the buffers of a module that were changed inside; yields a list that then names them."""
    named = model.named_buffers() if isinstance(model, nn.Module) else ()
    # sparse ones cannot be compared, and are hardly written in place
    dense = [(name, buffer) for name, buffer in named if buffer.layout == torch.strided]
    before = [(name, buffer, buffer.clone()) for name, buffer in dense]
    changed: list[str] = []
    try:
        yield changed
    finally:
        for name, buffer, value in before:
            if not _same(buffer, value):
                changed.append(name)
                with torch.no_grad():
                    buffer.copy_(value)


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors of one shape hold the same, NaN included."""
    return torch.equal(one, other) or bool(((one == other) | ((one != one) & (other != other))).all())
