"""Training of small networks for defences that need weights of their own, in seconds and always the same."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from inputopt.zoo.digits import Digits, load_digits

BATCH = 100
Loss = Callable[[Tensor, Tensor], Tensor]


@functools.cache
def digits() -> Digits:
    """The digits, read once."""
    return load_digits()


@functools.cache
def pixel_statistics() -> tuple[Tensor, Tensor, Tensor]:
    """Mean [784], and eigenvalues [784] (ascending) and eigenvectors [784, 784] of the training pixels' covariance."""
    pixels = digits().x.flatten(1).double()
    mean = pixels.mean(0)
    values, vectors = torch.linalg.eigh((pixels - mean).T @ (pixels - mean) / len(pixels))
    return mean, values.clamp_min(0), vectors


def seeded(build: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """A module whose initial weights are drawn with `seed`; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def fit(
    net: nn.Module,
    targets: Tensor | None = None,
    loss: Loss = functional.cross_entropy,
    epochs: int = 8,
    rate: float = 2e-3,
    each_epoch: Callable[[int], None] | None = None,
) -> nn.Module:
    """Train on the 4,000 training digits with Adam (Kingma and Ba, 2015), in float64.

    Rounding differs between machines and thread counts; in float64 it stays far below what float32 weights keep.

    Args:
        net: the network, changed in place; its weights are float32 before and after.
        targets: one per training digit, [4000, ...]; default: the labels.
        loss: (outputs [B, ...], targets [B, ...]) -> scalar.
        epochs: passes over the digits.
        rate: the first learning rate, which falls linearly.
        each_epoch: called with the epoch's number before it starts.
    """
    data = digits()
    x, y = data.x.double(), data.y if targets is None else targets
    generator = torch.Generator().manual_seed(0)
    net.double().train()
    optimiser = torch.optim.Adam(net.parameters(), rate)
    steps = epochs * (len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: max(0.0, 1 - step / steps))
    for epoch in range(epochs):
        if each_epoch is not None:
            each_epoch(epoch)
        for rows in torch.randperm(len(x), generator=generator).split(BATCH):
            optimiser.zero_grad()
            loss(net(x[rows]), y[rows]).backward()
            optimiser.step()
            schedule.step()
    net.zero_grad()
    return net.float().eval()
