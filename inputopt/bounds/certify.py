"""`certify`: which inputs are classified correctly in a whole ball, proven by bounds of the network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from inputopt import checks
from inputopt.bounds.ball import Ball, ball_of
from inputopt.bounds.fixed_logits import check_fixed_logits
from inputopt.bounds.network_graph import Graph
from inputopt.bounds.rounding import MEASURED
from inputopt.bounds.stages import Margins, Work, branches_stage, linear_stage, slopes_stage, start
from inputopt.bounds.tracing import graph_of
from inputopt.nets.default_modes import default_modes
from inputopt.nets.frozen import Frozen, frozen
from inputopt.search.eps_range import check_eps, eps_or_default
from inputopt.search.inputs import check_problem
from inputopt.search.keyed_random import uniform
from inputopt.search.norms import NORMS as ALL_NORMS
from inputopt.search.norms import NormName, find_norm
from inputopt.summaries import Summarised, Summary
from inputopt.wilson_interval import Interval, wilson, with_interval

NORMS = ("linf", "l2", "l1")
"""Norms in which balls are convex, so that linear bounds have exact minima on them."""

POINTS = 2
"""Random points of each ball's box at which the network's rounding is measured, beside the centre and both ends."""

EXAMPLES = 64
"""Examples that go through the linear stages together; results do not depend on it."""


@dataclass(frozen=True, repr=False)
class Certificate(Summarised):
    """What was proven about each input.

    Attributes:
        certified: whether no input in its ball within the bounds is misclassified, bool [B]. An input that is
            misclassified itself is never certified.
        lower: the least margin proven, [B], in float64: over the ball, the label's logit exceeds all others by at least
            this; not positive where nothing is proven.
        method: the cheapest stage that proved each input: "interval", "crown", "alpha-crown" or "branch and bound";
            "none" where none did.
        norm: the norm of the balls.
        eps: the radii, [B].
    """

    certified: Tensor
    lower: Tensor
    method: tuple[str, ...]
    norm: str
    eps: Tensor

    @property
    def accuracy(self) -> float:
        """The fraction of the inputs that is certified, a lower bound of the robust accuracy."""
        return float(self.certified.double().mean())

    @property
    def interval(self) -> Interval:
        """The 95 % Wilson interval of `accuracy`, if the inputs are a random sample."""
        return wilson(self.accuracy, len(self.certified))

    def _summary(self, images: bool) -> Summary:
        counts = Counter(self.method)
        facts = [
            ("certified", f"{int(self.certified.sum())} of {len(self.certified)}"),
            ("accuracy at least", with_interval(self.accuracy, self.interval)),
            ("in", f"{self.norm} {float(self.eps.min()):g}"),
        ]
        return Summary("Certificate", facts, [(name, str(count)) for name, count in counts.items()])


@default_modes()
def certify(
    model: Frozen | nn.Module,
    x: Any,
    y: Any = None,
    norm: NormName = "linf",
    eps: Any = None,
    *,
    budget: int = 2000,
) -> Certificate:
    """Prove that inputs are classified correctly in a whole ball within the bounds, where that can be proven.

    Cheap bounds come first, and each stage only treats the inputs that the ones before it left open: intervals (Gowal
    et al., 2018), CROWN (Zhang et al., 2018), optimised slopes (alpha-CROWN, Xu et al., 2021), and branch and bound on
    the signs of ReLU inputs (beta-CROWN, Wang et al., 2021), or on the inputs themselves where there are at most 16.

    Bounds are computed in float64, lowered by an allowance for rounding errors (derived in `inputopt.bounds.rounding`),
    and hold for the network with its weights as they are stored. Networks of linear, convolution, pooling and batch
    norm layers, reshapes, additions and the usual activations are supported, in any style of code.

    Args:
        model: a network, frozen or not; if not, its inputs are assumed to lie in [0, 1].
        x: inputs [B, ...] within the bounds, a floating-point tensor or array.
        y: labels [B]; default: the network's predictions.
        norm: "linf", "l2" or "l1"; "l0" is refused.
        eps: radius of the ball: a number, or one for each input; by default 0.1 in Linf, 0.5 in L2, 12 in L1.
        budget: the largest number of linear bounds that optimisation and branch and bound may compute for one input; 0
            for intervals and CROWN only. Work is counted and not time, so that results can be repeated.

    Returns:
        The certificate.

    Raises:
        ValueError, TypeError: an invalid argument, a random network, or an operation that is not supported, which the
            message names.

    >>> net = torch.nn.Linear(2, 2)
    >>> net.weight.data, net.bias.data = torch.eye(2), torch.zeros(2)
    >>> certify(net, torch.tensor([[0.75, 0.25]]), norm="linf", eps=0.125).lower.round(decimals=6)
    tensor([0.2500], dtype=torch.float64)
    """
    if checks.one_of("norm", norm, ALL_NORMS) not in NORMS:
        raise ValueError(f"Bounds are computed in {', '.join(NORMS)}; in {norm}, measure with evaluate instead.")
    budget = checks.whole("budget", budget, least=0)
    net = frozen(model)
    problem, traits = check_problem(net, x, y)
    check_fixed_logits(traits)
    radius = radii(eps_or_default(eps, norm, net.unit), problem.x0)
    check_eps(radius, find_norm(norm), net, problem.x0)
    ball = ball_of(net, problem.x0, norm, radius)
    margins = proven(work_of(net, graph_of(net, problem.x0), ball, problem.x0, problem.label), budget)
    return Certificate(margins.least > 0, margins.least, margins.method, norm, radius)


def radii(eps: Any, x: Tensor) -> Tensor:
    """The radius of each input as float64 [B].

    Raises:
        ValueError, TypeError: not a positive number, or not one for each input.
    """
    if isinstance(eps, (Tensor, list, tuple)) or hasattr(eps, "__array__"):
        made = checks.finite("eps", checks.block("eps", eps).to(x.device, torch.float64))
        if made.ndim and (made.shape != (len(x),) or not bool((made > 0).all())):
            raise ValueError(f"eps must be a number above 0, or {len(x)} of them, one for each input.")
        if made.ndim:
            return made
    return torch.full((len(x),), float(checks.positive("eps", eps)), dtype=torch.float64, device=x.device)


@torch.no_grad()
def work_of(net: Frozen, graph: Graph, ball: Ball, x: Tensor, label: Tensor) -> Work:
    """The work on a batch; the network's own rounding is measured at the clean inputs and at points of their boxes."""
    difference = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    for points in (x, *_points(ball, x)):
        parts = [(net(part) - graph(part.double())).abs().amax(1) for part in torch.split(points, EXAMPLES)]
        difference = torch.maximum(difference, torch.cat(parts).double())
    return Work(graph, graph.to(torch.float32), ball, label, MEASURED * difference)


