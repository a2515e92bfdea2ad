"""Spurious features: for each class, which image region drives the prediction, and whether its mean colour suffices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from inputopt import checks
from inputopt.attacks import DDN
from inputopt.nets.default_modes import default_modes
from inputopt.nets.frozen import Frozen, frozen
from inputopt.search import keyed_random
from inputopt.search.bounds import range_of
from inputopt.search.inputs import check_problem, floats
from inputopt.summaries import Summarised, Summary, Table

FLIPS = 0.5
"""A class is suspicious if another class's mean colour in one region changes this fraction of its predictions."""


@dataclass(frozen=True)
class ClassFinding:
    """The results for one class; regions are (row, column), counted from 0 at the top left.

    Attributes:
        label: the class.
        inputs: number of its correctly classified inputs, which were attacked.
        flipped: number of those on which the attack succeeded.
        distance: median L2 distance of the successes.
        region: the region with the largest share of the perturbation's energy.
        share: fraction of the perturbation's squared L2 norm in `region`.
        uniform: fraction of the energy in `region` that is a constant offset per channel over all its pixels.
        decisive_region: the region whose mean colour affects the prediction most.
        swap_rate: fraction of inputs that are misclassified if only `decisive_region` is shifted to the mean colour
            that it has in an input of another class.
    """

    label: int
    inputs: int
    flipped: int
    distance: float
    region: tuple[int, int]
    share: float
    uniform: float
    decisive_region: tuple[int, int]
    swap_rate: float


@dataclass(frozen=True, repr=False)
class Spurious(Summarised):
    """The results of `spurious`; classes without a successful attack on a correctly classified input are left out.

    Attributes:
        grid: (rows, columns) of the regions.
        energy: fraction of the perturbations' squared L2 norm per region, [classes found, rows, columns].
        swaps: fraction of inputs misclassified when a region gets another class's mean colour, of the same shape.
        findings: one per class.
    """

    grid: tuple[int, int]
    energy: Tensor
    swaps: Tensor
    findings: tuple[ClassFinding, ...]

    def suspicious(self) -> list[int]:
        """The classes whose predictions depend on the mean colour of one region, by `FLIPS`."""
        return [row.label for row in self.findings if row.swap_rate >= FLIPS]

    def table(self, class_text: Callable[[int], str] = str) -> str:
        """The findings as text, one line per class, which `class_text` puts into words."""
        marked = set(self.suspicious())
        lines = []
        for row in self.findings:
            lines.append(
                f"class {class_text(row.label)}: {row.share:.0%} of the perturbation's energy is in "
                f"{_place(row.region)}, {row.uniform:.0%} of that as a constant offset; another class's mean colour in "
                f"{_place(row.decisive_region)} alone misclassifies {row.swap_rate:.0%} of {row.inputs} inputs"
                + ("  <- suspicious" if row.label in marked else "")
            )
        return "\n".join(lines)

    def _summary(self, images: bool) -> Summary:
        facts = [
            ("", f"{len(self.findings)} classes"),
            ("regions", f"{self.grid[0]} x {self.grid[1]}"),
            ("suspicious classes:", ", ".join(map(str, self.suspicious())) or "none"),
        ]
        rows = [
            [
                str(row.label),
                str(row.inputs),
                _place(row.region),
                f"{row.share:.0%}",
                f"{row.uniform:.0%}",
                _place(row.decisive_region),
                f"{row.swap_rate:.0%}",
            ]
            for row in self.findings
        ]
        return Summary("Spurious", facts, tables=[Table(HEADS, rows)])


HEADS = (
    "class",
    "inputs",
    "most perturbed region",
    "its share of the energy",
    "constant offset",
    "decisive region",
    "misclassified by its mean colour in other classes",
)


def _place(region: tuple[int, int]) -> str:
    return f"row {region[0] + 1}, column {region[1] + 1}"


