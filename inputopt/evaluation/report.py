"""The report of an evaluation: accuracies, adversarial examples, attacks, warnings and settings."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import save_file
from torch import Tensor, nn

from inputopt.evaluation.attack_row import AttackRow
from inputopt.evaluation.confidence import Interval, wilson
from inputopt.evaluation.indicators import Indicator
from inputopt.evaluation.report_text import ball_text, evaluation_method, json_value, threat_model, with_interval
from inputopt.files import check_writable, replacing, write_text
from inputopt.images import are_images
from inputopt.nets.frozen import Frozen
from inputopt.search.inputs import Inputs
from inputopt.search.result_files import stems_of, write_images
from inputopt.search.result_origin import bounds_of
from inputopt.summaries import Summarised, Summary, Table

if TYPE_CHECKING:
    from inputopt.evaluation.robustness_curve import RobustnessCurve

FORMAT = "inputopt report 1"
"""Format of `report.json`; the number rises when a field changes its meaning or is removed."""


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
        interval: 95 % confidence interval of `robust_accuracy`, with the inputs as a random sample: Wilson's, extended
            by the error of the draws for a random network.
        certified: whether each input is proven to be classified correctly in the whole ball, bool [B]; None if no
            certificate was computed.
        robust_accuracy_before_adapting: `robust_accuracy` before the remedies of `evaluate(..., adapt=True)`; None if
            none was applied.
        clean_interval: 95 % confidence interval of `clean_accuracy`, likewise.
        clean: whether each input is classified correctly without an attack, bool [B]; None if it is not known.
        label: the label of each input, int64 [B]; None if it is not known.
        robust_if_rejected: for a network with a reject class, whether each input is classified correctly or rejected
            after every attack, also after attacks that avoid the class, bool [B]; None if there is no such class, or
            without `adapt=True`.
    """

    clean_accuracy: float
    robust_accuracy: float
    robust: Tensor
    x: Tensor
    attacks: tuple[AttackRow, ...]
    indicators: tuple[Indicator, ...]
    settings: dict[str, Any]
    interval: Interval = (0.0, 1.0)
    certified: Tensor | None = None
    robust_accuracy_before_adapting: float | None = None
    clean_interval: Interval = (0.0, 1.0)
    clean: Tensor | None = None
    label: Tensor | None = None
    robust_if_rejected: Tensor | None = None

    @property
    def certified_accuracy(self) -> float | None:
        """Fraction of the inputs that is proven to be robust, a lower bound; None if no certificate was computed."""
        return None if self.certified is None else float(self.certified.double().mean())

    @property
    def certified_interval(self) -> Interval | None:
        """95 % Wilson interval of `certified_accuracy`; None if no certificate was computed."""
        share = self.certified_accuracy
        return None if share is None else wilson(share, len(self.robust))

    @property
    def interval_before_adapting(self) -> Interval | None:
        """95 % Wilson interval of `robust_accuracy_before_adapting`; None if no remedy was applied."""
        share = self.robust_accuracy_before_adapting
        return None if share is None else wilson(share, len(self.robust))

    @property
    def robust_accuracy_if_rejected(self) -> float | None:
        """`robust_accuracy` where a rejection counts as withstood, also of a clean input; None if not measured."""
        return None if self.robust_if_rejected is None else float(self.robust_if_rejected.double().mean())

    @property
    def interval_if_rejected(self) -> Interval | None:
        """95 % Wilson interval of `robust_accuracy_if_rejected`; None if it was not measured."""
        share = self.robust_accuracy_if_rejected
        return None if share is None else wilson(share, len(self.robust))

    @property
    def warnings(self) -> tuple[str, ...]:
        """The indicators as sentences."""
        return tuple(str(each) for each in self.indicators)

    def as_plain(self) -> dict[str, Any]:
        """All fields except `x`, and the claim for a leaderboard, as JSON values; `schema` describes them.

        JSON has no infinity and NaN: they are "inf", "-inf" and None.
        """
        values = {
            **self.settings,
            "format": FORMAT,
            "clean_accuracy": self.clean_accuracy,
            "clean_interval": list(self.clean_interval),
            "robust_accuracy": self.robust_accuracy,
            "robust_accuracy_before_adapting": self.robust_accuracy_before_adapting,
            "interval_before_adapting": _listed(self.interval_before_adapting),
            "interval": list(self.interval),
            "robust_accuracy_if_rejected": self.robust_accuracy_if_rejected,
            "interval_if_rejected": _listed(self.interval_if_rejected),
            "certified_accuracy": self.certified_accuracy,
            "certified_interval": _listed(self.certified_interval),
            "label": _listed(self.label),
            "clean": _listed(self.clean),
            "robust": self.robust.tolist(),
            "certified": _listed(self.certified),
            "robust_if_rejected": _listed(self.robust_if_rejected),
            "attacks": [asdict(row) for row in self.attacks],
            "warnings": list(self.warnings),
            "indicators": [asdict(each) for each in self.indicators],
            "claim": self.claim(),
        }
        return {name: json_value(value) for name, value in values.items()}

    @staticmethod
    def schema() -> dict[str, Any]:
        """The JSON schema (draft 2020-12) of `report.json`."""
        schema: dict[str, Any] = json.loads((files("inputopt.evaluation") / "report_schema.json").read_text("utf-8"))
        return schema

    def claim(
        self,
        *,
        paper_title: str | None = None,
        paper_url: str | None = None,
        paper_authors: str | None = None,
        architecture: str | None = None,
        additional_data: bool | None = None,
        checkpoint: str | None = None,
    ) -> dict[str, Any]:
        """The fields that RobustBench asks for a new model (Croce et al., 2021), accuracies in percent.

        What the evaluation does not know is None, unless it is given: the paper, whether training used additional data,
        and the address of checkpoint and code. The architecture is the class of the model if it is not given.
        """
        return {
            "paper_title": paper_title,
            "paper_url": paper_url,
            "paper_authors": paper_authors,
            "architecture": architecture or self.settings.get("model", {}).get("class"),
            "threat_model": threat_model(self.settings),
            "eps": self.settings.get("eps"),
            "clean_accuracy": round(100 * self.clean_accuracy, 2),
            "robust_accuracy": round(100 * self.robust_accuracy, 2),
            "additional_data": additional_data,
            "evaluation_method": evaluation_method(self.settings),
            "checkpoint_and_code": checkpoint,
        }

    def model_card(
        self,
        name: str | None = None,
        dataset: str | None = None,
        dataset_id: str | None = None,
        task: str | None = None,
    ) -> str:
        """A block for a model card: YAML front matter with the model-index of Hugging Face's hub, and Markdown.

        Args:
            name: the model; by default the name or the class in `settings`.
            dataset: name of the data for readers; by default that of the command line, or "unnamed data".
            dataset_id: identifier of the data on the hub; by default `dataset`.
            task: task type of the hub; by default from the shape of an input: "image-classification" for [C, H, W],
                "tabular-classification" for [n], else "other".
        """
        from inputopt.evaluation.model_card import card_of  # it imports this module

        return card_of(self, name, dataset, dataset_id, task)

    def save(self, folder: str | Path, names: Sequence[str | Path] | None = None) -> None:
        """Write `report.json`, and `x.safetensors` with `x` and `robust`.

        Args:
            folder: where to write; it is made if needed.
            names: names of the inputs, as for `Result.save`; if given, and if the inputs are images, the adversarial
                image of each input that is not robust is also written under its name, as an 8-bit PNG.

        Raises:
            ValueError: names that are not one per input, not unique, or outside the folder.
            FileError: the folder cannot be written to.
        """
        stems = None if names is None else stems_of(names, len(self.x))
        bounds = bounds_of(self.settings.get("model", {}))
        if stems is not None and bounds is not None and are_images(self.x, bounds):
            fooled = (~self.robust if self.clean is None else self.clean & ~self.robust).nonzero()[:, 0].tolist()
            write_images(self.x[fooled], bounds, [Path(folder) / f"{stems[row]}.png" for row in fooled])
        write_text(Path(folder) / "report.json", json.dumps(self.as_plain(), indent=2, allow_nan=False) + "\n")
        with replacing(Path(folder) / "x.safetensors") as temporary:
            save_file({"x": self.x.detach().cpu().contiguous(), "robust": self.robust.cpu()}, temporary)

    def save_html(
        self,
        path: str | Path,
        model: Frozen | nn.Module | Callable[[Tensor], Any] | None = None,
        x: Inputs | None = None,
        *,
        class_names: Sequence[str] | None = None,
        curve: RobustnessCurve | None = None,
        curve_examples: int | None = None,
        examples: int = 6,
        title: str | None = None,
        names: Sequence[str | Path] | None = None,
    ) -> None:
        """Write the report as one self-contained HTML page, without scripts and without anything to fetch.

        With the model and the inputs, the page also shows accuracy against distance and the most fragile examples.

        Args:
            path: path of the page.
            model, x: the evaluated model and inputs [B, ...], as given to `evaluate`.
            class_names: names of the classes, by index; numbers if not given.
            curve: a robustness curve of the same model that was measured before.
            curve_examples: without a curve, number of inputs whose minimal distances are measured, a random sample; 0
                for none. By default 100, and fewer for large networks, 10 at least.
            examples: number of fragile examples.
            title: name of the model on the page; the recorded one if not given.
            names: names of the inputs, such as those of their files; their positions, from 0, if not given.

        Raises:
            ValueError, TypeError: model or x are not those of the report, or only one of them is given.
            FileError: the page cannot be written.
        """
        from inputopt.evaluation.report_page.page import page_of  # they import this module
        from inputopt.evaluation.report_page.page_request import checked_request

        request = checked_request(self, model, x, class_names, curve, curve_examples, examples, title, names)
        write_text(check_writable(path), page_of(self, request))

    def _summary(self, images: bool) -> Summary:
        facts = [
            ("clean accuracy", with_interval(self.clean_accuracy, self.clean_interval)),
            ("robust accuracy at most", with_interval(self.robust_accuracy, self.interval)),
        ]
        if self.certified_accuracy is not None and self.certified_interval is not None:
            text = with_interval(self.certified_accuracy, self.certified_interval)
            facts.append(("certified accuracy at least", text))
        if self.robust_accuracy_if_rejected is not None and self.interval_if_rejected is not None:
            text = with_interval(self.robust_accuracy_if_rejected, self.interval_if_rejected)
            facts.append(("if a rejection counts as withstood at most", text))
        settings = self.settings
        if settings:
            facts += [("in", ball_text(settings)), ("preset", settings["preset"])]
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


def _listed(values: Tensor | Interval | None) -> list[Any] | None:
    return values.tolist() if isinstance(values, Tensor) else None if values is None else list(values)


def _details(settings: dict[str, Any]) -> list[tuple[str, str]]:
    """What was evaluated, and when."""
    details = []
    if "model" in settings:
        details.append(("model", str(settings["model"]["name"] or settings["model"]["class"])))
    names = ("labels", "levels", "seed", "date")
    return details + [(name, str(settings[name])) for name in names if settings.get(name) is not None]
