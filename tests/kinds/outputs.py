"""What models return beside a tensor of finite logits."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from kinds.network import CLASSES, Convolutional, Kind

OUTPUTS = Kind("outputs")
REFUSED = Kind("outputs that are refused")
LOGITS = r"logits"

Pair = namedtuple("Pair", ["out", "aux"])


@dataclass
class Answer:
    """A dataclass with one obvious tensor of logits."""

    logits: Tensor
    loss: Tensor | None = None
    hidden: tuple[Tensor, ...] = ()


@OUTPUTS.add(picture="bn", logits=lambda out: out[0])
class LogitsAndFeatures(Convolutional):
    def read(self, h: Tensor) -> Any:
        return super().read(h), h


@OUTPUTS.add(picture="bn", logits=lambda out: out[0])
class ListOfOneTensor(Convolutional):
    def read(self, h: Tensor) -> Any:
        return [super().read(h)]


@OUTPUTS.add(picture="bn", logits=lambda out: out["logits"])
class DictWithLogits(Convolutional):
    def read(self, h: Tensor) -> Any:
        logits = super().read(h)
        return {"probabilities": logits.softmax(1), "logits": logits}


@OUTPUTS.add(picture="bn", logits=lambda out: out["out"])
class DictWithOneTensorOfRows(Convolutional):
    def read(self, h: Tensor) -> Any:
        return {"map": h, "out": super().read(h), "steps": 3}


@OUTPUTS.add(picture="bn", logits=lambda out: out.logits)
class DataclassWithLogits(Convolutional):
    def read(self, h: Tensor) -> Any:
        return Answer(super().read(h), h.sum(), (h, h))


@OUTPUTS.add(picture="bn", logits=lambda out: out.logits)
class ObjectWithLogits(Convolutional):
    def read(self, h: Tensor) -> Any:
        return SimpleNamespace(logits=super().read(h), loss=None)


@OUTPUTS.add(picture="bn", logits=lambda out: out.out)
class NamedTupleWithNone(Convolutional):
    def read(self, h: Tensor) -> Any:
        return Pair(super().read(h), None)


@OUTPUTS.add(warned="probabilities")
class Probabilities(Convolutional):
    def read(self, h: Tensor) -> Tensor:
        return (2 * super().read(h)).softmax(1)


@OUTPUTS.add()
class LogProbabilities(Convolutional):
    def read(self, h: Tensor) -> Tensor:
        return super().read(h).log_softmax(1)


@OUTPUTS.add()
class ClassRuledOut(Convolutional):
    """A logit of minus infinity: this class is never answered."""

    def read(self, h: Tensor) -> Tensor:
        return super().read(h).masked_fill(torch.arange(CLASSES) == 3, -torch.inf)


@OUTPUTS.add()
class NanForBrightInputs(Convolutional):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).masked_fill((x.mean((1, 2, 3)) > 0.53)[:, None], torch.nan)


@OUTPUTS.add()
class NanForOneClassOfDarkInputs(Convolutional):
    def forward(self, x: Tensor) -> Tensor:
        dark = (x.mean((1, 2, 3)) < 0.46)[:, None] & (torch.arange(CLASSES) == 2)
        return super().forward(x).masked_fill(dark, torch.nan)


@OUTPUTS.add()
class InfiniteForBrightInputs(Convolutional):
    """An overflow: two classes are infinitely likely."""

    def forward(self, x: Tensor) -> Tensor:
        over = (x.mean((1, 2, 3)) > 0.53)[:, None] & (torch.arange(CLASSES) < 2)
        return super().forward(x).masked_fill(over, torch.inf)


@OUTPUTS.add()
class EveryClassRuledOutForBrightInputs(Convolutional):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).masked_fill((x.mean((1, 2, 3)) > 0.53)[:, None], -torch.inf)


@OUTPUTS.add()
class HugeLogits(Convolutional):
    def read(self, h: Tensor) -> Tensor:
        return 1e3 * super().read(h)


@OUTPUTS.add()
class LogitsFarFromZero(Convolutional):
    """What counts are differences, of which float32 keeps three digits less."""

    def read(self, h: Tensor) -> Tensor:
        return 4 * super().read(h) + 100


@OUTPUTS.add()
class TinyLogits(Convolutional):
    """Their derivatives are small, and their direction is as good as any."""

    def read(self, h: Tensor) -> Tensor:
        return 1e-6 * super().read(h)


@OUTPUTS.add(shape=(CLASSES,), layers=False)
def input_returned_as_it_is() -> Any:
    """The logits are the input itself, and share its memory."""
    return lambda x: x


@OUTPUTS.add(shape=(CLASSES, 1, 1), layers=False)
def view_of_the_input_returned() -> Any:
    return lambda x: x.flatten(1)


@OUTPUTS.add()
class LogitsThatAreAView(Convolutional):
    """Every second number of a larger tensor, and one class for two."""

    def read(self, h: Tensor) -> Tensor:
        logits = super().read(h)
        return torch.stack([logits, -logits], 2).flatten(1)[:, ::2]


@OUTPUTS.add()
class OneBufferForAllAnswersWithGradients(Convolutional):
    """Answers are written to a buffer that the next call writes to again, also where they have a derivative."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: Tensor | None = None

    def read(self, h: Tensor) -> Tensor:
        logits = super().read(h)
        if self.kept is None or self.kept.shape != logits.shape or self.kept.dtype != logits.dtype:
            self.kept = torch.empty_like(logits)
        return self.kept.detach().copy_(logits)


