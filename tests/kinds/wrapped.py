"""Models that are not the Python modules they were written as: scripted, traced, compiled, wrapped, exported."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, fx, nn

from kinds.network import Convolutional, Kind, small

WRAPPED = Kind("scripted, traced, compiled, wrapped")


@contextmanager
def old() -> Iterator[None]:
    """Inside, what PyTorch says of its older ways is left unsaid."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", message=".*quantized tensor creation|None of the inputs have requires_grad")
        yield


@WRAPPED.add(reference=small, layers=False)
def scripted() -> nn.Module:
    with old():
        return torch.jit.script(small())


@WRAPPED.add(reference=small, layers=False)
def traced() -> nn.Module:
    with old():
        return torch.jit.trace(small().eval(), torch.rand(2, 3, 8, 8))


@WRAPPED.add(reference=small, layers=False)
def scripted_and_frozen() -> nn.Module:
    """Its weights are constants: it has neither parameters nor buffers."""
    with old():
        return torch.jit.freeze(torch.jit.script(small().eval()))


@WRAPPED.add(reference=small, layers=False)
def scripted_part() -> nn.Module:
    with old():
        return nn.Sequential(torch.jit.script(small()))


@WRAPPED.add(picture="bn")
def graph_module() -> nn.Module:
    return fx.symbolic_trace(Convolutional().eval())


@WRAPPED.add(reference=small, layers=False)
def compiled() -> nn.Module:
    """Run as the module that was compiled; the backend is the one that costs nothing."""
    return torch.compile(small(), backend="eager")


@WRAPPED.add(reference=small, layers=False)
def compiled_part() -> nn.Module:
    return nn.Sequential(torch.compile(small(), backend="eager"))


@WRAPPED.add(picture="module.bn")
def data_parallel() -> nn.Module:
    return nn.DataParallel(Convolutional())


@WRAPPED.add(reference=small, layers=False)
def exported() -> nn.Module:
    """Neither `train()` nor `eval()` may be called on it."""
    with torch.no_grad():
        net = small().eval()
        rows = torch.export.Dim("rows", min=1, max=1024)
        return torch.export.export(net, (torch.rand(2, 3, 8, 8),), dynamic_shapes=({0: rows},)).module()


@WRAPPED.add(picture="module.bn")
def averaged() -> nn.Module:
    return torch.optim.swa_utils.AveragedModel(Convolutional())


@WRAPPED.add(picture="bn")
class WeightsGivenToFunctionalCall(Convolutional):
    def __init__(self) -> None:
        super().__init__()
        self.shadow = nn.ParameterDict({"weight": nn.Parameter(torch.randn(8, 3, 3, 3) / 5)})

    def forward(self, x: Tensor) -> Tensor:
        h = torch.func.functional_call(self.conv, {"weight": self.shadow["weight"]}, (x,))
        return self.read(torch.relu(self.bn(h)))


@WRAPPED.add(layers=False)
class RunByVmap(Convolutional):
    """The modules see one example at a time, inside `vmap`."""

    def forward(self, x: Tensor) -> Tensor:
        h = torch.func.vmap(lambda one: torch.relu(self.conv(one)))(x)
        return self.read(self.bn(h))


@WRAPPED.add(picture="bn")
class CallOverridden(Convolutional):
    """`__call__` itself is overridden, as some older libraries do."""

    def __call__(self, x: Tensor) -> Tensor:
        return -super().__call__(x)
