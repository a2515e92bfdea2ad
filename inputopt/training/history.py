"""The record of a training run: about 50 samples, as the document logs them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from inputopt import checks
from inputopt.files import check_writable, save_figure, write_text
from inputopt.nets.activations import Array
from inputopt.summaries import Summarised, Summary

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = ("training index", "error", "cost")


@dataclass(frozen=True)
class Sample:
    """The state of a training run just before one update.

    Attributes:
        index: number of updates before it.
        error: mean L2 norm of target - output.
        cost: mean cost.
        gradient_norms: L2 norm of the gradient by all parameters of a layer, one number per layer.
        details: for tiny networks every weight, bias and derivative by its column name; else empty.
    """

    index: int
    error: float
    cost: float
    gradient_norms: tuple[float, ...]
    details: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Point:
    """Error and cost of a training run just before update `index`."""

    index: int
    error: float
    cost: float


@dataclass(frozen=True, repr=False)
class History(Summarised):
    """The record of a training run.

    Attributes:
        samples: about 50, including one at the last update.
        layers: names of the layers in `gradient_norms`.
        trainings: number of updates made.
        stopped: reason for stopping, in words.
        seconds: duration.
        points: error and cost at the samples and, in full-batch training, at further updates that are evenly spaced on
            a logarithmic axis.
    """

    samples: tuple[Sample, ...]
    layers: tuple[str, ...]
    trainings: int
    stopped: str
    seconds: float
    points: tuple[Point, ...] = ()

    @property
    def index(self) -> Array:
        """Update index of each sample, [S]."""
        return np.array([sample.index for sample in self.samples])

    @property
    def error(self) -> Array:
        """Mean error at each sample, [S]."""
        return np.array([sample.error for sample in self.samples])

    @property
    def cost(self) -> Array:
        """Mean cost at each sample, [S]."""
        return np.array([sample.cost for sample in self.samples])

    @property
    def gradient_norms(self) -> Array:
        """Gradient norm of each layer at each sample, [S, L]."""
        return np.array([sample.gradient_norms for sample in self.samples])

    @property
    def curve(self) -> Array:
        """Number of updates + 1, mean error and mean cost of every point, [P, 3], for plots on logarithmic axes."""
        return np.array([(point.index + 1, point.error, point.cost) for point in self.points or self.samples])

    def _summary(self, images: bool) -> Summary:
        facts = [("", f"{self.trainings:,} updates"), ("", self.stopped)]
        if self.samples:
            first, last = self.samples[0], self.samples[-1]
            facts.append(("error", f"{first.error:.4g} to {last.error:.4g}"))
            facts.append(("cost", f"{first.cost:.4g} to {last.cost:.4g}"))
        facts += [("", f"{len(self.samples)} samples"), ("", f"{self.seconds:.1f} s")]
        return Summary("History", facts)

    def detail(self, column: str) -> Array:
        """Values of one detail column at each sample, [S].

        Raises:
            ValueError: there is no such column; larger networks have none.
        """
        if not self.samples[0].details:
            raise ValueError(
                "The samples have no details: these are recorded only for an MLP of up to 64 weights and biases."
            )
        checks.one_of("column", column, self.samples[0].details)
        return np.array([sample.details[column] for sample in self.samples])

    def figure(self) -> Figure:
        """A plot of error, cost and the gradient norms of the layers against the number of the update."""
        from inputopt.training.plots import plot_history  # it imports this module

        return plot_history(self)

    def save(self, folder: str | Path) -> list[Path]:
        """Write the log `history.csv` (see `write_csv`) and the plot `history.png`.

        Args:
            folder: where to write; it is made if needed.

        Returns:
            The paths of the files written.

        Raises:
            FileError: the folder cannot be written to.
        """
        written = [check_writable(Path(folder) / name) for name in ("history.csv", "history.png")]
        self.write_csv(written[0])
        save_figure(self.figure(), written[1])
        return written

    def write_csv(self, path: str | Path, details: bool | None = None) -> None:
        """Write the document's log as CSV: index, error and cost, and the details of a network with one weight.

        Args:
            path: output file.
            details: whether to write every weight, bias and derivative; by default only for a network with one weight.

        Raises:
            FileError: the file cannot be written.
        """
        wanted = "weight" in self.samples[0].details if details is None else details
        names = list(self.samples[0].details) if wanted else []
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*COLUMNS, *names])
        for sample in self.samples:
            row = [sample.error, sample.cost, *(sample.details[name] for name in names)]
            writer.writerow([sample.index, *(f"{value:.9g}" for value in row)])
        write_text(path, text.getvalue())


def sampled(trainings: int) -> list[int]:
    """Update indices that the document logs: about 50, always including the last.

    >>> sampled(200)[:3], sampled(200)[-2:], len(sampled(10_000))
    ([0, 4, 8], [196, 199], 51)
    """
    every = max(1, trainings // 49)
    return sorted({*range(0, trainings, every), trainings - 1})


def log_spaced(trainings: int) -> list[int]:
    """Update indices that are evenly spaced on a logarithmic axis, twenty per factor of 10.

    >>> log_spaced(100)[:16]
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 15, 17, 19]
    """
    count = math.ceil(20 * math.log10(trainings))
    return sorted({round(10 ** (step / 20)) - 1 for step in range(count)})


def named_numbers(what: str, values: Sequence[Array]) -> dict[str, float]:
    """Name every number in a list of arrays: `what` alone if there is only one, else with layer and position."""
    if len(values) == 1 and values[0].size == 1:
        return {what: float(values[0].item())}
    return {
        f"{what} {layer}[{','.join(map(str, position))}]": float(number)
        for layer, value in enumerate(values)
        for position, number in np.ndenumerate(value)
    }
