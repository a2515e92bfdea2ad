"""Training and evaluation mode, borrowed and given back: of every submodule, since some may be frozen on purpose."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def modes_kept(net: nn.Module) -> Iterator[None]:
    """Whatever happens inside, every submodule is in the mode it was in."""
    modes = [(module, module.training) for module in net.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Evaluation mode inside: nothing random, and no statistics are gathered."""
    with modes_kept(net):
        net.eval()
        yield
