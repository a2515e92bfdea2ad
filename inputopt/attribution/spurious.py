"""What does an answer hang on? For each class, where and how an input search moves its inputs to leave it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from inputopt import checks
from inputopt.attacks import DDN
from inputopt.nets.ambient import ambient
from inputopt.nets.frozen import Frozen, frozen
from inputopt.search import keyed_random
from inputopt.search.bounds import range_of
from inputopt.search.inputs import check_problem, floats

FLIPS = 0.5
"""A class is suspicious if another class's colour in one region turns this share of its inputs round."""


@dataclass(frozen=True)
class ClassFinding:
    """What moves the inputs of one class; regions are (row, column) from 0 at the top left.

    Attributes:
        label: the class.
        inputs: how many of its inputs, recognised as they are, were searched from.
        flipped: how many the search led out of the class.
        distance: the median L2 distance it needed.
        region: the part of the image that it moved most.
        share: the part of the change, by its squared length, that lies there.
        plain: the part of the change there that is one amount a channel, the same for all pixels.
        hinge: the region whose mean colour the answer hangs on most.
        swapped: the share of inputs that leave the class if that region, and nothing else, is given the mean colour
            that it has in an input of another class.
    """

    label: int
    inputs: int
    flipped: int
    distance: float
    region: tuple[int, int]
    share: float
    plain: float
    hinge: tuple[int, int]
    swapped: float


@dataclass(frozen=True)
class Spurious:
    """What an input search moves to leave each class; a class without recognised inputs is not among the findings.

    Attributes:
        grid: (rows, columns) of the regions.
        energy: where each class's inputs were moved, as shares of the squared change, [classes found, rows, columns].
        swaps: the share of inputs that leave the class as each region gets another class's colour, of the same shape.
        findings: one a class.
    """

    grid: tuple[int, int]
    energy: Tensor
    swaps: Tensor
    findings: tuple[ClassFinding, ...]

    def suspicious(self) -> list[int]:
        """The classes whose answer hangs on the colour of one region."""
        return [row.label for row in self.findings if row.swapped >= FLIPS]

    def table(self) -> str:
        """The findings in words, a line a class."""
        marked = set(self.suspicious())
        lines = []
        for row in self.findings:
            lines.append(
                f"class {row.label}: {row.share:.0%} of the least change is in {_place(row.region)}, "
                f"{row.plain:.0%} of that all one way; another class's colour in {_place(row.hinge)} alone "
                f"turns {row.swapped:.0%} of {row.inputs} round" + ("  <- suspicious" if row.label in marked else "")
            )
        return "\n".join(lines)


def _place(region: tuple[int, int]) -> str:
    return f"row {region[0] + 1}, column {region[1] + 1}"


