"""Indicators: measured reasons to doubt a robustness figure, and what they are computed from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from inputopt.evaluation.attack_row import AttackRow
from inputopt.search.network_traits import NetworkTraits


@dataclass(frozen=True)
class Indicator:
    """One reason to doubt a robustness figure.

    Attributes:
        id: its name, the same in every report and version.
        value: what was measured: a share, a count, or 1 for a yes.
        meaning: one sentence on what it means for the figure.
        remedy: one sentence on what to do; empty if there is nothing to do.
        threshold: the value from which on the indicator is reported; the reason for it is in its file.
        applied: one sentence on the remedy that the evaluation applied and what it changed; empty if none was.
    """

    id: str
    value: float
    meaning: str
    remedy: str = ""
    threshold: float = 0.0
    applied: str = ""

    def __str__(self) -> str:
        return f"{self.meaning} {self.applied or self.remedy}".strip()


@dataclass(frozen=True)
class Evidence:
    """What an evaluation of B inputs measured.

    Attributes:
        traits: of the model.
        eot_samples: random draws that the attacks averaged over.
        zero_gradients: the share of the clean inputs at which the gradient of the margin is exactly zero.
        rows: of the attacks, in order.
        nonfinite_clean: inputs whose logits are not finite, bool [B].
        nonfinite_met: inputs at which any attack met logits or gradients that are not finite, bool [B].
        unconfirmed: how many images fooled the model in an attack but not in the final check.
        batch_dependent: whether the final images were checked one at a time, since logits depend on the batch.
    """

    traits: NetworkTraits
    eot_samples: int
    zero_gradients: float
    rows: Sequence[AttackRow]
    nonfinite_clean: Tensor
    nonfinite_met: Tensor
    unconfirmed: int
    batch_dependent: bool


Check = Callable[[Evidence], Indicator | None]
"""Computes an indicator; None if it gives no reason to doubt."""
