"""What a search has cost and met: counted where it happens, by the oracles, for each example."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class _Entry:
    examples: Tensor
    forwards: int = 0
    backwards: int = 0
    nothing: Tensor | None = None


class QueryCounter:
    """Counts forwards and backwards of each example, and notes which met numbers that are not finite.

    No tensor operation is spent on a step that meets none: steps on the same rows are counted as one number, since the
    loop keeps the same `Problem.example` as long as no row is dropped. All searches of a call share one meter, which
    goes on counting from one to the next.
    """

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._settled = torch.zeros(3, 0, dtype=torch.int64)  # forwards, backwards, steps with numbers not finite

    def forward(self, examples: Tensor, times: int = 1) -> None:
        """The network was run `times` times on the rows of `examples`, int64 [B]."""
        self._entry(examples).forwards += times

    def backward(self, examples: Tensor, times: int = 1) -> None:
        """`times` backwards were made for the rows of `examples`, int64 [B]."""
        self._entry(examples).backwards += times

    def note_nonfinite(self, examples: Tensor, nothing: Tensor) -> None:
        """Logits or gradients of `examples` were met: finite where `nothing` [B] is 0, not where it is NaN."""
        entry = self._entry(examples)
        entry.nothing = nothing if entry.nothing is None else entry.nothing + nothing

    def totals(self, examples: Tensor) -> tuple[Tensor, Tensor]:
        """Forwards and backwards of `examples`, int64 [B], so far: int64 [B] each."""
        forwards, backwards, _ = self._of(examples)
        return forwards, backwards

    def nonfinite(self, examples: Tensor) -> Tensor:
        """Which of `examples`, int64 [B], met logits or gradients that are not finite so far, bool [B]."""
        return self._of(examples)[2] > 0

    def _of(self, examples: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        for entry in self._entries:
            rows = entry.examples.cpu()
            self._grow(rows)
            met = torch.zeros_like(rows) if entry.nothing is None else entry.nothing.isnan().cpu().long()
            counts = [torch.full_like(rows, entry.forwards), torch.full_like(rows, entry.backwards), met]
            self._settled = self._settled.index_add(1, rows, torch.stack(counts))
        self._entries.clear()
        self._grow(examples.cpu())
        forwards, backwards, met = self._settled[:, examples.cpu()].to(examples.device)
        return forwards, backwards, met

    def _grow(self, examples: Tensor) -> None:
        missing = int(examples.max()) + 1 - self._settled.shape[1] if len(examples) else 0
        if missing > 0:
            self._settled = torch.cat([self._settled, self._settled.new_zeros(3, missing)], dim=1)

    def _entry(self, examples: Tensor) -> _Entry:
        if not self._entries or self._entries[-1].examples is not examples:
            self._entries.append(_Entry(examples))
        return self._entries[-1]