@OUTPUTS.add(layers=False)
class OneBufferForAllAnswers(OneBufferForAllAnswersWithGradients):
    """The same without derivatives only."""

    def read(self, h: Tensor) -> Tensor:
        return Convolutional.read(self, h) if torch.is_grad_enabled() and h.requires_grad else super().read(h)


# -------------------------------------------------------------------------------------------------------------- refused
@REFUSED.add(refused=LOGITS)
class TwoTensorsThatMightBeLogits(Convolutional):
    def read(self, h: Tensor) -> Any:
        return super().read(h), super().read(-h)


@REFUSED.add(refused=LOGITS)
class DictOfTwoHeads(Convolutional):
    def read(self, h: Tensor) -> Any:
        return {"coarse": super().read(h), "fine": super().read(-h)}


@REFUSED.add(refused=r"single output|one output|two or more|at least two")
class OneOutput(Convolutional):
    def read(self, h: Tensor) -> Tensor:
        return super().read(h)[:, :1]


@REFUSED.add(refused=LOGITS)
class OneNumberAnExample(Convolutional):
    def read(self, h: Tensor) -> Tensor:
        return super().read(h)[:, 0]


@REFUSED.add(refused=LOGITS)
class LogitsWithPlaces(Convolutional):
    """[B, n, 1, 1], as a fully convolutional network returns."""

    def read(self, h: Tensor) -> Tensor:
        return super().read(h)[:, :, None, None]


@REFUSED.add(refused=r"logits|floating")
class ClassesInsteadOfLogits(Convolutional):
    def read(self, h: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(super().read(h).argmax(1), CLASSES)


@REFUSED.add(refused=r"logits|floating")
class ComplexLogits(Convolutional):
    def read(self, h: Tensor) -> Tensor:
        logits = super().read(h)
        return torch.complex(logits, logits)


@REFUSED.add(refused=LOGITS)
class OneRowForTheBatch(Convolutional):
    def read(self, h: Tensor) -> Tensor:
        return super().read(h).mean(0, keepdim=True)


@REFUSED.add(refused=LOGITS)
class NothingReturned(Convolutional):
    def read(self, h: Tensor) -> None:
        super().read(h)


@REFUSED.add(refused=LOGITS)
class WordsReturned(Convolutional):
    def read(self, h: Tensor) -> Any:
        return ["cat"] * len(h)
