"""Forwards that read attributes of their modules, keep tensors for later calls, or depend on how memory is laid out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kinds.network import CLASSES, Convolutional, Kind

READING = Kind("attributes, caches and memory layout")


# ----------------------------------------------------------------------------------------------------------- attributes
@READING.add(picture="bn")
class FeaturesOfTheBatchNormRead(Convolutional):
    def read(self, h: Tensor) -> Tensor:
        return self.head(h.flatten(2).mean(2).reshape(-1, self.bn.num_features))


@READING.add(picture="bn")
class DtypeOfAWeightRead(Convolutional):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(self.conv.weight.dtype).to(next(self.parameters()).device))


@READING.add(picture="conv")
class MissingBiasRead(Convolutional):
    """Answers otherwise once its convolution has a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (1.0 if self.conv.bias is None else -1.0)


@READING.add(picture="bn")
class ModulesFoundByTheirClass(Convolutional):
    def forward(self, x: Tensor) -> Tensor:
        kinds = [type(module) for module in self.children()]
        norms = sum(isinstance(module, nn.BatchNorm2d) for module in self.modules())
        names = {name for name, _ in self.named_parameters()}
        assert kinds == [nn.Conv2d, nn.BatchNorm2d, nn.Linear]
        return super().forward(x) * norms * len(names & {"bn.weight", "conv.bias", "head.bias"})


# --------------------------------------------------------------------------------------------------------------- caches
@READING.add(picture="bn")
class TensorKeptFromTheFirstCall(Convolutional):
    def __init__(self) -> None:
        super().__init__()
        self.grid: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.grid is None:
            self.grid = torch.linspace(0.5, 1, x.shape[-1], dtype=x.dtype, device=x.device)
        return super().forward(x * self.grid)


@READING.add(picture="bn")
class TensorKeptByShape(Convolutional):
    def __init__(self) -> None:
        super().__init__()
        self.grids: dict[tuple[int, ...], Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        if tuple(x.shape) not in self.grids:
            self.grids[tuple(x.shape)] = torch.linspace(0.5, 1, x[0].numel()).reshape(x.shape[1:]).to(x).expand_as(x)
        return super().forward(x * self.grids[tuple(x.shape)])


@READING.add(picture="bn")
class FeaturesKeptForLater(Convolutional):
    """As used for class activation maps: the last call left a tensor with a history, which `deepcopy` refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: Tensor | None = None
        self(torch.rand(2, 3, 8, 8))

    def read(self, h: Tensor) -> Tensor:
        self.kept = h
        return super().read(h)


@READING.add(picture="bn")
class EmbeddingKeptFromAnEarlierCall(Convolutional):
    """A kept tensor with a history is read by the next call."""

    def __init__(self) -> None:
        super().__init__()
        self.prompt = self.conv(torch.rand(1, 3, 8, 8)).mean((2, 3))

    def read(self, h: Tensor) -> Tensor:
        return self.head(h.mean((2, 3)) + self.prompt.detach().to(h.dtype))


@READING.add(picture="bn")
class BufferWrittenInForward(Convolutional):
    """A buffer that is written by every call and read by none."""

    calls: Tensor
    average: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.register_buffer("average", torch.zeros(8))

    def read(self, h: Tensor) -> Tensor:
        self.calls += 1
        self.average.mul_(0.9).add_(h.detach().mean((0, 2, 3)), alpha=0.1)
        return super().read(h)


# --------------------------------------------------------------------------------------------------------------- layout
@READING.add(picture="conv2")
class ViewAfterAConvolution(nn.Module):
    """The network of PyTorch's CIFAR tutorial, made small: `.view` refuses what is not laid out row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.pool, self.conv2 = nn.Conv2d(3, 6, 3), nn.MaxPool2d(2, 2), nn.Conv2d(6, 16, 2)
        self.fc1, self.fc2 = nn.Linear(16 * 2 * 2, 12), nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.conv2(self.pool(torch.relu(self.conv1(x)))))
        return self.fc2(torch.relu(self.fc1(h.view(-1, 16 * 2 * 2))))


@READING.add(picture="conv")
class ViewOfChannelsInGroups(Convolutional):
    """A channel shuffle by `.view`."""

    def read(self, h: Tensor) -> Tensor:
        rows, channels, height, width = h.shape
        h = h.view(rows, 2, channels // 2, height, width).transpose(1, 2).contiguous()
        return super().read(torch.tanh(h.view(rows, channels, height, width).cumsum(1)))


@READING.add(picture="conv")
class MemoryReadByStrides(Convolutional):
    """`as_strided` takes memory for granted, and silently reads something else where it is laid out otherwise."""

    def read(self, h: Tensor) -> Tensor:
        return self.head(torch.as_strided(h, (len(h), 8, 12), (h[0].numel(), 36, 1)).mean(2))


@READING.add(picture="conv")
class StrideRead(Convolutional):
    """Does something else, without a word, where channels come last in memory."""

    def read(self, h: Tensor) -> Tensor:
        return super().read(h) * (1.0 if h.stride(-1) == 1 else -1.0)


@READING.add(picture="conv")
class ContiguousMemoryDemanded(Convolutional):
    def read(self, h: Tensor) -> Tensor:
        if not h.is_contiguous():
            raise RuntimeError("This kernel is for contiguous tensors.")
        return super().read(h)


@READING.add(picture="conv")
class ComplexViewOfRealPairs(Convolutional):
    def read(self, h: Tensor) -> Tensor:
        pairs = torch.view_as_complex(h.view(*h.shape[:3], 3, 2))
        return self.head(pairs.abs().mean((2, 3)))


@READING.add(picture="conv")
class InputReadByStrides(Convolutional):
    """The input itself is read as it lies in memory."""

    def forward(self, x: Tensor) -> Tensor:
        rows = x.as_strided((len(x), 3, 64), (192, 64, 1)).cumsum(2).reshape(x.shape)
        return super().forward(x + rows / 64)
