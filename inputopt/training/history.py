"""What a training leaves behind: about 50 samples of it, as the document logs them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from inputopt import checks
from inputopt.files import write_text
from inputopt.nets.activations import Array

COLUMNS = ("training index", "error", "cost")


@dataclass(frozen=True)
class Sample:
    """The state of a training just before one update.

    Attributes:
        index: how many updates came before.
        error: the mean length of target - output.
        cost: the mean cost.
        gradient_norms: the length of the derivative by all parameters of a layer, a number a layer.
        details: for tiny networks every number by its column name; empty for others.
    """

    index: int
    error: float
    cost: float
    gradient_norms: tuple[float, ...]
    details: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class History:
    """The record of a training.

    Attributes:
        samples: about 50, the last one of the last training.
        layers: the names of the layers that `gradient_norms` speak of.
        trainings: how many updates were made.
        stopped: why it ended, in words.
        seconds: how long it took.
    """

    samples: tuple[Sample, ...]
    layers: tuple[str, ...]
    trainings: int
    stopped: str
    seconds: float

    @property
    def index(self) -> Array:
        """The training index of each sample, [S]."""
        return np.array([sample.index for sample in self.samples])

    @property
    def error(self) -> Array:
        """The mean error at each sample, [S]."""
        return np.array([sample.error for sample in self.samples])

    @property
    def cost(self) -> Array:
        """The mean cost at each sample, [S]."""
        return np.array([sample.cost for sample in self.samples])

    @property
    def gradient_norms(self) -> Array:
        """The length of each layer's derivative at each sample, [S, L]."""
        return np.array([sample.gradient_norms for sample in self.samples])

    def detail(self, column: str) -> Array:
        """One detail column of a tiny network over the samples, [S].

        Raises:
            ValueError: there is no such column; larger networks have none.
        """
        if not self.samples[0].details:
            raise ValueError("The samples hold no details: those are of an MLP of up to 64 weights and biases.")
        checks.one_of("column", column, self.samples[0].details)
        return np.array([sample.details[column] for sample in self.samples])

    def write_csv(self, path: str | Path, details: bool | None = None) -> None:
        """Write the document's log: index, error and cost, and for a network of one weight all its numbers too.

        Args:
            path: where to.
            details: every weight, bias and derivative as well; by default only where there is one weight.

        Raises:
            FileError: the place cannot be written to.
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
    """The indices that the document logs: about 50, and always the last.

    >>> sampled(200)[:3], sampled(200)[-2:], len(sampled(10_000))
    ([0, 4, 8], [196, 199], 51)
    """
    every = max(1, trainings // 49)
    return sorted({*range(0, trainings, every), trainings - 1})


def named_numbers(what: str, values: Sequence[Array]) -> dict[str, float]:
    """Every number of a list of arrays under a name: `what` alone if there is one, else with layer and position."""
    if len(values) == 1 and values[0].size == 1:
        return {what: float(values[0].item())}
    return {
        f"{what} {layer}[{','.join(map(str, position))}]": float(number)
        for layer, value in enumerate(values)
        for position, number in np.ndenumerate(value)
    }
