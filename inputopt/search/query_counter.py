"""Count forward and backward passes and non-finite values for each example; the oracles update the counts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt.search.host_sync import immediate


@dataclass
class _Entry:
    examples: Tensor
    forwards: int = 0
    backwards: int = 0
    nothing: Tensor | None = None


class QueryCounter:
    """Counts forward and backward passes of each example, and records which had non-finite logits or gradients.

    Steps without non-finite values take no tensor operation: steps on the same rows share one entry of integers, since
    the loop keeps the same `Problem.example` tensor until a row is dropped. All searches of a call share one counter,
    so its counts are cumulative.
    """

    def __init__(self) -> None:
        self._slope: Tensor | bool | None = None
        self._entries: list[_Entry] = []
        self._settled = torch.zeros(3, 0, dtype=torch.int64)  # forwards, backwards, entries with non-finite values

    def forward(self, examples: Tensor, times: int = 1) -> None:
        """Count `times` forward passes for `examples`, int64 [B]."""
        self._entry(examples).forwards += times

    def backward(self, examples: Tensor, times: int = 1) -> None:
        """Count `times` backward passes for `examples`, int64 [B]."""
        self._entry(examples).backwards += times

    def note_nonfinite(self, examples: Tensor, nothing: Tensor) -> None:
        """Record non-finite values of `examples`: `nothing` [B] is 0 where logits or gradients are finite, else NaN."""
        entry = self._entry(examples)
        entry.nothing = nothing if entry.nothing is None else entry.nothing + nothing

    def note_gradient(self, grad: Tensor) -> None:
        """Record whether a finite gradient [B, ...] has an element that is not zero; free once one had."""
        if self._slope is True:
            return
        found = (grad != 0).any()
        if immediate(grad):
            self._slope = bool(found)
        else:
            self._slope = found if self._slope is None else found | self._slope

    @property
    def has_gradients(self) -> bool:
        """Whether gradients were computed."""
        return self._slope is not None

    @property
    def only_zero_gradients(self) -> bool:
        """Whether gradients were computed, and every element of all of them was zero, NaN or infinite."""
        return self._slope is not None and not bool(self._slope)

    def totals(self, examples: Tensor) -> tuple[Tensor, Tensor]:
        """Forward and backward passes of `examples`, int64 [B], so far: int64 [B] each."""
        forwards, backwards, _ = self._counts_of(examples)
        return forwards, backwards

    def nonfinite(self, examples: Tensor) -> Tensor:
        """Which of `examples`, int64 [B], have had non-finite logits or gradients so far, bool [B]."""
        return self._counts_of(examples)[2] > 0

    def _counts_of(self, examples: Tensor) -> tuple[Tensor, Tensor, Tensor]:
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
        entry = self._entries[-1] if self._entries else None
        if entry is None or entry.examples is not examples:
            entry = _Entry(examples)
            self._entries.append(entry)  # never read back: another thread may append its own
        return entry
