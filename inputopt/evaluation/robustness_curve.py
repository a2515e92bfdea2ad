"""Robustness curves: accuracy against distance, by minimal-norm attacks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from inputopt import checks
from inputopt.attacks.minimal_norm.minimal_norm_attack import MinimalNormAttack
from inputopt.attacks.minimal_norm.portfolio import MinimalNorm
from inputopt.files import blank_figure
from inputopt.nets.frozen import Frozen, frozen
from inputopt.search.norms import find_norm
from inputopt.search.result import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class RobustnessCurve:
    """How far away the nearest input is that fools a network, by each of several attacks.

    Attributes:
        norm: what distances are measured in.
        results: of each attack by its name, in order.
        seconds: that each took.
        distances: of each input, [B], by each attack: 0 where it is wrong as it is, infinite where the attack failed.
        lowest: the least of any attack, [B]: the lower envelope.
    """

    norm: str
    results: dict[str, Result]
    seconds: dict[str, float]

    @property
    def distances(self) -> dict[str, Tensor]:
        """What each attack found, [B]."""
        return {name: found.distance for name, found in self.results.items()}

    @property
    def lowest(self) -> Tensor:
        """The least that any attack found, [B]."""
        return torch.stack(list(self.distances.values())).amin(0)

    @property
    def furthest(self) -> float:
        """The largest finite distance of the lower envelope; 0 where nothing was moved."""
        finite = self.lowest[torch.isfinite(self.lowest)]
        return float(finite.max()) if len(finite) else 0.0

    def accuracy(self, eps: float, attack: str | None = None) -> float:
        """The share of the inputs that is not fooled within eps: by one attack, or by any."""
        distance = self.lowest if attack is None else self.distances[checks.one_of("attack", attack, self.distances)]
        return float((distance > eps).double().mean())

    def rows(self) -> list[dict[str, Any]]:
        """Plain values, a row an attack and one of the lower envelope: median, area, failures and cost."""
        rows = [
            self._row(name, found.distance)
            | {
                "forwards": float(found.forwards.double().mean()),
                "backwards": float(found.backwards.double().mean()),
                "seconds": self.seconds[name],
            }
            for name, found in self.results.items()
        ]
        return [*rows, self._row("all together", self.lowest)]

    def _row(self, name: str, distance: Tensor) -> dict[str, Any]:
        area = robustness_area(distance, self.furthest)
        median = float(distance.double().sort().values[(len(distance) - 1) // 2])
        failed = int(torch.isinf(distance).sum())
        return {"attack": name, "median": median if math.isfinite(median) else None, "area": area, "failed": failed}

    def figure(self) -> Figure:
        """Accuracy against distance, a line an attack; the envelope is what is known of the network."""
        figure = blank_figure(figsize=(7, 4.2), layout="constrained")
        axes = figure.add_subplot(xlabel=f"distance ({self.norm})", ylabel="accuracy", title="Robustness curve")
        right = 1.05 * self.furthest or 1.0
        for name, distance in {**self.distances, "all together": self.lowest}.items():
            together = name == "all together"
            if together and len(self.results) == 1:
                continue
            steps, left = curve_of(distance)
            axes.step(
                [*steps.tolist(), right],
                [*left.tolist(), float(left[-1])],
                where="post",
                label=f"{name} (area {robustness_area(distance, self.furthest):.3g})",
                color="black" if together else None,
                linestyle="--" if together else "-",
                linewidth=1.2 if together else 1.6,
            )
        axes.set_xlim(0, right)
        axes.set_ylim(0, 1)
        axes.legend(fontsize=8)
        return figure


def curve_of(distance: Tensor) -> tuple[Tensor, Tensor]:
    """Where the accuracy falls, from 0 on, and what it is from there, both float64 [n + 1]."""
    reached = distance.double()[torch.isfinite(distance)].sort().values
    fallen = torch.arange(len(reached) + 1, dtype=torch.float64) / len(distance)
    return torch.cat([reached.new_zeros(1), reached]), 1 - fallen


def robustness_area(distance: Tensor, most: float) -> float:
    """The area under accuracy against distance from 0 to `most`: the mean of distances [B], none above `most`."""
    return float(distance.double().clamp(max=most).mean())


def robustness_curve(
    model: Frozen | nn.Module | Callable[[Tensor], Tensor],
    x: Tensor,
    y: Any,
    norm: str = "l2",
    attacks: Mapping[str, MinimalNormAttack] | None = None,
    seed: int = 0,
    ids: Any = None,
    *,
    progress: Callable[[str], None] | None = None,
) -> RobustnessCurve:
    """Look for the nearest input that fools the model, by each attack from the inputs themselves.

    Args:
        model: a network, frozen or not; if not, its inputs are taken to lie in [0, 1].
        x: inputs [B, ...] in the bounds.
        y: their classes, [B].
        norm: "l0", "l1", "l2" or "linf".
        attacks: minimal-norm attacks in that norm by name; `MinimalNorm` alone if not given.
        seed: what all chance is drawn from, together with the ids.
        ids: what each input's randomness is keyed by; the position if not given.
        progress: called with each attack's name before it runs.

    Raises:
        ValueError, TypeError: anything that does not fit, and attacks in another norm, before any work.
    """
    chosen = {"MinimalNorm": MinimalNorm(find_norm(norm).name)} if attacks is None else dict(attacks)
    if not chosen:
        raise ValueError("attacks must hold at least one minimal-norm attack; leave it out for MinimalNorm.")
    for name, attack in chosen.items():
        if not isinstance(attack, MinimalNormAttack):
            kind = type(attack).__name__
            raise TypeError(f"{name} must be a minimal-norm attack, not {kind}; put it into EpsilonBisection.")
        if attack.norm != norm:
            raise ValueError(f"{name} searches in {attack.norm}, and the curve is of {norm}; give both the same norm.")
    net = frozen(model)
    results, seconds = {}, {}
    for name, attack in chosen.items():
        if progress is not None:
            progress(name)
        started = time.perf_counter()
        results[name] = attack(net, x, y, seed=seed, ids=ids)
        seconds[name] = time.perf_counter() - started
    return RobustnessCurve(norm, results, seconds)
