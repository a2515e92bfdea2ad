"""Traits of a network that a search depends on: number of classes, probabilities, randomness, batch dependence."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt.nets.frozen import Frozen
from inputopt.search.network_draws import keyed

PROBABILITIES = "The model seems to return probabilities: attacks want logits, whose gradients do not fade."


LOOKED_AT = 8
"""Rows that the network is shown before a search."""


TIMES = 3
"""How often the network is asked about one row before a search: always alike, it is taken to be steady."""


MOST = 512
"""Rows that a network is shown which draws random numbers that seem not to matter."""


DRAWS = 9
"""Draws in which a network that draws random numbers is asked about one row: all alike, they do not matter."""


@dataclass(frozen=True)
class NetworkTraits:
    """What a few forwards tell of a network.

    Attributes:
        classes: how many it tells apart.
        probabilities: whether it seems to return probabilities.
        random: whether the same rows get other answers in another draw of its randomness.
        stateful: whether the same rows get other answers at a later call, though its randomness is the same.
        batch_dependent: whether a row gets another answer beside other rows.
    """

    classes: int
    probabilities: bool
    random: bool = False
    stateful: bool = False
    batch_dependent: bool = False

    @property
    def varies(self) -> bool:
        """Whether a later forward may answer otherwise, so that single answers prove nothing."""
        return self.random or self.stateful


def looks_like_probabilities(logits: Tensor) -> bool:
    """Whether every row of [B, n] is at least 0 and sums to 1."""
    sums = logits.sum(1)
    return bool((logits >= 0).all()) and bool(torch.allclose(sums, torch.ones_like(sums), atol=1e-4))


@torch.no_grad()
def look(net: Frozen, x: Tensor) -> NetworkTraits:
    """Show a network the first rows of x [B, ...] together, and the first alone, several times.

    Raises:
        ValueError: it does not take such inputs, its logits are all NaN, or it tells fewer than two classes apart.
    """
    rows, together = _first_answers(net, x)
    classes = together.shape[1]
    if classes < 2:
        raise ValueError(
            "The model has a single output, so there is no class to leave or reach; give one with two or more."
        )
    known = NetworkTraits(classes, looks_like_probabilities(together))
    again = torch.cat([_alone(net, rows) for _ in range(TIMES)])
    steady = same_answers(again, together[:1].expand_as(again))
    if len(rows) == 1:
        steady = steady and _alike_beside_others(net, rows, together)
    return known if steady and not net.is_random else _unsteady(net, rows, x[:MOST], known)


def _first_answers(net: Frozen, x: Tensor) -> tuple[Tensor, Tensor]:
    """The first few rows of x that get an answer together, and the answers; the first of all if some do."""
    for rows in torch.split(x, LOOKED_AT):
        together = net.observed(rows.clone())  # a foreign model may write to what it is given
        if not bool(together.isnan().all()):
            return rows.clone(), together
    raise ValueError("The model's logits are NaN; check its weights and what it expects its inputs to be.")


def _alone(net: Frozen, rows: Tensor) -> Tensor:
    """The answer to the first row by itself."""
    try:
        return net(rows[:1].clone())
    except ValueError as error:
        if isinstance(error, MemoryError):
            raise
        raise ValueError(
            f"The model takes these inputs together but not one alone ({error}); use batch norms with running "
            "statistics, so that an input's class does not depend on its neighbours."
        ) from error


def count_classes(net: Frozen, x: Tensor) -> int:
    """How many classes the network tells apart in inputs like x [B, ...].

    Raises:
        ValueError: as `look`.
    """
    return look(net, x).classes


def _alike_beside_others(net: Frozen, row: Tensor, alone: Tensor) -> bool:
    """Whether a single row gets the same answer beside another, which is made of its own numbers in another order."""
    other = row.flatten(1).flip(1).reshape(row.shape)
    return same_answers(net(torch.cat([row, other]))[:1], alone)


def _unsteady(net: Frozen, rows: Tensor, more: Tensor, known: NetworkTraits) -> NetworkTraits:
    """Why the same rows may get other answers."""
    one, several = rows[:1], rows if len(rows) > 1 else torch.cat([rows, rows.flatten(1).flip(1).reshape(rows.shape)])
    draws = keyed(0, purpose=1)

    def answer(of: Tensor, draw: int) -> Tensor:
        with draws(draw):
            return net(of.clone())

    stateful = not same_answers(answer(rows, 0), answer(rows, 0))
    random = not stateful and not (
        all(same_answers(answer(rows, 0), answer(rows, draw)) for draw in range(1, DRAWS))
        and same_answers(answer(more, 0), answer(more, 1))  # it may be random at some inputs only
    )
    batch_dependent = not stateful and not random and not same_answers(answer(several, 0)[:1], answer(one, 0))
    return NetworkTraits(known.classes, known.probabilities, random, stateful, batch_dependent)


def same_answers_alone(net: Frozen, x: Tensor, logits: Tensor, count: int) -> bool:
    """Whether `count` of the inputs x [B, ...], the last among them, get the logits [B, n] that they got beside others.

    A network may look at its batch only where that is large enough, or only at some inputs, which no first look shows.
    """
    if not len(x):
        return True
    rows = torch.linspace(0, len(x) - 1, min(count, len(x))).round().long().tolist()
    return same_answers(torch.cat([net(x[row : row + 1].clone()) for row in rows]), logits[rows])


def same_answers(one: Tensor, other: Tensor) -> bool:
    """Whether logits [B, n] are equal but for the rounding that another batch size brings.

    It is measured by the highest logits and the least quarter: others may stand for classes that are ruled out, at -1e9
    or so, beside which nothing would count.
    """
    tolerance = 1e3 * torch.finfo(one.dtype).eps
    sizes = other.nan_to_num(0, 0, 0)
    scale = torch.maximum(sizes.amax(1).abs(), sizes.abs().quantile(0.25, dim=1))[:, None]
    apart, allowed = (one - other).abs(), tolerance * (other.abs() + scale)
    return bool(((apart <= allowed) | (one == other) | (one.isnan() & other.isnan())).all())
