"""Sets evaluation mode temporarily and restores the mode of every submodule, since some may be frozen on purpose."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from inputopt.nets.model_errors import ModelError, first_line

_MODEL_LOCKS: WeakKeyDictionary[nn.Module, threading.RLock] = WeakKeyDictionary()
_LOCKS_GUARD = threading.Lock()


@contextmanager
def modes_kept(net: nn.Module) -> Iterator[None]:
    """Restore the training mode of every submodule on exit; modules frozen by torch.jit have no mode."""
    modes = [(module, getattr(module, "training", None)) for module in net.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            if training is not None:
                module.training = training


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Context in evaluation mode: no dropout, and no update of batch-norm statistics."""
    with modes_kept(net):
        evaluate(net)
        yield


@contextmanager
def borrowed(net: nn.Module) -> Iterator[None]:
    """Context in evaluation mode under a lock for each model, so that only one thread at a time runs a shared model."""
    with _LOCKS_GUARD:
        lock = _MODEL_LOCKS.setdefault(net, threading.RLock())
    with lock, evaluating(net):
        yield


def evaluate(net: nn.Module) -> None:
    """Call `net.eval()`, which the user may have overridden; its return value is ignored.

    Raises:
        ModelError: the call fails.
    """
    try:
        net.eval()
    except NotImplementedError:  # exported modules have a fixed mode
        pass
    except Exception as error:
        raise ModelError(
            f"The model's own eval() failed ({first_line(error)}); make it callable without arguments."
        ) from error


@contextmanager
def restore_buffers(model: object) -> Iterator[list[str]]:
    """Restore on exit the buffers that were changed inside; yields a list that then holds their names."""
    named = model.named_buffers() if isinstance(model, nn.Module) else ()
    # sparse tensors cannot be compared, and are rarely written in place
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
    """Whether two tensors of one shape hold equal values, where NaN equals NaN."""
    return torch.equal(one, other) or bool(((one == other) | ((one != one) & (other != other))).all())
