"""The report of an evaluation: accuracies, adversarial examples, attacks, warnings and settings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from inputopt.evaluation.attack_row import AttackRow
from inputopt.evaluation.indicators import Indicator
from inputopt.files import replacing, write_text
from inputopt.images import are_images
from inputopt.search.result_files import stems_of, write_images
from inputopt.search.result_origin import bounds_of
from inputopt.summaries import Summarised, Summary, Table


@dataclass(frozen=True, repr=False)
class Report(Summarised):
    """The results of a protocol of attacks.

    Attributes:
        clean_accuracy: accuracy on the clean inputs.
        robust_accuracy: fraction classified correctly after every attack: an upper bound and no proof of robustness.
            For a random network, both accuracies are means over examples and fresh draws.
        robust: whether each input is robust, bool [B]; for a random network, in more than half of the draws.
        x: the adversarial example of each input, or for a random network the one that lowers its accuracy; else the
            clean input, [B, ...].
        attacks: one row per attack, in order.
        indicators: measured reasons to doubt the figure, in order.
        settings: arguments of the evaluation, the model, the number and shape of the inputs, whether labels were given,
            the date and versions, as JSON values.
        interval: 95 % confidence interval of `robust_accuracy`, with the inputs as a random sample.
        certified: whether each input is proven to be classified correctly in the whole ball, bool [B]; None if no
            certificate was computed.
        robust_accuracy_before_adapting: `robust_accuracy` before the remedies of `evaluate(..., adapt=True)`; None if
            none was applied.
    """

    clean_accuracy: float
    robust_accuracy: float
    robust: Tensor
    x: Tensor
    attacks: tuple[AttackRow, ...]
    indicators: tuple[Indicator, ...]
    settings: dict[str, Any]
    interval: tuple[float, float] = (0.0, 1.0)
    certified: Tensor | None = None
    robust_accuracy_before_adapting: float | None = None

    @property
    def certified_accuracy(self) -> float | None:
        """Fraction of the inputs that is proven to be robust, a lower bound; None if no certificate was computed."""
        return None if self.certified is None else float(self.certified.double().mean())

    @property
    def warnings(self) -> tuple[str, ...]:
        """The indicators as sentences."""
        return tuple(str(each) for each in self.indicators)

    def as_plain(self) -> dict[str, Any]:
        """All fields except `x`, as JSON values."""
        return {
            **self.settings,
            "clean_accuracy": self.clean_accuracy,
            "robust_accuracy": self.robust_accuracy,
            "robust_accuracy_before_adapting": self.robust_accuracy_before_adapting,
            "interval": list(self.interval),
            "robust": self.robust.tolist(),
            "certified_accuracy": self.certified_accuracy,
            "certified": None if self.certified is None else self.certified.tolist(),
            "attacks": [asdict(row) for row in self.attacks],
            "warnings": list(self.warnings),
            "indicators": [asdict(each) for each in self.indicators],
        }

    def save(self, folder: str | Path, names: Sequence[str | Path] | None = None) -> None:
        """Write `report.json`, and `x.safetensors` with `x` and `robust`.

        Args:
            folder: where to write; it is made if needed.
            names: names of the inputs, as for `Result.save`; if given, and if the inputs are images, the image of each
                input that is not robust is also written under its name, as an 8-bit PNG.

        Raises:
            ValueError: names that are not one per input, not unique, or outside the folder.
            FileError: the folder cannot be written to.
        """
        stems = None if names is None else stems_of(names, len(self.x))
        bounds = bounds_of(self.settings.get("model", {}))
        if stems is not None and bounds is not None and are_images(self.x, bounds):
            fooled = [row for row, robust in enumerate(self.robust.tolist()) if not robust]
            write_images(self.x[fooled], bounds, [Path(folder) / f"{stems[row]}.png" for row in fooled])
        write_text(Path(folder) / "report.json", json.dumps(self.as_plain(), indent=2) + "\n")
        with replacing(Path(folder) / "x.safetensors") as temporary:
            save_file({"x": self.x.detach().cpu().contiguous(), "robust": self.robust.cpu()}, temporary)

    def _summary(self, images: bool) -> Summary:
        low, high = map(_percent, self.interval)
        facts = [
            ("clean accuracy", _percent(self.clean_accuracy)),
            ("robust accuracy at most", f"{_percent(self.robust_accuracy)} (95 % interval: {low} to {high})"),
        ]
        settings = self.settings
        if settings:
            facts += [("in", f"{settings['norm']} {_eps_text(settings['eps'])}"), ("preset", settings["preset"])]
        facts.append(("", f"{len(self.robust)} inputs"))
        if self.indicators:
            facts.append(("", f"{len(self.indicators)} warning{'s' * (len(self.indicators) > 1)}"))
        tables = [Table(HEADS, [_cells(row) for row in self.attacks])]
        if self.indicators:
            tables.append(Table(["indicator", "meaning"], [[each.id, str(each)] for each in self.indicators]))
        return Summary("Report", facts, _details(settings), tables=tables)


HEADS = ("attack", "tried on", "fooled", "forwards", "backwards", "seconds")


def _cells(row: AttackRow) -> list[str]:
    counts = (row.tried, len(row.fooled), row.forwards, row.backwards)
    return [row.name, *(f"{count:,}" for count in counts), f"{row.seconds:.2f}"]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _eps_text(eps: Any) -> str:
    """One distance, or the range of several."""
    return f"{min(eps):g} to {max(eps):g}" if isinstance(eps, list) else f"{eps:g}"


def _details(settings: dict[str, Any]) -> list[tuple[str, str]]:
    """What was evaluated, and when."""
    details = []
    if "model" in settings:
        details.append(("model", str(settings["model"]["name"] or settings["model"]["class"])))
    names = ("labels", "levels", "seed", "date")
    return details + [(name, str(settings[name])) for name in names if settings.get(name) is not None]
