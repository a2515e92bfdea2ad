"""Train the document's networks and compare every derived figure with the printed one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from inputopt import checks
from inputopt.derivatives.gradient_methods import MethodName, find_gradient_method, gradients
from inputopt.document.figures import Figure, figures
from inputopt.document.networks import EXAMPLES, LEARNING_RATE, Example
from inputopt.document.worker_processes import map_in_processes
from inputopt.nets.activations import find_activation
from inputopt.nets.costs import find_cost
from inputopt.training.genetic import evolve
from inputopt.training.history import History, named_numbers
from inputopt.training.train import Progress, train

METHODS: tuple[MethodName, ...] = ("autograd", "backprop")
SMALL = ("1", "3a", "4")  # also trained by the slower methods
SMALL_METHODS: tuple[MethodName, ...] = ("dual", "differences", "one_sided")

Derived = tuple[dict[str, float], History]
Watch = Callable[[str, str, int], AbstractContextManager[Callable[[Progress], None] | None]]


@dataclass(frozen=True)
class Row:
    """A printed figure, and the value derived by each method."""

    figure: Figure
    derived: dict[str, float]

    @property
    def agrees(self) -> bool:
        """Whether every method derived the printed digits."""
        return all(self.figure.agrees(value) for value in self.derived.values())


@dataclass(frozen=True)
class SmallRun:
    """One small network trained by one method: its cost, and the mean error at the end."""

    example: str
    method: str
    trainings: int
    evaluations: int
    seconds: float
    error: float


@dataclass(frozen=True)
class Reproduction:
    """All results: one row per figure, the histories by (method, example), and the small networks' runs."""

    rows: tuple[Row, ...]
    histories: dict[tuple[str, str], History]
    small: tuple[SmallRun, ...]

    @property
    def mismatches(self) -> tuple[Row, ...]:
        """The rows in which a method did not derive the printed digits."""
        return tuple(row for row in self.rows if not row.agrees)


def reproduce(
    methods: Sequence[MethodName] = METHODS, small: bool = True, watch: Watch | None = None, processes: int = 1
) -> Reproduction:
    """Train every network of the document by each method, in float32, and compare with the printed figures.

    Args:
        methods: differentiation methods, one column each.
        small: also train the small networks by the slower methods and by the genetic algorithm.
        watch: (example, method, updates) -> a context manager that may give a progress callback, for training in this
            process.
        processes: number of processes that share the training runs. With more than one, a script must call this under
            `if __name__ == "__main__":`, because every process runs the script again.

    Raises:
        ValueError, TypeError: unknown methods or an invalid number of processes; raised before any training.
        KeyboardInterrupt: on Ctrl-C; partial results are discarded.
    """
    if isinstance(methods, str) or not methods:
        raise TypeError(f"methods must be a list of at least one name, not {methods!r}.")
    for method in methods:
        find_gradient_method(method)
    processes = checks.whole("processes", processes)
    checks.function("watch", watch)
    watch = watch or (lambda example, method, trainings: nullcontext())
    tabled = [(method, name) for method in methods for name in EXAMPLES]
    slower = [(method, name) for name in SMALL for method in SMALL_METHODS] if small else []

    def derive_here(example: Example, method: MethodName, name: str) -> Derived:
        with watch(name, method, example.trainings) as progress:
            return derive(example, method, progress)

    jobs = [(EXAMPLES[name], method, name) for method, name in dict.fromkeys(tabled + slower)]
    jobs.sort(key=lambda job: -job[0].trainings)
    done = map_in_processes(derive_here, _derive_in_worker, jobs, processes)
    found = {(method, name): derived for (_, method, name), derived in zip(jobs, done, strict=True)}
    rows = (Row(figure, {method: _number(found, method, figure) for method in methods}) for figure in figures())
    return Reproduction(
        tuple(rows),
        {key: found[key][1] for key in tabled},
        tuple(_small_runs({key: found[key][1] for key in slower})),
    )


def _derive_in_worker(example: Example, method: MethodName, name: str) -> Derived:
    return derive(example, method)


def _number(found: dict[tuple[MethodName, str], Derived], method: MethodName, figure: Figure) -> float:
    numbers = _warm_up() if figure.example == "warm-up" else found[method, figure.example][0]
    return numbers[figure.figure]


def derive(example: Example, method: MethodName, progress: Callable[[Progress], None] | None = None) -> Derived:
    """Train one network; return all numbers of it that figures.json may name, and the history.

    Raises:
        KeyboardInterrupt: on Ctrl-C.
    """
    first = gradients(example.network(), example.inputs, example.targets, method=method)
    net = example.network()
    once = _train(example, net, method, trainings=1)
    numbers = _sample_numbers("first", once, 0) | _sample_numbers(
        "second", _train(example, net, method, trainings=1), 0
    )
    numbers |= _named("first neuron error", first.neuron_errors)
    net = example.network()
    history = _train(example, net, method, example.trainings, progress)
    if history.stopped == "interrupted":  # `train` keeps partial runs, which are no use here
        raise KeyboardInterrupt
    numbers |= _sample_numbers("last", history, -1)
    with torch.no_grad():
        outputs = net(torch.tensor(example.inputs, dtype=torch.float32))
    numbers |= {f"last output [{index}]": float(value) for index, value in enumerate(outputs[0])}
    return numbers, history


def _train(
    example: Example, net: Any, method: MethodName, trainings: int, progress: Callable[[Progress], None] | None = None
) -> History:
    return train(
        net,
        example.inputs,
        example.targets,
        learning_rate=LEARNING_RATE,
        steps=trainings,
        method=method,
        progress=progress,
    )


def _sample_numbers(when: str, history: History, position: int) -> dict[str, float]:
    sample = history.samples[position]
    return {f"{when} {name}": value for name, value in sample.details.items()} | {
        f"{when} error": sample.error,
        f"{when} cost": sample.cost,
    }


def _named(what: str, values: Sequence[torch.Tensor]) -> dict[str, float]:
    return named_numbers(what, [value.numpy() for value in values])


def _warm_up() -> dict[str, float]:
    Z = np.array([0.53], dtype=np.float32)
    return {"O at Z = 0.53": float(find_activation("sigmoid").value(Z)[0])}


def _small_runs(histories: dict[tuple[MethodName, str], History]) -> Iterator[SmallRun]:
    """Runs of the small networks by the slower methods, and by the genetic algorithm to the error that they reached."""
    for (method, name), history in histories.items():
        example, error = EXAMPLES[name], float(history.error[-1])
        net = example.network()
        each = find_gradient_method(method)(net, find_cost("mse", net.output)).evaluations
        yield SmallRun(name, method, history.trainings, each * history.trainings, history.seconds, error)
        if method == SMALL_METHODS[-1]:
            yield _evolved(name, example, error)


def _evolved(name: str, example: Example, error: float) -> SmallRun:
    found = evolve(example.network(), example.inputs, example.targets, stop_error=error, generations=5_000)
    return SmallRun(name, "genetic", found.generations, found.evaluations, found.seconds, found.error)


def write(reproduction: Reproduction, folder: str | Path) -> list[Path]:
    """Write the log of each training run as `METHOD/network-N.csv`; return the paths."""
    written = []
    for (method, name), history in reproduction.histories.items():
        written.append(Path(folder) / method / f"network-{name.replace(' ', '-')}.csv")
        history.write_csv(written[-1])
    return written
