"""Network traits that a search depends on: number of classes, probability outputs, randomness, batch dependence."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inputopt.nets.class_probabilities import looks_like_probabilities
from inputopt.nets.frozen import Frozen
from inputopt.search.network_draws import keyed
from inputopt.search.objectives.probability_scores import Scores, enlarged_scores, log_scores, unchanged_scores

PROBABILITIES = (
    "The model seems to return probabilities: losses are computed from their logarithms, but where a probability "
    "underflows to 0 its gradient is lost; return logits."
)


EXAMPLES_RUN = 8
"""Number of inputs that the network is run on before a search."""


REPEATS = 3
"""Repeated runs on one input before a search: a network with equal logits in all is taken to be deterministic."""


MAX_INPUTS = 512
"""Number of inputs on which a network that draws random numbers is checked for an effect of them on the logits."""


DRAWS = 9
"""Draws compared for a network that draws random numbers: if all give equal logits, the numbers have no effect."""


@dataclass(frozen=True)
class NetworkTraits:
    """Traits of a network found by a few forward passes.

    Attributes:
        classes: number of classes.
        probabilities: whether its outputs seem to be probabilities rather than logits.
        random: whether the logits of the same inputs depend on the draw of its random numbers.
        stateful: whether the logits of the same inputs change between calls with the same random numbers.
        batch_dependent: whether the logits of an input depend on the other inputs of the batch.
        exponent: losses are computed from the logits times 2 to this power: 0 unless the logits are so small that
            float32 could not hold their gradients.
    """

    classes: int
    probabilities: bool
    random: bool = False
    stateful: bool = False
    batch_dependent: bool = False
    exponent: int = 0

    @property
    def scores(self) -> Scores:
        """The function from the model's outputs to the scores that losses are computed from."""
        if self.probabilities:
            return log_scores
        return enlarged_scores(self.exponent) if self.exponent else unchanged_scores

    @property
    def stochastic(self) -> bool:
        """Whether another forward pass may give other logits, so that a single one is not conclusive."""
        return self.random or self.stateful


TINY, LARGEST_EXPONENT = 1e-12, 120
"""Largest absolute logit up to which logits are enlarged, and the largest exponent, with which they stay finite."""


def _exponent(logits: Tensor) -> int:
    """The exponent of `NetworkTraits` for logits [B, n], with which the largest is between 8 and 16, as if trained."""
    largest = float(logits.nan_to_num(0, 0, 0).abs().max())
    return min(LARGEST_EXPONENT, 4 - math.frexp(largest)[1]) if 0 < largest < TINY else 0


@torch.no_grad()
def find_traits(net: Frozen, x: Tensor) -> NetworkTraits:
    """Find a network's traits by running it on the first rows of x [B, ...] as a batch and repeatedly on one alone.

    Raises:
        ValueError: the network rejects such inputs, its logits are all NaN, or it has fewer than two classes.
    """
    rows, logits = _first_logits(net, x)
    classes = logits.shape[1]
    if classes < 2:
        raise ValueError(
            "The model has a single output, but at least two classes are needed; give a model with two or more outputs."
        )
    traits = NetworkTraits(classes, looks_like_probabilities(logits), exponent=_exponent(logits))
    repeated = torch.cat([_first_row_logits(net, rows) for _ in range(REPEATS)])
    unchanged = same_logits(repeated, logits[:1].expand_as(repeated))
    if len(rows) == 1:
        unchanged = unchanged and _same_in_batch_of_two(net, rows, logits)
    return traits if unchanged and not net.is_random else _varying_traits(net, rows, x[:MAX_INPUTS], traits)


def _first_logits(net: Frozen, x: Tensor) -> tuple[Tensor, Tensor]:
    """The first `EXAMPLES_RUN` rows of x, or the next ones whose logits are not all NaN, and their logits."""
    for rows in torch.split(x, EXAMPLES_RUN):
        logits = net.observed(rows.clone())  # the model may modify its input in place
        if not bool(logits.isnan().all()):
            return rows.clone(), logits
    raise ValueError("The model's logits are NaN; check its weights and the inputs that it expects.")


def _first_row_logits(net: Frozen, rows: Tensor) -> Tensor:
    """The logits of the first row as a batch of one."""
    try:
        return net(rows[:1].clone())
    except ValueError as error:
        if isinstance(error, MemoryError):
            raise
        raise ValueError(
            f"The model accepts these inputs as a batch but not a single input ({error}); use batch norms with running "
            "statistics, so that an input's class does not depend on the rest of the batch."
        ) from error


def count_classes(net: Frozen, x: Tensor) -> int:
    """Number of classes of the network for inputs like x [B, ...].

    Raises:
        ValueError: as `find_traits`.
    """
    return find_traits(net, x).classes


def _same_in_batch_of_two(net: Frozen, row: Tensor, logits_alone: Tensor) -> bool:
    """Whether a row has the same logits in a batch with a second row, made of its own elements in reverse order."""
    other = row.flatten(1).flip(1).reshape(row.shape)
    return same_logits(net(torch.cat([row, other]))[:1], logits_alone)


def _varying_traits(net: Frozen, rows: Tensor, more_rows: Tensor, traits: NetworkTraits) -> NetworkTraits:
    """Test whether the logits vary between calls, between random draws or with the batch."""
    one, several = rows[:1], rows if len(rows) > 1 else torch.cat([rows, rows.flatten(1).flip(1).reshape(rows.shape)])
    draws = keyed(0, purpose=1)

    def logits(x: Tensor, draw: int) -> Tensor:
        with draws(draw):
            return net(x.clone())

    stateful = not same_logits(logits(rows, 0), logits(rows, 0))
    random = not stateful and not (
        all(same_logits(logits(rows, 0), logits(rows, draw)) for draw in range(1, DRAWS))
        and same_logits(logits(more_rows, 0), logits(more_rows, 1))  # the model may be random for some inputs only
    )
    batch_dependent = not stateful and not random and not same_logits(logits(several, 0)[:1], logits(one, 0))
    return replace(traits, random=random, stateful=stateful, batch_dependent=batch_dependent)


def same_logits_alone(net: Frozen, x: Tensor, logits: Tensor, count: int) -> bool:
    """Whether `count` evenly spaced rows of x [B, ...], including the last, have alone the logits in `logits` [B, n].

    A network may depend on its batch only for large batches or for some inputs, which `find_traits` cannot detect.
    """
    if not len(x):
        return True
    rows = torch.linspace(0, len(x) - 1, min(count, len(x))).round().long().tolist()
    return same_logits(torch.cat([net(x[row : row + 1].clone()) for row in rows]), logits[rows])


def same_logits(one: Tensor, other: Tensor) -> bool:
    """Whether logits [B, n] are equal up to the rounding differences between batch sizes.

    The tolerance scales with the highest logit and the lower quartile of the absolute logits. It does not scale with
    the largest absolute logit: excluded classes may have logits of about -1e9, which would hide all differences.
    """
    tolerance = 1e3 * torch.finfo(one.dtype).eps
    sizes = other.nan_to_num(0, 0, 0)
    scale = torch.maximum(sizes.amax(1).abs(), sizes.abs().quantile(0.25, dim=1))[:, None]
    difference, allowed = (one - other).abs(), tolerance * (other.abs() + scale)
    return bool(((difference <= allowed) | (one == other) | (one.isnan() & other.isnan())).all())
