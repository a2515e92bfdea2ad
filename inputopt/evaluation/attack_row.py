"""What one attack of a protocol did."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AttackRow:
    """The results of one attack of a protocol.

    Attributes:
        name: name of the stage.
        tried: number of inputs that were attacked.
        fooled: positions of the inputs on which the attack succeeded.
        forwards, backwards: total number of forward and backward passes, counted per input.
        seconds: wall-clock time.
        attack: class of the attack, such as "PGD"; empty if it is not known.
        meaning: what the attack does and the paper it is from, in a phrase; empty if it is not known.
    """

    name: str
    tried: int
    fooled: tuple[int, ...]
    forwards: int
    backwards: int
    seconds: float
    attack: str = ""
    meaning: str = ""
