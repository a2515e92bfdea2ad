"""Defences that draw random numbers in the forward, in evaluation too."""

from __future__ import annotations

import random

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from defences.defence import cnn, mlp, robust_cnn
from inputopt.nets.cnn import DigitsCNN


class RandomResizePad(nn.Module):
    """Random resizing and padding (Xie et al., 2018); one size and place per forward."""

    def forward(self, x: Tensor) -> Tensor:
        side = int(torch.randint(25, 29, ()))
        left, top = (int(torch.randint(0, 29 - side, ())) for _ in range(2))
        x = functional.interpolate(x, (side, side), mode="bilinear", align_corners=False)
        return functional.pad(x, (left, 28 - side - left, top, 28 - side - top))


def resized_and_padded() -> nn.Module:
    return nn.Sequential(RandomResizePad(), cnn())


class NoisyNetwork(nn.Module):
    """Gaussian noise on the input, inline."""

    def __init__(self) -> None:
        super().__init__()
        self.net = cnn()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x + 0.2 * torch.randn_like(x))


class DropoutNetwork(nn.Module):
    """Dropout that stays active in evaluation (Monte Carlo dropout; Feinman et al., 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.net = mlp()

    def forward(self, x: Tensor) -> Tensor:
        x = functional.dropout(x.flatten(1), 0.2, training=True)
        hidden, out = self.net.layers
        return out(functional.dropout(hidden(x), 0.3, training=True))


class RandomMember(nn.Module):
    """One member of an ensemble, drawn for each forward."""

    def __init__(self) -> None:
        super().__init__()
        self.members = nn.ModuleList([cnn(), mlp(), robust_cnn()])

    def forward(self, x: Tensor) -> Tensor:
        return self.members[int(torch.randint(len(self.members), ()))](x)


class PrunedNetwork(DigitsCNN):
    """Stochastic activation pruning (Dhillon et al., 2018): large activations survive more often, and are rescaled."""

    samples = 1.0  # as a share of the activations

    def prune(self, h: Tensor) -> Tensor:
        flat = h.flatten(1)
        share = flat.abs() / flat.abs().sum(1, keepdim=True).clamp_min(1e-12)
        kept = 1 - (1 - share) ** (self.samples * flat.shape[1])
        alive = torch.rand_like(flat) < kept
        return torch.where(alive, flat / kept.clamp_min(1e-12), torch.zeros_like(flat)).reshape(h.shape)

    def forward(self, x: Tensor) -> Tensor:
        h = self.prune(torch.relu(self.conv1(x)))
        h = self.prune(torch.relu(self.conv2(h)))
        return self.linear2(self.prune(torch.relu(self.linear1(h.flatten(1)))))


def activation_pruning() -> nn.Module:
    net = PrunedNetwork()
    net.load_state_dict(cnn().state_dict())
    return net


class RandomMask(nn.Module):
    """Each pixel is taken from the image or from one of two blurred copies, by a random mask."""

    def __init__(self) -> None:
        super().__init__()
        self.blurs = nn.ModuleList([nn.AvgPool2d(3, 1, 1), nn.AvgPool2d(5, 1, 2, count_include_pad=False)])
        self.net = cnn()

    def forward(self, x: Tensor) -> Tensor:
        views = torch.stack([x, *(blur(x) for blur in self.blurs)])
        which = torch.multinomial(torch.tensor([0.6, 0.3, 0.1]), x.numel(), replacement=True).reshape(1, *x.shape)
        return self.net(views.gather(0, which.to(x.device))[0])


class PixelDeflection(nn.Module):
    """Random pixels are replaced by random neighbours, then the image is smoothed (Prakash et al., 2018)."""

    def __init__(self, pixels: int = 60, window: int = 2) -> None:
        super().__init__()
        self.pixels, self.window = pixels, window

    def sources(self, count: int) -> Tensor:
        """For each pixel of `count` images the index of the pixel whose value it takes, [count, 784]."""
        source = np.tile(np.arange(28 * 28).reshape(28, 28), (count, 1, 1))
        places = np.random.randint(0, 28, (self.pixels, count, 2))
        moves = np.random.randint(-self.window, self.window + 1, places.shape)
        every = np.arange(count)
        for place, near in zip(places, np.clip(places + moves, 0, 27), strict=True):
            source[every, place[:, 0], place[:, 1]] = source[every, near[:, 0], near[:, 1]]
        return torch.from_numpy(source).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        image = x.detach().flatten(1).gather(1, self.sources(len(x))).reshape(x.shape)
        return 0.75 * image + 0.25 * functional.avg_pool2d(image, 3, 1, 1)


class DeflectedNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.deflect = PixelDeflection()
        self.backbone = cnn()

    def forward(self, x: Tensor) -> Tensor:
        return self.backbone(self.deflect(x))


class Barrage(nn.Module):
    """Several weak random transforms in a random order (Raff et al., 2019), some of them without a derivative."""

    def __init__(self) -> None:
        super().__init__()
        self.net = cnn()

    @staticmethod
    def shift(x: Tensor) -> Tensor:
        return torch.roll(x, (random.randint(-1, 1), random.randint(-1, 1)), (2, 3))

    @staticmethod
    def quantise(x: Tensor) -> Tensor:
        levels = random.randint(5, 10)
        return torch.round(x * levels) / levels

    @staticmethod
    def contrast(x: Tensor) -> Tensor:
        return ((x - 0.5) * random.uniform(0.8, 1.2) + 0.5).clamp(0, 1)

    @staticmethod
    def noise(x: Tensor) -> Tensor:
        return x + 0.1 * torch.randn_like(x)

    def forward(self, x: Tensor) -> Tensor:
        transforms = [self.shift, self.quantise, self.contrast, self.noise]
        for transform in random.sample(transforms, 3):
            x = transform(x)
        return self.net(x)
