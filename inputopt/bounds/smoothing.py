"""Randomised smoothing: certified L2 radii of the classifier that votes over Gaussian noise (Cohen et al., 2019)."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from inputopt import checks
from inputopt.bounds.fixed_logits import check_fixed_logits
from inputopt.nets.default_modes import default_modes
from inputopt.nets.frozen import Frozen, frozen
from inputopt.search.inputs import check_problem
from inputopt.search.keyed_random import child, normal
from inputopt.summaries import Summarised, Summary
from inputopt.wilson_interval import Interval, wilson, with_interval

ABSTAINS = -1
"""The prediction where the votes do not determine a class with the wanted confidence."""

AT_ONCE = 250
"""Noisy copies of one input in one forward; always of one input only, so that results do not depend on the batch."""

BISECTIONS = 60
"""Halvings of the interval that contains a confidence bound: its width is then below the rounding of float64."""

ROUNDING = 1e-9
"""What a confidence bound is lowered by, more than the rounding error of the binomial tail."""


@dataclass(frozen=True, repr=False)
class SmoothedCertificate(Summarised):
    """Predictions of the smoothed classifier, with the L2 radius in which each provably stays the same.

    Each row holds with probability at least `confidence`, over the random draws.

    Attributes:
        prediction: the class, int64 [B]; -1 where the smoothed classifier abstains.
        radius: certified L2 radius, float64 [B]; 0 where it abstains.
        correct: whether the prediction is the label, bool [B]; an abstention is not correct.
        votes: noisy copies that voted for the prediction, int64 [B].
        draws: noisy copies of each input.
        sigma: standard deviation of the noise.
        confidence: probability that a row holds.
    """

    prediction: Tensor
    radius: Tensor
    correct: Tensor
    votes: Tensor
    draws: int
    sigma: float
    confidence: float

    def certified(self, eps: float) -> Tensor:
        """Whether each input is classified correctly in the L2 ball of radius `eps`, bool [B]."""
        return self.correct & (self.radius >= eps)

    def accuracy(self, eps: float) -> float:
        """The fraction of the inputs that is certified in the L2 ball of radius `eps`."""
        return float(self.certified(eps).double().mean())

    def interval(self, eps: float) -> Interval:
        """The 95 % Wilson interval of `accuracy`, if the inputs are a random sample."""
        return wilson(self.accuracy(eps), len(self.correct))

    def _summary(self, images: bool) -> Summary:
        abstained = int((self.prediction == ABSTAINS).sum())
        facts = [
            ("correct", f"{int(self.correct.sum())} of {len(self.correct)}"),
            ("accuracy", with_interval(self.accuracy(0), self.interval(0))),
            ("abstained", str(abstained)),
            ("median radius", f"{float(self.radius.median()):.4g}"),
            ("sigma", f"{self.sigma:g}"),
        ]
        return Summary("SmoothedCertificate", facts, [("draws", str(self.draws)), ("confidence", str(self.confidence))])


@default_modes()
def certify_smoothed(
    model: Frozen | nn.Module | Callable[[Tensor], Any],
    x: Any,
    y: Any = None,
    sigma: float = 0.25,
    *,
    draws: int = 1000,
    selection_draws: int = 100,
    confidence: float = 0.999,
    seed: int = 0,
    ids: Any = None,
) -> SmoothedCertificate:
    """Certify the smoothed classifier: the class that the model most often returns for x + sigma * Gaussian noise.

    The class is selected by `selection_draws` votes, and its probability bounded from below by Clopper and Pearson's
    exact interval (1934) on `draws` fresh ones; the radius is sigma times the normal quantile of that bound (Cohen et
    al., 2019). Any deterministic model can be smoothed; it should classify noisy inputs well, for which it is usually
    trained with noise. The noise leaves the bounds of the inputs, as in the paper.

    Args:
        model: a network, frozen or not, or a function of inputs [B, ...] that returns logits [B, n].
        x: inputs [B, ...] within the bounds, a floating-point tensor or array.
        y: labels [B]; default: the model's predictions without noise.
        sigma: standard deviation of the noise, in the units of the inputs.
        draws: noisy copies of each input for the bound; the largest radius that can be certified grows with them.
        selection_draws: noisy copies for the selection of the class.
        confidence: probability that the result of one input holds.
        seed: random seed, combined with the ids.
        ids: int64 [B], which key the random numbers of each input; default: the position in the batch.

    Returns:
        The certificate, with explicit abstentions.

    Raises:
        ValueError, TypeError: an invalid argument, or a model that is random itself or depends on the batch.

    >>> net = torch.nn.Linear(1, 2)
    >>> net.weight.data, net.bias.data = torch.tensor([[-1.0], [1.0]]), torch.tensor([1.0, 0.0])
    >>> found = certify_smoothed(net, torch.tensor([[0.1], [0.5], [0.9]]), sigma=0.25, draws=200)
    >>> found.prediction.tolist()
    [0, -1, 1]
    """
    sigma = float(checks.positive("sigma", sigma))
    draws, first = checks.whole("draws", draws), checks.whole("selection_draws", selection_draws)
    confidence, seed = float(checks.share("confidence", confidence)), checks.seed(seed)
    if confidence >= 1:
        raise ValueError("confidence must be below 1; votes cannot prove a class with certainty.")
    net = frozen(model)
    problem, traits = check_problem(net, x, y, ids)
    check_fixed_logits(traits)
    rows = [
        _votes_of_one(net, problem.x0[row : row + 1], problem.ids[row : row + 1], sigma, (first, draws), seed)
        for row in range(len(problem.x0))
    ]
    chosen, votes = (torch.tensor(each, device=problem.x0.device) for each in zip(*rows, strict=True))
    bound = torch.tensor([lower_confidence_bound(count, draws, 1 - confidence) for count in votes.tolist()])
    bound = bound.to(chosen.device, torch.float64)
    holds = bound > 0.5
    prediction = torch.where(holds, chosen, ABSTAINS)
    radius = torch.where(holds, sigma * torch.special.ndtri(bound.clamp_min(0.5)), 0.0)
    return SmoothedCertificate(prediction, radius, prediction == problem.label, votes, draws, sigma, confidence)


@torch.no_grad()
def _votes_of_one(
    net: Frozen, x: Tensor, ids: Tensor, sigma: float, draws: tuple[int, int], seed: int
) -> tuple[int, int]:
    """The class selected for one input [1, ...] by the first draws, and its votes among the others."""
    first, second = (_votes(net, x, ids, sigma, count, seed, purpose) for purpose, count in enumerate(draws))
    chosen = int(first[:-1].argmax())
    return chosen, int(second[chosen])


def _votes(net: Frozen, x: Tensor, ids: Tensor, sigma: float, draws: int, seed: int, purpose: int) -> Tensor:
    """How often each class is returned, [n + 1]; the last number is that of highest logits that are not finite."""
    counts: Tensor | None = None
    for numbers in torch.split(torch.arange(draws, device=ids.device), AT_ONCE):
        keys = child(ids.expand(len(numbers)).contiguous(), numbers)
        noise = normal(tuple(x.shape[1:]), seed, keys, draw=purpose).to(x.dtype)
        logits = net(x + sigma * noise)
        most = logits.amax(1)
        classes = torch.where((most - most) != 0, logits.shape[1], logits.argmax(1))
        new = torch.bincount(classes, minlength=logits.shape[1] + 1)
        counts = new if counts is None else counts + new
    assert counts is not None, "there is at least one draw"
    return counts


@functools.lru_cache(maxsize=4096)
def lower_confidence_bound(successes: int, draws: int, risk: float) -> float:
    """Clopper and Pearson's lower bound of a probability (1934): exact, one-sided, and rounded down.

    It is the probability p at which at least `successes` of `draws` have probability `risk`, found by bisection.

    Args:
        successes: number of successes, 0 to `draws`.
        draws: number of draws.
        risk: probability that the bound is above the true probability.

    >>> round(lower_confidence_bound(100, 100, 0.001), 6) == round(0.001 ** (1 / 100), 6)
    True
    """
    if successes == 0:
        return 0.0
    number = torch.arange(successes, draws + 1, dtype=torch.float64)
    whole = torch.tensor(float(draws + 1), dtype=torch.float64)
    ways = torch.lgamma(whole) - torch.lgamma(number + 1) - torch.lgamma(draws - number + 1)
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        tail = torch.logsumexp(ways + number * math.log(middle) + (draws - number) * math.log1p(-middle), 0)
        low, high = (middle, high) if float(tail) <= math.log(risk) else (low, middle)
    return max(0.0, low - ROUNDING)
