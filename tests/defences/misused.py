"""Sound networks that are given their inputs in the wrong form."""

from __future__ import annotations

from torch import Tensor, nn

from defences.defence import cnn, mlp
from inputopt import Frozen


def wrong_normalisation() -> Frozen:
    """Trained on images in [0, 1], and given a normalisation to [-1, 1]."""
    return Frozen(mlp(), mean=0.5, std=0.5)


class BytesExpected(nn.Module):
    """The preprocessing divides by 255 what is in [0, 1] already."""

    def __init__(self) -> None:
        super().__init__()
        self.net = cnn()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x / 255)


class Transposed(nn.Module):
    """Height and width are exchanged, as between libraries that disagree about their order."""

    def __init__(self) -> None:
        super().__init__()
        self.net = cnn()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.transpose(2, 3))
