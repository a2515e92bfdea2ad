"""Defences that clean the input before the network, without a derivative."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from defences.defence import cnn, mlp
from defences.fitting import pixel_statistics
from inputopt import Frozen
from inputopt.nets.cnn import DigitsCNN


class JpegNetwork(nn.Module):
    """JPEG compression (Dziugaite et al., 2016) by Pillow, in a method of the network."""

    def __init__(self, quality: int = 40) -> None:
        super().__init__()
        self.quality = quality
        self.model = cnn()

    def compress(self, x: Tensor) -> Tensor:
        decoded = []
        for image in x.detach().cpu().mul(255).round().to(torch.uint8).numpy():
            file = io.BytesIO()
            Image.fromarray(image[0]).save(file, "JPEG", quality=self.quality)
            decoded.append(np.asarray(Image.open(file), dtype=np.float32) / 255)
        return torch.from_numpy(np.stack(decoded))[:, None].to(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(self.compress(x))


class MedianFilter(nn.Module):
    """Median of each 3x3 window (Xu et al., 2018)."""

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        windows = functional.unfold(functional.pad(x, (1, 1, 1, 1), "reflect"), 3)
        return windows.median(1).values.reshape(x.shape)


def median_filtered() -> nn.Module:
    return nn.Sequential(MedianFilter(), cnn())


def total_variation(x: Tensor, weight: float = 0.1, steps: int = 20) -> Tensor:
    """Total-variation denoising (Rudin et al., 1992) by Chambolle's dual projection (2004)."""
    dual = x.new_zeros(2, *x.shape)
    for _ in range(steps):
        image = x - weight * _divergence(dual)
        gradient = _gradient(image)
        size = gradient.square().sum(0).sqrt()
        dual = (dual - 0.25 / weight * gradient) / (1 + 0.25 / weight * size)
    return x - weight * _divergence(dual)


def _gradient(image: Tensor) -> Tensor:
    down = functional.pad(image[..., 1:, :] - image[..., :-1, :], (0, 0, 0, 1))
    right = functional.pad(image[..., 1:] - image[..., :-1], (0, 1))
    return torch.stack([down, right])


def _divergence(dual: Tensor) -> Tensor:
    down, right = dual
    above = functional.pad(down[..., :-1, :], (0, 0, 1, 0))
    left = functional.pad(right[..., :-1], (1, 0))
    return down - above + right - left


class TotalVariationNetwork(DigitsCNN):
    """The network of digits, subclassed: it denoises what it is given (Guo et al., 2018)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(total_variation(x.detach()).clamp(0, 1))


def total_variation_network() -> nn.Module:
    net = TotalVariationNetwork()
    net.load_state_dict(cnn().state_dict())
    return net


class Purifier(nn.Module):
    """Gradient steps on an energy: the distance from the span of the digits' principal components, and from the input.

    In the spirit of Samangouei et al. (2018), with a linear generator.
    """

    def __init__(self, components: int = 60, steps: int = 8, rate: float = 0.5, fidelity: float = 0.2) -> None:
        super().__init__()
        mean, _, vectors = pixel_statistics()
        self.register_buffer("mean", mean.float())
        self.register_buffer("basis", vectors[:, -components:].float())
        self.steps, self.rate, self.fidelity = steps, rate, fidelity

    def forward(self, x: Tensor) -> Tensor:
        given = x.detach().flatten(1)
        mean, basis = self.get_buffer("mean"), self.get_buffer("basis")
        purified = given.clone()
        with torch.enable_grad():
            for _ in range(self.steps):
                purified.requires_grad_()
                rest = purified - mean
                rest = rest - rest @ basis @ basis.T
                energy = rest.square().sum() / 2 + self.fidelity * (purified - given).square().sum() / 2
                (gradient,) = torch.autograd.grad(energy, purified)
                purified = (purified - self.rate * gradient).detach()
        return purified.clamp(0, 1).reshape(x.shape)


class PurifiedNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.purify = Purifier()
        self.classifier = cnn()

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.purify(x))


class DiffusionPurified(nn.Module):
    """Noise is added and removed in several steps (Nie et al., 2022), with the best linear denoiser for the digits.

    The denoiser is the posterior mean under a normal distribution of the digits' mean and covariance; the steps from
    one noise level to the next are deterministic (Song et al., 2021).
    """

    levels = (0.2, 0.15, 0.1, 0.05, 0.0)

    def __init__(self) -> None:
        super().__init__()
        mean, values, vectors = pixel_statistics()
        self.register_buffer("mean", mean.float())
        self.register_buffer("values", values.float())
        self.register_buffer("vectors", vectors.float())
        self.net = cnn()

    def denoise(self, x: Tensor, level: float) -> Tensor:
        mean, values, vectors = (self.get_buffer(name) for name in ("mean", "values", "vectors"))
        return mean + ((x - mean) @ vectors * (values / (values + level**2))) @ vectors.T

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            flat = x.flatten(1)
            flat = flat + self.levels[0] * torch.randn_like(flat)
            for level, lower in zip(self.levels, self.levels[1:], strict=False):
                guess = self.denoise(flat, level)
                flat = guess + lower / level * (flat - guess)
        return self.net(flat.reshape(x.shape).clamp(0, 1))


def low_pass_function() -> Frozen:
    """A plain function with numpy in it: the low frequencies of the image go to the network."""
    net = mlp().eval()

    def classify(x: Tensor) -> Tensor:
        spectrum = np.fft.rfft2(x.detach().numpy())
        keep = np.add.outer(np.abs(np.fft.fftfreq(28)), np.fft.rfftfreq(28)) < 0.3
        return net(torch.from_numpy(np.fft.irfft2(spectrum * keep, s=(28, 28))).to(x))

    return Frozen(classify)


def weights_in_a_closure() -> Frozen:
    """Functional code without modules: weights are tensors, and the image is smoothed and cut off at thresholds."""
    weights: dict[str, Any] = {name: each.detach().clone() for name, each in cnn().named_parameters()}

    def apply(name: str, function: Any, h: Tensor, **options: int) -> Tensor:
        return function(h, weights[name + ".weight"].to(h), weights[name + ".bias"].to(h), **options)

    def classify(x: Tensor) -> Tensor:
        smooth = functional.avg_pool2d(functional.pad(x, (1, 1, 1, 1)), 3, stride=1)
        x = (
            torch.where(x > 0.5, torch.ceil(8 * (0.8 * x + 0.2 * smooth)), torch.floor(8 * (0.8 * x + 0.2 * smooth)))
            / 8
        )
        h = torch.relu(apply("conv1", functional.conv2d, x, stride=2, padding=1))
        h = torch.relu(apply("conv2", functional.conv2d, h, stride=2, padding=1)).flatten(1)
        return apply("linear2", functional.linear, torch.relu(apply("linear1", functional.linear, h)))

    return Frozen(classify)
