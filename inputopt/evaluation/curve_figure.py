"""Plots of accuracy against distance, and the step functions that they show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from inputopt.files import blank_figure
from inputopt.wilson_interval import wilson

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def curve_of(distance: Tensor) -> tuple[Tensor, Tensor]:
    """The step function of accuracy: its sorted distances, from 0 on, and the accuracy from each, float64 [n + 1]."""
    distances = distance.double()[torch.isfinite(distance)].sort().values
    fooled = torch.arange(len(distances) + 1, dtype=torch.float64) / len(distance)
    return torch.cat([distances.new_zeros(1), distances]), 1 - fooled


def robustness_area(distance: Tensor, most: float) -> float:
    """The area under the robustness curve from 0 to `most`: the mean of the distances [B] clipped at `most`."""
    return float(distance.double().clamp(max=most).mean())


def curve_figure(norm: str, lines: Mapping[str, Tensor], dashed: Mapping[str, Tensor]) -> Figure:
    """A plot of accuracy against distance with 95 % bands, up to the largest finite distance.

    Args:
        norm: norm of the distances.
        lines: distances of the inputs by the name of a line, [B] each.
        dashed: those of lines to draw dashed, in black.
    """
    figure = blank_figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot(xlabel=f"distance ({norm})", ylabel="accuracy", title="Robustness curve")
    every = {**lines, **dashed}
    finite = torch.cat([distance[torch.isfinite(distance)].double().cpu() for distance in every.values()])
    furthest = float(finite.amax()) if len(finite) else 0.0
    limit = 1.05 * furthest or 1.0
    for name, distance in every.items():
        steps, accuracies = curve_of(distance)
        places, shares = [*steps.tolist(), limit], [*accuracies.tolist(), float(accuracies[-1])]
        low, high = zip(*(wilson(share, len(distance)) for share in shares), strict=True)
        (line,) = axes.step(
            places,
            shares,
            where="post",
            label=f"{name} (area {robustness_area(distance, furthest):.3g})",
            color="black" if name in dashed else None,
            linestyle="--" if name in dashed else "-",
            linewidth=1.2 if name in dashed else 1.6,
        )
        axes.fill_between(places, low, high, step="post", alpha=0.15, linewidth=0, color=line.get_color())
    axes.set_xlim(0, limit)
    axes.set_ylim(0, 1)
    axes.legend(fontsize=8)
    return figure
