"""The answer of an evaluation, and how it was come by."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from inputopt.files import replacing, write_text


@dataclass(frozen=True)
class AttackRow:
    """What one attack of a protocol did.

    Attributes:
        name: the attack.
        tried: how many inputs were still standing when it began.
        fooled: the positions of those it fooled.
        forwards, backwards: how often it ran the network on an input, in all.
        seconds: how long it took.
    """

    name: str
    tried: int
    fooled: tuple[int, ...]
    forwards: int
    backwards: int
    seconds: float


@dataclass(frozen=True)
class Report:
    """How many inputs hold out against a protocol of attacks.

    Attributes:
        clean_accuracy: the share that is classified rightly as it is.
        robust_accuracy: the share that still is after every attack: an upper bound, never a proof. For a network that
            answers at random, both are means over examples and fresh draws.
        robust: which, bool [B]; for a random network, in more than half of the draws.
        x: for each input the one that fooled it, or fools a random network more often; else the input itself, [B, ...].
        attacks: a row an attack, in order.
        warnings: reasons to doubt the number.
        settings: all that the evaluation was asked for, the model and versions, in plain values.
        interval: the 95 % interval of `robust_accuracy`, were these inputs drawn from many.
    """

    clean_accuracy: float
    robust_accuracy: float
    robust: Tensor
    x: Tensor
    attacks: tuple[AttackRow, ...]
    warnings: tuple[str, ...]
    settings: dict[str, Any]
    interval: tuple[float, float] = (0.0, 1.0)

    def as_plain(self) -> dict[str, Any]:
        """Everything but the inputs, in plain values."""
        return {
            **self.settings,
            "clean_accuracy": self.clean_accuracy,
            "robust_accuracy": self.robust_accuracy,
            "interval": list(self.interval),
            "robust": self.robust.tolist(),
            "attacks": [asdict(row) for row in self.attacks],
            "warnings": list(self.warnings),
        }

    def save(self, folder: str | Path) -> None:
        """Write `report.json`, and the inputs as `x.safetensors`.

        Raises:
            FileError: the folder cannot be written to.
        """
        write_text(Path(folder) / "report.json", json.dumps(self.as_plain(), indent=2) + "\n")
        with replacing(Path(folder) / "x.safetensors") as temporary:
            save_file({"x": self.x.detach().cpu().contiguous(), "robust": self.robust.cpu()}, temporary)
