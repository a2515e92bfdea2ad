"""Which indicators ask for remedies, and what they say once these were applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from inputopt.evaluation.indicators.indicator import Effect, Indicator
from inputopt.evaluation.remedies.remedy import Adapted

ADAPTABLE = (
    "no_gradient",
    "zero_gradient",
    "vanishing_gradient",
    "shattered_gradient",
    "noisy_loss",
    "gradient_masking",
    "unbounded_attack_fails",
    "larger_eps_fools_fewer",
    "probabilities",
    "hard_labels",
    "random_network",
    "stateful_network",
    "batch_dependence",
)
"""Indicators of attacks that fail because of the gradient, randomness or the batch, the most specific first."""

REJECT = "reject_class"

NOTHING = "No repair of the gradient that was tried fools more inputs than the model's own gradient."


def asks_for_remedies(found: Sequence[Indicator]) -> bool:
    """Whether any indicator gives a reason to apply remedies."""
    return any(each.id in (*ADAPTABLE, REJECT) for each in found)


LEFT = "What remains is an attack that is written for this model (Tramèr et al., 2020)."
"""The advice of an indicator whose remedies had no effect."""

NEEDLESS = "No input was left to attack, so no remedy was needed."


def with_applied(
    found: Sequence[Indicator], adapted: Adapted, lowered: bool, left: bool = True
) -> tuple[Indicator, ...]:
    """The indicators with what was applied: in full for the most specific one, and by reference for the others.

    Args:
        found: the indicators of the evaluation before remedies.
        adapted: what the remedies did.
        lowered: whether the robust accuracy after the final check is lower than before.
        left: whether any input was still robust before the remedies.
    """
    fired = {each.id for each in found}
    main = next((name for name in ADAPTABLE if name in fired), None)
    told = " ".join(map(str, adapted.remedies)) or (NOTHING if left else NEEDLESS)
    texts = {name: told if name == main else f"See {main} for the remedies." for name in ADAPTABLE}
    effect: Effect = "lowered" if lowered else "unchanged" if left else "not affected"
    effects: dict[str, Effect] = dict.fromkeys(texts, effect)
    # attacks that no indicator affects need no remedy that finds more
    asked = [each for each in found if each.id in ADAPTABLE]
    closed = asked if not lowered and all(each.effect == "not affected" for each in asked) else []
    if adapted.rejection is not None:
        texts[REJECT], effects[REJECT] = str(adapted.rejection), "measured"
    after = [
        replace(
            each,
            applied=" ".join(filter(None, (each.applied, texts.get(each.id, "")))),
            effect=each.effect if each in closed else effects.get(each.id, each.effect),
        )
        for each in found
    ]
    return tuple(
        replace(each, remedy=LEFT if each.id == main else "") if each.effect == "unchanged" else each for each in after
    )