@default_modes()
def spurious(
    model: Frozen | nn.Module | Callable[[Tensor], Tensor],
    x: Any,
    y: Any,
    grid: tuple[int, int] = (3, 1),
    *,
    steps: int = 100,
    seed: int = 0,
) -> Spurious:
    """Find the image regions that drive each class's predictions, and test whether they are colour shortcuts.

    A minimal-norm attack shows where a perturbation changes the prediction most. Each region in turn is then shifted to
    the mean colour that it has in inputs of other classes, with all else unchanged. A prediction that depends on
    objects, and not on the brightness of a part of the image, does not change.

    Args:
        model: a network, frozen or not; if not, its inputs are taken to lie in [0, 1].
        x: images [B, C, H, W] in the bounds.
        y: labels [B].
        grid: number of rows and columns of regions.
        steps: number of steps of the minimal-norm attack (DDN, L2).
        seed: seed of all random numbers.

    Raises:
        ValueError, TypeError: invalid inputs, labels or settings, or no input is classified correctly or successfully
            attacked.
    """
    net = frozen(model)
    rows, columns = (checks.whole("grid", number) for number in grid)
    attack, seed = DDN(steps=checks.whole("steps", steps)), checks.seed(seed)
    x = floats("x", x)
    if x.ndim != 4:
        raise ValueError(f"spurious needs images [B, C, H, W], not inputs of shape {list(x.shape)}.")
    if rows > x.shape[2] or columns > x.shape[3]:
        raise ValueError(f"A grid of {rows} x {columns} is finer than the images, {x.shape[2]} x {x.shape[3]}.")
    problem, _ = check_problem(net, x, y)
    x, y = problem.x0, problem.label
    correct = _prediction(net, x) == y
    if not bool(correct.any()):
        raise ValueError("The model classifies none of these inputs correctly, so there is none to attack.")
    least = attack(net, x[correct], y[correct], seed=seed)
    x, y = x[correct], y[correct]
    cells = _cells(x.shape[2], x.shape[3], (rows, columns)).to(x.device)
    energy, swaps, findings = [], [], []
    for label in y.unique().tolist():
        members = y == label
        if bool(least.success[members].any()):
            shares, uniform = _energy_shares((least.x - x)[members][least.success[members]], cells)
            flip_rates = _swap_rates(net, x, members, cells, label, seed)
            energy.append(shares.reshape(rows, columns))
            swaps.append(flip_rates.reshape(rows, columns))
            most, decisive_region = int(shares.argmax()), int(flip_rates.argmax())
            findings.append(
                ClassFinding(
                    label,
                    int(members.sum()),
                    int(least.success[members].sum()),
                    float(least.distance[members][least.success[members]].median()),
                    divmod(most, columns),
                    float(shares[most]),
                    float(uniform[most]),
                    divmod(decisive_region, columns),
                    float(flip_rates[decisive_region]),
                )
            )
    if not findings:
        raise ValueError("The attack did not succeed on any input; give more steps.")
    return Spurious((rows, columns), torch.stack(energy), torch.stack(swaps), tuple(findings))


def _energy_shares(change: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
    """Mean over changes [B, C, H, W] of the energy fraction in each region and its constant part, both [regions]."""
    masks = _region_masks(cells, change)
    energy = change.square().sum(1).flatten(1) @ masks
    shares = energy / energy.sum(1, keepdim=True)
    uniform = ((change.flatten(2) @ masks).square() / masks.sum(0)).sum(1)
    return shares.mean(0), (uniform / energy.clamp_min(torch.finfo(change.dtype).tiny)).mean(0)


def _swap_rates(net: Frozen, x: Tensor, members: Tensor, cells: Tensor, label: int, seed: int) -> Tensor:
    """The fraction of inputs of `label` misclassified when a region gets another class's mean colour, [regions]."""
    inputs_of_class, others = x[members], x[~members]
    masks = _region_masks(cells, x)
    if not len(others):
        return x.new_zeros(masks.shape[1])
    drawn = keyed_random.uniform((), seed, members.nonzero()[:, 0])  # chooses the donors
    donors = others[(drawn * len(others)).long()]
    difference = ((donors - inputs_of_class).flatten(2) @ masks) / masks.sum(0)  # [B, C, regions]
    within, flip_rates = range_of(net, x), []
    for region in range(masks.shape[1]):
        changed = within.clamp(inputs_of_class + difference[:, :, region, None, None] * (cells == region))
        predicted = _prediction(net, changed)
        flip_rates.append(((predicted != label) & (predicted != NOTHING)).to(x.dtype).mean())
    return torch.stack(flip_rates)


NOTHING = -1
"""The prediction for an input whose logits are NaN."""


def _prediction(net: Frozen, x: Tensor) -> Tensor:
    """The predicted class of each input, int64 [B]; `NOTHING` where its logits are NaN."""
    with torch.no_grad():
        logits = net(x)
    return logits.argmax(1).masked_fill(logits.isnan().any(1), NOTHING)


def _region_masks(cells: Tensor, like: Tensor) -> Tensor:
    return functional.one_hot(cells).to(like).flatten(0, 1)


def _cells(height: int, width: int, grid: tuple[int, int]) -> Tensor:
    """The index of each pixel's region, [H, W], row by row."""
    down, across = torch.arange(height) * grid[0] // height, torch.arange(width) * grid[1] // width
    return down[:, None] * grid[1] + across
