"""Forwards that choose what to run by the input's shape, its values, or by what raised."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kinds.network import CLASSES, Convolutional, Kind

BRANCHES = Kind("branches")


@BRANCHES.add(picture="bn")
class BranchByShape(Convolutional):
    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] % 2:
            x = nn.functional.pad(x, (0, 1, 0, 1))
        return super().forward(x) if x.shape[-1] < 100 else super().forward(x[..., ::2, ::2])


@BRANCHES.add(picture="bn")
class BranchByEachRow(Convolutional):
    """Rows go separate ways, one at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Linear(8, CLASSES)

    def read(self, h: Tensor) -> Tensor:
        h = h.mean((2, 3))
        return torch.stack([self.head(row) if float(row[0].detach()) > 0.4 else self.other(row) for row in h])


@BRANCHES.add(picture="bn")
class ExpertsByRow(Convolutional):
    """A mixture of experts: each sees the rows that chose it, or none at all."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.experts = nn.Linear(8, 3), nn.ModuleList(nn.Linear(8, CLASSES) for _ in range(3))

    def read(self, h: Tensor) -> Tensor:
        h = h.mean((2, 3))
        weight, chosen = self.gate(h).softmax(1).max(1)
        out = h.new_zeros(len(h), CLASSES)
        for number, expert in enumerate(self.experts):
            rows = (chosen == number).nonzero()[:, 0]
            if len(rows):
                out = out.index_add(0, rows, expert(h[rows]))
        return out * weight[:, None] + self.head(h)


@BRANCHES.add(picture="bn")
class LoopUntilItSettles(Convolutional):
    """A fixed point, by as many rounds as the slowest row takes, and enough for all to agree in float64."""

    def read(self, h: Tensor) -> Tensor:
        h = state = h.mean((2, 3))
        for _ in range(100):
            new = h + 0.2 * torch.tanh(state.roll(1, 1))
            moved, state = float((new - state).detach().abs().max()), new
            if moved < 1e-12:
                break
        return self.head(state)


@BRANCHES.add(picture="bn")
class CatchesEveryException(Convolutional):
    """Falls back without a word when anything inside it raises, also what means to end a forward early."""

    def forward(self, x: Tensor) -> Tensor:
        try:
            h = self.bn(self.conv(x))
        except Exception:
            h = x.new_zeros(len(x), 8, 6, 6)
        return self.read(torch.relu(h))


@BRANCHES.add(picture="conv")
class TriesTheFastWayFirst(Convolutional):
    """Falls back to a slower way of the same when memory is laid out otherwise."""

    def read(self, h: Tensor) -> Tensor:
        try:
            flat = h.view(len(h), 8, 36)
        except RuntimeError:
            flat = h.reshape(len(h), 8, 36)
        return self.head(flat.mean(2))


@BRANCHES.add(picture="conv")
class WarnsInForward(Convolutional):
    """A warning of the user's own is none of ours, and no reason to fail."""

    def forward(self, x: Tensor) -> Tensor:
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.warn("This layer is deprecated.", DeprecationWarning, stacklevel=2)
        return super().forward(x)


@BRANCHES.add(picture="bn")
class TakesMoreArguments(Convolutional):
    def forward(self, x: Tensor, scale: float = 1.0, *rest: Tensor, **named: Tensor) -> Tensor:
        assert not rest
        assert not named
        return scale * super().forward(x)
