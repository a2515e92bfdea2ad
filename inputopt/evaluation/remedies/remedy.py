"""What a remedy did, and the evaluation after all of them."""

from __future__ import annotations

from dataclasses import dataclass

from inputopt.evaluation.attack_row import AttackRow
from inputopt.evaluation.remedies.rejection import Rejection
from inputopt.evaluation.state import EvaluationState
from inputopt.wilson_interval import accuracy_text


@dataclass(frozen=True)
class Remedy:
    """One remedy that was applied.

    Attributes:
        name: what was done, as a noun phrase.
        fooled: how many more inputs it fooled.
        before, after: share of the inputs that were robust before and after it; for a random network over draws.
        count: number of inputs that the shares are of.
    """

    name: str
    fooled: int
    before: float
    after: float
    count: int

    def __str__(self) -> str:
        subject = f"{self.name[:1].upper()}{self.name[1:]}"
        if self.after >= self.before:
            return f"{subject} fooled no further input."
        plural = "s" * (self.fooled != 1)
        before, after = (accuracy_text(share, self.count) for share in (self.before, self.after))
        return f"{subject} fooled {self.fooled} more input{plural}: robust accuracy {before} -> {after}."


@dataclass(frozen=True)
class Adapted:
    """An evaluation after the remedies.

    Attributes:
        state: the state after the last attack.
        rows: one per attack.
        remedies: what was applied, in order.
        rejection: robustness where a rejected input counts as withstood, for a model with a reject class.
    """

    state: EvaluationState
    rows: tuple[AttackRow, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    rejection: Rejection | None = None