@ambient()
def spurious(
    model: Frozen | nn.Module | Callable[[Tensor], Tensor],
    x: Any,
    y: Any,
    grid: tuple[int, int] = (3, 1),
    *,
    steps: int = 100,
    seed: int = 0,
) -> Spurious:
    """Find the least changes that leave each class, and ask what they have in common.

    The search says where a change tells most. Whether that is a shortcut is then tried out: each region in turn is
    given the mean colour that it has in inputs of other classes, all else kept. An answer that rests on things, and not
    on the light of a corner of the picture, stays.

    Args:
        model: a network, frozen or not; if not, its inputs are taken to lie in [0, 1].
        x: images [B, C, H, W] in the bounds.
        y: their classes, [B].
        grid: into how many rows and columns of regions the images are cut.
        steps: of the search for the least change (DDN, L2).
        seed: what all chance is drawn from.

    Raises:
        ValueError, TypeError: inputs, classes or numbers that do not fit, or no input that is recognised.
    """
    net = frozen(model)
    rows, columns = (checks.whole("grid", number) for number in grid)
    attack, seed = DDN(steps=checks.whole("steps", steps)), checks.seed(seed)
    x = floats("x", x)
    if x.ndim != 4:
        raise ValueError(f"Regions are of images [B, C, H, W], not of inputs {list(x.shape)}.")
    if rows > x.shape[2] or columns > x.shape[3]:
        raise ValueError(f"A grid of {rows} x {columns} is finer than the images, {x.shape[2]} x {x.shape[3]}.")
    problem, _ = check_problem(net, x, y)
    x, y = problem.x0, problem.label
    known = _prediction(net, x) == y
    if not bool(known.any()):
        raise ValueError("The model recognises none of these inputs, so there is no class to leave.")
    least = attack(net, x[known], y[known], seed=seed)
    x, y = x[known], y[known]
    cells = _cells(x.shape[2], x.shape[3], (rows, columns)).to(x.device)
    energy, swaps, findings = [], [], []
    for label in y.unique().tolist():
        own = y == label
        if bool(least.success[own].any()):
            shares, plain = _moved((least.x - x)[own][least.success[own]], cells)
            turned = _swapped(net, x, own, cells, label, seed)
            energy.append(shares.reshape(rows, columns))
            swaps.append(turned.reshape(rows, columns))
            most, hinge = int(shares.argmax()), int(turned.argmax())
            findings.append(
                ClassFinding(
                    label,
                    int(own.sum()),
                    int(least.success[own].sum()),
                    float(least.distance[own][least.success[own]].median()),
                    divmod(most, columns),
                    float(shares[most]),
                    float(plain[most]),
                    divmod(hinge, columns),
                    float(turned[hinge]),
                )
            )
    if not findings:
        raise ValueError("The search led no input out of its class; give more steps.")
    return Spurious((rows, columns), torch.stack(energy), torch.stack(swaps), tuple(findings))


def _moved(change: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
    """The share of changes [B, C, H, W] in each region, and how much of it there is one amount a channel, [regions]."""
    each = _members(cells, change)
    energy = change.square().sum(1).flatten(1) @ each
    shares = energy / energy.sum(1, keepdim=True)
    plain = ((change.flatten(2) @ each).square() / each.sum(0)).sum(1)
    return shares.mean(0), (plain / energy.clamp_min(torch.finfo(change.dtype).tiny)).mean(0)


def _swapped(net: Frozen, x: Tensor, own: Tensor, cells: Tensor, label: int, seed: int) -> Tensor:
    """The share of a class's inputs that leave it as a region gets the mean colour of another class's, [regions]."""
    mine, others = x[own], x[~own]
    each = _members(cells, x)
    if not len(others):
        return x.new_zeros(each.shape[1])
    drawn = keyed_random.uniform((), seed, own.nonzero()[:, 0])  # whose colour each of them gets
    given = others[(drawn * len(others)).long()]
    difference = ((given - mine).flatten(2) @ each) / each.sum(0)  # [B, C, regions]
    within, turned = range_of(net, x), []
    for region in range(each.shape[1]):
        optimise_picture = within.clamp(mine + difference[:, :, region, None, None] * (cells == region))
        seen = _prediction(net, optimise_picture)
        turned.append(((seen != label) & (seen != NOTHING)).to(x.dtype).mean())
    return torch.stack(turned)


NOTHING = -1
"""What a network predicts whose logits are NaN."""


def _prediction(net: Frozen, x: Tensor) -> Tensor:
    """The class that the network sees in each input, int64 [B]; `NOTHING` where its logits are NaN."""
    with torch.no_grad():
        logits = net(x)
    return logits.argmax(1).masked_fill(logits.isnan().any(1), NOTHING)


def _members(cells: Tensor, like: Tensor) -> Tensor:
    return functional.one_hot(cells).to(like).flatten(0, 1)


def _cells(height: int, width: int, grid: tuple[int, int]) -> Tensor:
    """The number of each pixel's region, [H, W]."""
    down, across = torch.arange(height) * grid[0] // height, torch.arange(width) * grid[1] // width
    return down[:, None] * grid[1] + across
