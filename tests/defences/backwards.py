"""Networks whose backward pass is cut, noisy or wrong."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from defences.defence import cnn, mlp


class Detached(nn.Module):
    """The image goes through numpy, as preprocessing in a data pipeline does."""

    def __init__(self) -> None:
        super().__init__()
        self.net = cnn()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(torch.from_numpy(x.detach().cpu().numpy()).to(x))


class PartlyDetached(nn.Module):
    """Only a weak path through the mean of the image has a derivative."""

    def __init__(self) -> None:
        super().__init__()
        self.net = cnn()

    def forward(self, x: Tensor) -> Tensor:
        brightness = x.mean((1, 2, 3), keepdim=True)
        return self.net(x.detach() + 1e-3 * (brightness - brightness.detach()))


class NoisyIdentity(torch.autograd.Function):
    """Identity whose backward adds noise that is much larger than the gradient."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        size = grad.flatten(1).abs().mean(1).reshape(-1, *[1] * (grad.ndim - 1))
        return grad + 8 * size * torch.randn_like(grad)


class NoisyBackward(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = cnn()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(NoisyIdentity.apply(x))


class Decoy(torch.autograd.Function):
    """Identity whose backward points to a fixed pattern instead."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        rows, columns = torch.meshgrid(torch.arange(28), torch.arange(28), indexing="ij")
        pattern = torch.where((rows // 4 + columns // 4) % 2 == 0, 1.0, -1.0).to(grad)
        return pattern.expand_as(grad) * grad.flatten(1).abs().amax(1).reshape(-1, 1, 1, 1)


class DecoyGradient(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = cnn()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(Decoy.apply(x))


class ReversedGradient(torch.autograd.Function):
    """Identity whose backward changes the sign of the gradient."""

    @staticmethod
    def forward(ctx, h):
        return h.view_as(h)

    @staticmethod
    def backward(ctx, grad):
        return -grad


class ReversedInside(nn.Module):
    """The gradient is reversed between two layers, in a list of layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(mlp().layers)

    def forward(self, x: Tensor) -> Tensor:
        hidden, out = self.layers
        return out(ReversedGradient.apply(hidden(x.flatten(1))))


class AntiAdversary(nn.Module):
    """Gradient steps raise the confidence of the network's own prediction (Alfarra et al., 2022), then it answers."""

    def __init__(self, steps: int = 3, rate: float = 0.15) -> None:
        super().__init__()
        self.net = cnn()
        self.steps, self.rate = steps, rate

    def forward(self, x: Tensor) -> Tensor:
        change = torch.zeros_like(x)
        with torch.enable_grad():
            guess = self.net(x.detach()).argmax(1)
            for _ in range(self.steps):
                change.requires_grad_()
                loss = nn.functional.cross_entropy(self.net(x.detach() + change), guess, reduction="sum")
                change = (change - self.rate * torch.autograd.grad(loss, change)[0].sign()).detach()
        return self.net(x + change)
