"""Batch norms that can be folded into the convolutions before them, and rectifiers that can write over their input.

Found in what a forward was seen to do, by module and not by name: it does not matter under how many names a module is
reached, nor how its forward is written.
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
    """A convolution, the batch norm that alone reads its output, and the ReLU that alone reads the norm's.

    Attributes:
        rectifier: None where there is no such ReLU.
        read: whether anything was seen to read what the norm puts out.
        same_output: ids of the modules that put out the convolution's own output: itself, and those that end with it.
    """

    convolution: Any
    norm: Any
    rectifier: Any = None
    read: bool = True
    same_output: frozenset[int] = frozenset()


def pairs(observation: Observation, is_plain: Callable[[nn.Module], bool]) -> tuple[list[Pair], set[int]]:
    """What can be folded in the forward observed, and the ids of its convolutions that must not be.

    Each module of a pair is called once, is plain, and its output is read by nothing but the next one. A convolution
    whose output was not read yet, where the forward was left early, is in neither.
    """
    times = Counter(id(call.module) for call in observation.calls)
    readers = _readers(observation)
    maker = {call.made: call for call in observation.calls if isinstance(call.module, (*CONVOLUTIONS, *NORMS))}
    found: dict[int, tuple[Call, Call]] = {}
    rectifiers: dict[int, nn.Module] = {}  # by the id of the norm before
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
    """For each value the places of the operations that read it."""
    readers: dict[int | None, list[int]] = {}
    for place, operation in enumerate(observation.operations):
        for value in operation.reads:
            readers.setdefault(value, []).append(place)
    return readers


def _is_only_reader(before: Call, call: Call, readers: dict[int | None, list[int]]) -> bool:
    """Whether nothing but `call` reads what `before` put out."""
    return all(call.start <= place < call.end for place in _reads_after(before, readers))


def _reads_after(call: Call, readers: dict[int | None, list[int]]) -> list[int]:
    """The places of the operations behind a call that read what it put out."""
    return [place for place in readers.get(call.made, []) if place >= call.end]


def fold_weights(pair: Pair) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution that puts out what the batch norm behind it would."""
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
    """Whether the model convolves images: on a CPU, forward and backward together are quicker with the channels last.

    A rule and not a measurement at run time, so that the same call gives the same bits everywhere.
    """
    return any(isinstance(module, nn.Conv2d) for module in model.modules())
