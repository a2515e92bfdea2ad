"""Finds batch norms that can be folded into the preceding convolution, and ReLUs that can run in place.

They are found in the observed operations of one forward, by module object and not by name: a module may have several
names, and its forward may be written in any way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from inputopt.nets.inference.observation import Call, Observation

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
RECTIFIERS = (nn.ReLU, nn.ReLU6)


@dataclass(frozen=True, eq=False)
class Pair:
    """A convolution, the batch norm that is the only reader of its output, and the only ReLU that reads the norm's.

    Attributes:
        convolution: the convolution.
        norm: the batch norm.
        rectifier: the ReLU or ReLU6; None if there is none.
        read: whether any operation was seen to read the norm's output.
        same_output: ids of the modules whose output is the convolution's: itself, and modules that end with it.
    """

    convolution: Any
    norm: Any
    rectifier: Any = None
    read: bool = True
    same_output: frozenset[int] = frozenset()


def pairs(observation: Observation, is_plain: Callable[[nn.Module], bool]) -> tuple[list[Pair], set[int]]:
    """The foldable pairs of an observed forward, and the ids of its convolutions that must not be folded.

    Each module of a pair is called once, runs the standard forward of its class (`is_plain`), and only the next module
    reads its output. A convolution whose
    output was not read before the forward was stopped early is in neither result.
    """
    times = Counter(id(call.module) for call in observation.calls)
    readers = _readers(observation)
    maker = {call.made: call for call in observation.calls if isinstance(call.module, (*CONVOLUTIONS, *NORMS))}
    found: dict[int, tuple[Call, Call]] = {}
    rectifiers: dict[int, nn.Module] = {}  # by the id of the preceding norm
    for call in observation.calls:
        before = None if call.given is None else maker.get(call.given)
        if before is None or not _is_only_reader(before, call, readers):
            continue
        if any(times[id(each.module)] > 1 or not is_plain(each.module) for each in (before, call)):
            continue
        if isinstance(before.module, CONVOLUTIONS) and isinstance(call.module, NORMS):
            found[id(before.module)] = (before, call)
        elif isinstance(before.module, NORMS) and isinstance(call.module, RECTIFIERS):
            rectifiers[id(before.module)] = call.module
    made = [
        Pair(
            first.module,
            second.module,
            rectifiers.get(id(second.module)),
            bool(_reads_after(second, readers)),
            frozenset(id(call.module) for call in observation.calls if call.made == first.made),
        )
        for first, second in found.values()
    ]
    convolutions = [call for call in observation.calls if isinstance(call.module, CONVOLUTIONS)]
    refused = {id(call.module) for call in convolutions if _reads_after(call, readers) or times[id(call.module)] > 1}
    return made, refused - found.keys()


def _readers(observation: Observation) -> dict[int | None, list[int]]:
    """For each value, the indices of the operations that read it."""
    readers: dict[int | None, list[int]] = {}
    for index, operation in enumerate(observation.operations):
        for value in operation.reads:
            readers.setdefault(value, []).append(index)
    return readers


def _is_only_reader(before: Call, call: Call, readers: dict[int | None, list[int]]) -> bool:
    """Whether the output of `before` is read only inside `call`."""
    return all(call.start <= index < call.end for index in _reads_after(before, readers))


def _reads_after(call: Call, readers: dict[int | None, list[int]]) -> list[int]:
    """Indices of the operations after a call that read its output."""
    return [index for index in readers.get(call.made, []) if index >= call.end]


def fold_weights(pair: Pair) -> tuple[Tensor, Tensor]:
    """Weight and bias of the convolution with the following batch norm folded in."""
    convolution, norm = pair.convolution, pair.norm
    with torch.no_grad():
        weight, bias = fuse_conv_bn_weights(
            convolution.weight,
            convolution.bias,
            norm.running_mean,
            norm.running_var,
            norm.eps,
            norm.weight,
            norm.bias,
        )
    return weight.detach(), bias.detach()


def prefers_channels_last(model: nn.Module) -> bool:
    """Whether the model has a 2-D convolution: on a CPU, forward and backward are then faster in channels last.

    A fixed rule, not a run-time measurement, so that the same call gives bitwise identical results everywhere.
    """
    return any(isinstance(module, nn.Conv2d) for module in model.modules())
