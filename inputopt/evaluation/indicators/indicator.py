"""Indicators: measured reasons to doubt a robustness figure, and what they are computed from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from inputopt.evaluation.attack_row import AttackRow
from inputopt.evaluation.probes.flat_cause import FlatCause
from inputopt.evaluation.probes.gradient_agreement import GradientAgreement
from inputopt.evaluation.probes.rescaled_inputs import RescaledInputs
from inputopt.evaluation.probes.unbounded_attack import UnboundedAttack
from inputopt.search.network_traits import NetworkTraits

Effect = Literal["not applied", "lowered", "unchanged", "not affected", "measured"]
"""What came of the remedy of an indicator."""


STATES: dict[Effect, str] = {
    "not applied": "open",
    "unchanged": "open: remedies had no effect",
    "lowered": "acted on: the figure is lower",
    "not affected": "these attacks are not affected",
    "measured": "a further figure was measured",
}
"""Words for each effect of an indicator's remedy."""


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
        effect: what came of it: "not applied"; "lowered", if the remedies lowered the robust accuracy; "unchanged", if
            none did; "not affected", if what was measured does not matter to the attacks of the evaluation; "measured",
            if the remedy is a further figure. With "not applied" and "unchanged" the reason to doubt remains.
    """

    id: str
    value: float
    meaning: str
    remedy: str = ""
    threshold: float = 0.0
    applied: str = ""
    effect: Effect = "not applied"

    @property
    def is_open(self) -> bool:
        """Whether the reason to doubt the figure remains: no remedy was applied, or none had an effect."""
        return self.effect in ("not applied", "unchanged")

    def __str__(self) -> str:
        return " ".join(filter(None, (self.meaning, self.applied, self.remedy if self.is_open else "")))


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What an evaluation of B inputs measured.

    Attributes:
        traits: of the model.
        eot_samples: random draws that the attacks averaged over.
        label: the labels, int64 [B].
        logits: outputs at the clean inputs, [B, n].
        correct: which clean inputs are classified correctly, bool [B].
        fooled_class: the class of each adversarial example, int64 [B]; -1 without one.
        agreement: whether gradients predict the outputs at the clean inputs; None if no input could be probed.
        later: the same at the inputs that the first attack failed to fool; None if this was not needed.
        cause: why gradients are zero or vanish; None if they do not.
        unbounded: the attack without a bound on the distance; None if it was not run.
        rescaled: the change of the inputs with the highest accuracy; None unless clean accuracy is low.
        spread: standard deviation of a random model's margins over draws, relative to the margins.
        rows: of the attacks, in order.
        late: how many inputs the last gradient attack fooled in the last tenth of its steps.
        nonfinite_clean: inputs whose logits are not finite, bool [B].
        nonfinite_met: inputs at which any attack met logits or gradients that are not finite, bool [B].
        unconfirmed: how many images fooled the model in an attack but not in the final check.
        batch_dependent: whether the final images were checked one at a time, since logits depend on the batch.
        changed_alone: share of the final images whose class in a batch and alone differ.
        largest_input: largest magnitude of a normalised input within the bounds; 0 without normalisation.
        sparse: whether the norm is L0, in which gradient-free searches find more also on sound networks.
    """

    traits: NetworkTraits
    label: Tensor
    logits: Tensor
    correct: Tensor
    fooled_class: Tensor
    nonfinite_clean: Tensor
    nonfinite_met: Tensor
    eot_samples: int = 1
    agreement: GradientAgreement | None = None
    later: GradientAgreement | None = None
    cause: FlatCause | None = None
    unbounded: UnboundedAttack | None = None
    rescaled: RescaledInputs | None = None
    spread: float = 0.0
    rows: Sequence[AttackRow] = ()
    late: int = 0
    unconfirmed: int = 0
    batch_dependent: bool = False
    changed_alone: float = 0.0
    sparse: bool = False
    largest_input: float = 0.0

    @property
    def has_gradient(self) -> bool:
        """Whether the model has a derivative."""
        return self.agreement is None or self.agreement.has_gradient

    @property
    def fooled(self) -> Tensor:
        """Whether an attack fooled the input, bool [B]."""
        return self.fooled_class >= 0


Check = Callable[[Evidence], Indicator | None]
"""Computes an indicator; None if it gives no reason to doubt."""


def share_of(mask: Tensor) -> float:
    """The share of True in bool [n]; 0 if it is empty."""
    return float(mask.double().mean()) if len(mask) else 0.0


def percent(share: float) -> str:
    """A share in percent, for a sentence."""
    return f"{100 * share:.1f} %"
