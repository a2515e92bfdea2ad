"""Forwards that write to their input or to what a module has just put out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from kinds.network import CLASSES, Convolutional, Kind, small

INPLACE = Kind("written in place")


class Block(nn.Module):
    """A residual block as torchvision writes it."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn(self.conv(x))
        out += x
        return self.relu(out)


@INPLACE.add(picture="0.bn")
def addition_in_place() -> nn.Module:
    return nn.Sequential(Block(), Block(), nn.Flatten(), nn.Linear(192, CLASSES))


@INPLACE.add(picture="0")
def addition_to_the_block_input() -> nn.Module:
    """The output of the block before is written to."""

    class Adding(Block):
        def forward(self, x: Tensor) -> Tensor:
            x += torch.tanh(self.bn(self.conv(x * 2)))
            return x

    first = nn.Conv2d(3, 3, 1)
    return nn.Sequential(first, Adding(), Adding(), nn.Flatten(), nn.Linear(192, CLASSES))


@INPLACE.add(picture="bn")
class ReturnOfARectifierIgnored(Convolutional):
    """Right only because the rectifier works in place."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        h = self.bn(self.conv(x))
        self.relu(h)
        return self.read(h)


@INPLACE.add(picture="bn")
class ReturnOfAnActivationIgnored(Convolutional):
    """The same with other activations, one of them in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.acts = nn.ModuleList([nn.Hardtanh(-0.5, 1, inplace=True), nn.SiLU(inplace=True)])

    def forward(self, x: Tensor) -> Tensor:
        h = self.bn(self.conv(x))
        for act in self.acts:
            act(h)
        return self.read(h)


@INPLACE.add(picture="1")
def rectifier_in_place_comes_first() -> nn.Module:
    """The input is written to by the first layer; shifted, so that it would show."""
    first = nn.Threshold(0.4, 0.0, inplace=True)
    return nn.Sequential(first, *small())


@INPLACE.add(picture="conv")
class InputNormalisedInPlace(Convolutional):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.sub_(0.5).div_(0.25))


@INPLACE.add(layers=False)
def function_that_writes_to_its_input() -> object:
    net = small().eval()

    def model(x: Tensor) -> Tensor:
        return net.to(x.dtype)(x.clamp_(0.1, 0.9).mul_(2))

    return model


@INPLACE.add(picture="conv")
class ChannelOfTheInputMasked(Convolutional):
    def forward(self, x: Tensor) -> Tensor:
        x[:, 0] = 0.5
        return super().forward(x)


@INPLACE.add(picture="conv")
class InputWrittenThroughAView(Convolutional):
    def forward(self, x: Tensor) -> Tensor:
        patch = x[:, :, 2:5, 2:5]
        patch.mul_(2)
        return super().forward(x)


@INPLACE.add(picture="conv")
class InputWrittenAtTheEnd(Convolutional):
    """What read it needs it for no derivative."""

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x * 1.5)
        x.zero_()
        return logits


@INPLACE.add(picture="bn")
class PartOfALayerScaledInPlace(Convolutional):
    def forward(self, x: Tensor) -> Tensor:
        h = self.bn(self.conv(x))
        h[:, ::2] *= 3
        h.view(-1).mul_(0.5)
        return self.read(torch.relu_(h))


@INPLACE.add(picture="conv")
class ChannelsWrittenOneByOne(Convolutional):
    def forward(self, x: Tensor) -> Tensor:
        out = torch.empty_like(x, memory_format=torch.contiguous_format)
        for channel in range(3):
            out[:, channel] = x[:, channel] * (channel + 1)
        return super().forward(out)


@INPLACE.add(picture="bn")
class DropoutAndActivationInPlace(Convolutional):
    def forward(self, x: Tensor) -> Tensor:
        h = functional.dropout(self.bn(self.conv(x)), 0.5, self.training, inplace=True)
        return self.read(functional.elu_(h))
