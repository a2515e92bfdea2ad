"""A small convolutional network for digits: two strided convolutions and two linear layers (Wong and Kolter, 2018)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class DigitsCNN(nn.Module):
    """Digit classifier: images [B, 1, 28, 28] -> logits [B, classes] (the small network of Wong and Kolter, 2018).

    Args:
        width: channels of the first convolution; the second has twice as many.
        hidden: neurons of the first linear layer.
        classes: number of logits.
        seed: random seed of the initial weights (He et al., 2015).
    """

    def __init__(self, width: int = 16, hidden: int = 100, classes: int = 10, seed: int = 0) -> None:
        super().__init__()
        self._config = {"width": width, "hidden": hidden, "classes": classes}
        self.conv1 = nn.Conv2d(1, width, 4, stride=2, padding=1)
        self.conv2 = nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)
        self.linear1 = nn.Linear(2 * width * 49, hidden)
        self.linear2 = nn.Linear(hidden, classes)
        generator = torch.Generator().manual_seed(seed)
        for layer in (self.conv1, self.conv2, self.linear1, self.linear2):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
            nn.init.constant_(layer.get_parameter("bias"), 0)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [B, classes] of images [B, 1, 28, 28] in [0, 1]."""
        x = torch.relu(self.conv2(torch.relu(self.conv1(x))))
        return self.linear2(torch.relu(self.linear1(x.flatten(1))))

    def config(self) -> dict[str, Any]:
        """Return the keyword arguments of `DigitsCNN` that rebuild this architecture."""
        return dict(self._config)
