"""Robustness curves: accuracy as a function of the perturbation size, by minimal-norm attacks."""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from inputopt import checks
from inputopt.attacks.batches import logits_in_batches
from inputopt.attacks.minimal_norm.minimal_norm_attack import MinimalNormAttack
from inputopt.attacks.minimal_norm.portfolio import MinimalNorm
from inputopt.evaluation.confidence import Interval, wilson
from inputopt.evaluation.curve_figure import curve_figure, curve_of, robustness_area
from inputopt.evaluation.remedies.repaired_distances import REPAIRED, along_repaired_gradients
from inputopt.files import save_figure, write_text
from inputopt.nets.frozen import Frozen, frozen
from inputopt.nets.model_errors import NO_DERIVATIVE, NoGradientError
from inputopt.search.inputs import InputoptWarning, Inputs, check_problem
from inputopt.search.norms import NormName, find_norm
from inputopt.search.result import Result
from inputopt.search.result_files import stems_of
from inputopt.summaries import Summarised, Summary, Table
from inputopt.versions import now, recorded_versions

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class RobustnessCurve(Summarised):
    """Distances to the nearest adversarial examples found by several minimal-norm attacks.

    Attributes:
        norm: norm of the distances.
        results: result of each attack by its name, in order.
        seconds: wall-clock time of each attack.
        nonfinite: whether the highest logit of the clean input is NaN or infinite, bool [B]; such inputs count as
            misclassified, as in `evaluate`. None: none is.
        distances: distances [B] by attack: 0 for inputs that are misclassified as they are, infinite where it failed.
        lowest: minimum over all attacks, [B]: the lower envelope.
    """

    norm: NormName
    results: dict[str, Result]
    seconds: dict[str, float]
    nonfinite: Tensor | None = None

    @property
    def distances(self) -> dict[str, Tensor]:
        """The distances that each attack found, [B]."""
        found = {name: result.distance for name, result in self.results.items()}
        if self.nonfinite is None:
            return found
        return {name: distance.masked_fill(self.nonfinite, 0.0) for name, distance in found.items()}

    @property
    def lowest(self) -> Tensor:
        """The smallest distance found by any attack, [B]."""
        return torch.stack(list(self.distances.values())).amin(0)

    @property
    def furthest(self) -> float:
        """The largest finite distance that any attack found; 0 if there is none."""
        every = torch.cat(list(self.distances.values()))
        finite = every[torch.isfinite(every)]
        return float(finite.max()) if len(finite) else 0.0

    def accuracy(self, eps: float, attack: str | None = None) -> float:
        """Robust accuracy at radius `eps`, under one attack or under all of them."""
        distance = self.lowest if attack is None else self.distances[checks.one_of("attack", attack, self.distances)]
        return float((distance > eps).double().mean())

    def interval(self, eps: float, attack: str | None = None) -> Interval:
        """The 95 % Wilson interval of `accuracy`, if the inputs are a random sample."""
        return wilson(self.accuracy(eps, attack), len(self.lowest))

    def rows(self) -> list[dict[str, Any]]:
        """One row per attack and one for the lower envelope, as plain values: median, area, failures and cost.

        A median, and an area where nothing was fooled, is None instead of infinite.
        """
        distances = self.distances
        rows = [
            self._row(name, distances[name])
            | {
                "forwards": float(found.forwards.double().mean()),
                "backwards": float(found.backwards.double().mean()),
                "seconds": self.seconds[name],
            }
            for name, found in self.results.items()
        ]
        return [*rows, self._row("all attacks", self.lowest)]

    def _row(self, name: str, distance: Tensor) -> dict[str, Any]:
        median = float(distance.double().sort().values[(len(distance) - 1) // 2])
        failed = int(torch.isinf(distance).sum())
        area = math.inf if failed == len(distance) else robustness_area(distance, self.furthest)
        return {"attack": name, "median": _finite(median), "area": _finite(area), "failed": failed}

    def as_plain(self) -> dict[str, Any]:
        """The norm, the model, the rows, the curve of all attacks and every distance, as JSON values; null if none."""
        where, accuracy = curve_of(self.lowest)
        distances = {name: [_finite(each) for each in found.tolist()] for name, found in self.distances.items()}
        return {
            "norm": self.norm,
            "model": next(iter(self.results.values())).made_by.get("model"),
            "count": len(self.lowest),
            "attacks": self.rows(),
            "curve": {"distance": where.tolist(), "accuracy": accuracy.tolist()},
            "distances": distances,
        }

    def save(self, folder: str | Path, names: Sequence[str | Path] | None = None) -> list[Path]:
        """Write `curve.json`, the plot `curve.png`, and into a subfolder per attack what `Result.save` writes.

        Args:
            folder: where to write; it is made if needed.
            names: names of the inputs, as for `Result.save`; numbers if not given.

        Returns:
            The paths of all files written.

        Raises:
            ValueError: names that are not one per input, not unique, or outside the folder; an attack whose name
                cannot be that of a folder.
            FileError: the folder cannot be written to.
        """
        stems_of(names, len(self.lowest))
        for name in self.results:
            if Path(name).name != name or name in ("", "..", "curve.json", "curve.png"):
                raise ValueError(f"The attack {name!r} cannot be saved in a folder of its name; give it another name.")
        folder = Path(folder)
        plain = {**self.as_plain(), "date": now(), "versions": recorded_versions()}
        written = [folder / "curve.json", folder / "curve.png"]
        write_text(written[0], json.dumps(plain, indent=2, allow_nan=False) + "\n")
        save_figure(self.figure(), written[1])
        for name, found in self.results.items():
            written += found.save(folder / name, names)
        return written

    def _summary(self, images: bool) -> Summary:
        rows = self.rows() if len(self.results) > 1 else self.rows()[:-1]
        medians = ", ".join(f"{row['attack']} {_text(row['median'])}" for row in rows)
        facts = [("", f"{len(self.lowest)} inputs"), (f"median distance ({self.norm}):", medians)]
        cells = [
            [row["attack"], _text(row["median"]), _text(row["area"]), str(row["failed"])]
            + [f"{row[name]:,.1f}" if name in row else "" for name in COSTS]
            for row in rows
        ]
        heads = ["attack", f"median {self.norm}", "area", "failed", *COSTS]
        return Summary("RobustnessCurve", facts, tables=[Table(heads, cells)])

    def figure(self) -> Figure:
        """A plot of accuracy against distance with 95 % bands: one line per attack, and the lower envelope dashed."""
        envelope = {"all attacks": self.lowest} if len(self.results) > 1 else {}
        return curve_figure(self.norm, self.distances, envelope)


NONFINITE = "The logits of {} of {} inputs are NaN or infinite; they count as misclassified, at distance 0."

COSTS = ("forwards", "backwards", "seconds")


def _finite(value: float) -> float | None:
    """A finite number, or None, since JSON has no infinity."""
    return value if math.isfinite(value) else None


def _text(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


def compare_curves(curves: Mapping[str, RobustnessCurve]) -> Figure:
    """A plot of the accuracy of several networks against distance, under all attacks on each, with 95 % bands.

    Args:
        curves: the curve of each network by its name; in one norm, and best of the same inputs.

    Returns:
        A matplotlib figure; `figure.savefig("compared.png")` saves it.

    Raises:
        ValueError: no curves, or curves in different norms.
    """
    norms = {curve.norm for curve in curves.values()}
    if len(norms) != 1:
        raise ValueError(
            f"curves must be one or more in the same norm, not in {', '.join(sorted(norms)) or 'none'}; give a dict of "
            "names and results of robustness_curve."
        )
    return curve_figure(norms.pop(), {name: curve.lowest for name, curve in curves.items()}, {})


def robustness_curve(
    model: Frozen | nn.Module | Callable[[Tensor], Tensor],
    x: Inputs,
    y: Any,
    norm: NormName = "l2",
    attacks: Mapping[str, MinimalNormAttack] | None = None,
    seed: int = 0,
    ids: Any = None,
    *,
    target: Any = None,
    start: Inputs | None = None,
    adapt: bool = False,
    progress: Callable[[str], None] | None = None,
) -> RobustnessCurve:
    """Run each minimal-norm attack from the clean inputs to find the nearest adversarial examples.

    A network whose gradients mislead looks more robust than it is: `evaluate` finds such networks, and `adapt` runs
    each attack a second time along gradients that are repaired as there.

    Args:
        model: a network, frozen or not; if not, its inputs are taken to lie in [0, 1].
        x: inputs [B, ...] in the bounds.
        y: labels [B].
        norm: "l0", "l1", "l2" or "linf".
        attacks: minimal-norm attacks in that norm by name; `MinimalNorm` alone if not given.
        seed: seed of all random numbers.
        ids: keys of each input's random numbers; the positions if not given.
        target: target classes, as for the attacks; accuracy is then the share that is not classified as the target.
        start: starting points [B, ...] of each attack, such as images of the target class; the inputs if not given.
        adapt: whether to run each attack along repaired gradients too, if any repair leads further than the network's
            own gradient; the results are named "..., repaired gradients". Untargeted only.
        progress: called with each attack's name before it runs.

    Raises:
        ValueError, TypeError: invalid arguments, or attacks in another norm; raised before any attack runs.
    """
    find_norm(norm)
    chosen = {"MinimalNorm": MinimalNorm(norm)} if attacks is None else dict(attacks)
    if not chosen:
        raise ValueError("attacks must hold at least one minimal-norm attack; omit it to use MinimalNorm.")
    for name, attack in chosen.items():
        if not isinstance(attack, MinimalNormAttack):
            kind = type(attack).__name__
            raise TypeError(f"{name} must be a minimal-norm attack, not {kind}; wrap it in EpsilonBisection.")
        if attack.norm != norm:
            raise ValueError(
                f"{name} searches in {attack.norm}, but the curve is in {norm}; use the same norm for both."
            )
    if adapt and target is not None:
        raise ValueError("adapt is for untargeted attacks; omit target.")
    net = frozen(model)
    nonfinite = None if target is not None else _nonfinite(net, x, y, ids)
    results, seconds = dict[str, Result](), dict[str, float]()
    for name, attack in chosen.items():
        if progress is not None:
            progress(name)
        runs: dict[str, Callable[[], Result | None]] = {name: partial(attack, net, x, y, target, seed, ids, start)}
        if adapt:
            runs[REPAIRED.format(name)] = partial(along_repaired_gradients, attack, net, x, y, seed, ids)
        found = {key: _timed(run, adapt) for key, run in runs.items()}
        if all(result is None for result, _ in found.values()):
            raise NoGradientError(NO_DERIVATIVE)
        results |= {key: result for key, (result, _) in found.items() if result is not None}
        seconds |= {key: taken for key, (result, taken) in found.items() if result is not None}
    return RobustnessCurve(norm, results, seconds, nonfinite)


@torch.no_grad()
def _nonfinite(net: Frozen, x: Inputs, y: Any, ids: Any) -> Tensor | None:
    """Whether the highest logit of each input is NaN or infinite, bool [B], with a warning; None if none is."""
    problem, _ = check_problem(net, x, y, ids)
    most = logits_in_batches(net, problem).amax(1)
    found = (most - most) != 0
    if not bool(found.any()):
        return None
    warnings.warn(NONFINITE.format(int(found.sum()), len(found)), InputoptWarning, stacklevel=3)
    return found


def _timed(run: Callable[[], Result | None], may_fail: bool) -> tuple[Result | None, float]:
    """The result of a run and its wall-clock time; None for a model without a derivative if it `may_fail`."""
    started = time.perf_counter()
    try:
        return run(), time.perf_counter() - started
    except NoGradientError:
        if not may_fail:
            raise
        return None, time.perf_counter() - started
