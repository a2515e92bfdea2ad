"""Forwards that derive, recompute or cut derivatives themselves."""

from __future__ import annotations

import io
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from kinds.network import CLASSES, Convolutional, Kind, perceptron
from kinds.wrapped import old

DERIVATIVES = Kind("derivatives inside forward")
NONE = Kind("without a derivative")
BFLOAT: dict[str, Any] = {
    "tolerance": 0.02,
    "gradient_tolerance": 0.1,
    "search_tolerance": 0.05,
    "reason": "bfloat16 has 8 bits: 2^-8 an operation",
}


@DERIVATIVES.add(picture="bn")
class DerivativeByTheInput(Convolutional):
    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x if x.requires_grad else x.clone().requires_grad_()
            out = super().forward(x)
            (slope,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
        return out - 0.1 * torch.stack([slope.flatten(1)[:, k::CLASSES].sum(1) for k in range(CLASSES)], 1)


@DERIVATIVES.add(picture="conv")
class DerivativeByTheWeights(Convolutional):
    """Adapts its head to the input for a step, as test-time training does, each example by itself."""

    def read(self, h: Tensor) -> Tensor:
        return torch.stack([self.adapted(row.detach()) @ row + self.head.bias for row in h.mean((2, 3))])

    def adapted(self, row: Tensor) -> Tensor:
        """The head's weights, a step further down the entropy of one example."""
        with torch.enable_grad():
            entropy = torch.distributions.Categorical(logits=self.head.weight @ row).entropy()
            (grad,) = torch.autograd.grad(entropy, self.head.weight)
        return self.head.weight - grad


@DERIVATIVES.add(picture="conv")
class BackwardIntoTheWeights(Convolutional):
    """Calls `.backward()` in its forward and reads the gradients that it leaves on a weight of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(8))

    def read(self, h: Tensor) -> Tensor:
        with torch.enable_grad():
            self.scale.grad = None
            (self.scale * torch.arange(1.0, 9.0, dtype=h.dtype)).square().sum().backward()
        assert self.scale.grad is not None
        return self.head(h.mean((2, 3)) * self.scale.grad / 32)


@DERIVATIVES.add(picture="bn")
class Checkpointed(Convolutional):
    def forward(self, x: Tensor) -> Tensor:
        return self.read(checkpoint(lambda x: torch.relu(self.bn(self.conv(x))), x, use_reentrant=False))


class Body(nn.Module):
    """A perceptron under the name that the checkpointed ones have for it."""

    def __init__(self) -> None:
        super().__init__()
        self.body = perceptron()

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


@DERIVATIVES.add(reference=Body)
class CheckpointedReentrantly(Body):
    """Allows `.backward()` alone, not `torch.autograd.grad`."""

    def forward(self, x: Tensor) -> Tensor:
        with old():
            return checkpoint(self.body, x, use_reentrant=True)


@DERIVATIVES.add()
class CheckpointedInSegments(Body):
    def forward(self, x: Tensor) -> Tensor:
        return checkpoint_sequential(self.body, 2, x, use_reentrant=False)


class Doubled(torch.autograd.Function):
    """A square whose derivative is stated by hand."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        return 2 * ctx.saved_tensors[0] * grad


class StraightThrough(torch.autograd.Function):
    """Rounded to sixteenths forward, unchanged backward."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return (x * 16).round() / 16

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        return grad


@DERIVATIVES.add(picture="bn")
class FunctionOfItsOwn(Convolutional):
    def read(self, h: Tensor) -> Tensor:
        return super().read(Doubled.apply(h))


@DERIVATIVES.add(picture="bn")
class StraightThroughRounding(Convolutional):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(StraightThrough.apply(x))


@DERIVATIVES.add(picture="bn")
class PartWithoutDerivative(Convolutional):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            mean = x.mean((2, 3), keepdim=True)
        return super().forward(x - mean) + 0.1 * mean[:, :1, 0, 0].detach()


@DERIVATIVES.add(picture="bn")
class DerivativesSwitchedOnInside(Convolutional):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            gate = torch.sigmoid(self.conv(x))
            with torch.enable_grad():
                h = self.bn(self.conv(x)) * gate
        return self.read(h)


@DERIVATIVES.add(picture="bn", **BFLOAT)
class AutocastInside(Convolutional):
    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=x.dtype == torch.float32):
            return super().forward(x).to(x.dtype)


@DERIVATIVES.add(picture="bn", **BFLOAT)
class AutocastInsideAndNotUndone(Convolutional):
    """Its logits are bfloat16."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=x.dtype == torch.float32):
            return super().forward(x)


@DERIVATIVES.add(picture="conv")
class GradientScaledByATensorHook(Convolutional):
    def read(self, h: Tensor) -> Tensor:
        if h.requires_grad:
            h.register_hook(lambda grad: grad * 2)
        return super().read(h)


@DERIVATIVES.add()
class NanGradients(Convolutional):
    """Finite everywhere; the root has no derivative where the corner is black."""

    def forward(self, x: Tensor) -> Tensor:
        corner = functional.relu(x[:, :, :2, :2] - 2).square().mean((1, 2, 3)).sqrt()
        return super().forward(x) + corner[:, None] * torch.eye(CLASSES, dtype=x.dtype)[1]


@DERIVATIVES.add(picture="conv")
class FlatActivation(Convolutional):
    """Rectifiers that are dead for many examples."""

    def read(self, h: Tensor) -> Tensor:
        return self.head(functional.hardtanh(4 * h - 8, 0, 1).flatten(2).amax(2))


# ------------------------------------------------------------------------------------------------- without a derivative
@NONE.add(no_derivative=True, reference=perceptron, tolerance=0.05, layers=False, reason="weights of 8 bits")
def quantised() -> nn.Module:
    with old():
        return torch.ao.quantization.quantize_dynamic(perceptron().eval(), {nn.Linear})


@NONE.add(no_derivative=True, layers=False)
class Detached(Convolutional):
    def read(self, h: Tensor) -> Tensor:
        return super().read(h).detach()


@NONE.add(no_derivative=True, layers=False)
class WithoutGradInside(Convolutional):
    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


@NONE.add(no_derivative=True, layers=False)
class InInferenceMode(Convolutional):
    @torch.inference_mode()
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


@NONE.add(no_derivative=True, layers=False)
class RoundedForAnEmbedding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.EmbeddingBag(17, 8), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.table((16 * x.flatten(1)).round().clamp(0, 16).long()))


@NONE.add(no_derivative=True, layers=False)
class ThroughNumpy(Convolutional):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.from_numpy(x.detach().cpu().numpy().clip(0.1, 0.9)))


@NONE.add(no_derivative=True, layers=False)
class ThroughAFile(Convolutional):
    """The input is written to a file and read again, as a defence by image compression does."""

    def forward(self, x: Tensor) -> Tensor:
        file = io.BytesIO()
        torch.save(x.detach(), file)
        file.seek(0)
        return super().forward(torch.load(file))