def _points(ball: Ball, x: Tensor) -> Iterator[Tensor]:
    """Points of each ball's box in the dtype of x, [B, ...]: both ends, and keyed uniform draws, for any batch alike.

    An image that is black has no rounding errors itself, while those of its neighbours are of the usual size.
    """
    keys, width = torch.zeros(len(x), dtype=torch.int64, device=x.device), ball.high - ball.low
    yield from (ball.low.to(x.dtype), ball.high.to(x.dtype))
    for draw in range(POINTS):
        yield (ball.low + uniform(x.shape[1:], 0, keys, draw).to(width) * width).to(x.dtype)


@torch.no_grad()
def proven(work: Work, budget: int) -> Margins:
    """Run the stages; `budget` is that of each example. Inputs that are misclassified get only the first stage."""
    parts = [_proven(work.take(part), budget) for part in torch.split(torch.arange(len(work.label)), EXAMPLES)]
    return Margins(torch.cat([part.value for part in parts]), tuple(name for part in parts for name in part.method))


def _proven(work: Work, budget: int) -> Margins:
    margins = start(work)
    correct = work.graph(work.ball.x0).argmax(1) == work.label
    chosen = margins.open[correct[margins.open]]
    if not len(chosen):
        return margins
    margins, linear = linear_stage(work, margins, chosen)
    left = torch.full_like(work.label, budget)
    still = (margins.least[chosen] <= 0).nonzero()[:, 0]
    chosen, linear = chosen[still], linear.take(still)
    if not budget or not len(chosen):
        return margins
    margins, sloped, left = slopes_stage(linear, margins, chosen, left)
    return branches_stage(linear, margins, chosen, sloped, left)
