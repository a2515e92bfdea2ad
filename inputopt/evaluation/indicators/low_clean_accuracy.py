"""Clean accuracy is near chance, or far below that of rescaled inputs: wrong normalisation or order of axes."""

from __future__ import annotations

from inputopt.evaluation.indicators.indicator import Evidence, Indicator, share_of
from inputopt.evaluation.probes.rescaled_inputs import RescaledInputs
from inputopt.wilson_interval import accuracy_text

GAIN = 0.15
"""Gain of accuracy by a change of the inputs: three standard errors of 64 inputs at an accuracy of 0.8."""

SMALL_GAIN, OF_ERRORS, UNLIKELY = 0.05, 0.5, 0.001
"""A smaller gain counts if it also removes this share of the errors and is this unlikely by chance, by a sign test."""

CHANCE = 2.0
"""Multiple of the accuracy of guessing up to which clean accuracy is near chance."""

INPUTS = 16
"""Fewest inputs from which a clean accuracy near chance is concluded."""

LOW = 0.9
"""Clean accuracy below which changes of the inputs are tried."""


def low_clean_accuracy(evidence: Evidence) -> Indicator | None:
    """The figure says little about a model that is given its inputs in the wrong form."""
    clean, found = share_of(evidence.correct), evidence.rescaled
    as_given = accuracy_text(clean, len(evidence.correct))
    if found is not None and is_better(found):
        return Indicator(
            "low_clean_accuracy",
            clean,
            f"Clean accuracy is {as_given}, and {accuracy_text(found.accuracy, found.count)} for inputs that are "
            f"{found.change}: the model is given its inputs in the wrong form.",
            f"Give it inputs that are {found.change}, for example by mean= and std= of Frozen (`--mean`, `--std`).",
            LOW,
        )
    if len(evidence.correct) >= INPUTS and clean <= CHANCE / evidence.traits.classes:
        return Indicator(
            "low_clean_accuracy",
            clean,
            f"Clean accuracy is {as_given}, near chance: labels, normalisation or weights are wrong.",
            "Check the order of the classes, the normalisation and the weights.",
            CHANCE / evidence.traits.classes,
        )
    return None


def is_better(found: RescaledInputs) -> bool:
    """Whether the model classifies the changed inputs so much better that they are the form it was trained on."""
    gain = found.accuracy - found.plain
    least = max(SMALL_GAIN, OF_ERRORS * (1 - found.plain))
    return gain >= GAIN or (gain >= least and found.chance <= UNLIKELY)
