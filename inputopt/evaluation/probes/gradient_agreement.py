"""Whether the gradient predicts the model's output: finite differences along one short step against the gradient."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt.nets.frozen import Frozen
from inputopt.nets.model_errors import NoGradientError
from inputopt.search.network_draws import Draws
from inputopt.search.objectives.logits import margin
from inputopt.search.objectives.probability_scores import Scores
from inputopt.search.problem import Problem
from inputopt.search.rows import take

STEP = 0.002
"""Length of the step in each element, relative to the width of the bounds: half a level of an 8-bit image. On sound
networks the margin is linear over it, while rounding and oscillations that hide the gradient are wider or finer."""

EXAMPLES = 64
"""Number of inputs probed, evenly spaced; enough to tell a share of 5 % from none."""

FEWEST = 3
"""Inputs at which a gradient must be wrong to be reported, or all if there are fewer: on networks trained for
certificates, a kink of an activation lies within the step at about 0.5 % of the inputs that attacks fail on."""

AGREES = (0.5, 2.0)
"""Actual over predicted change between which the gradient counts as right; sound networks are within 0.8 to 1.2."""

LARGE, LEADS = 10_000, 0.25
"""Inputs of more elements than `LARGE` are curved where the step lowers a positive margin by the share `LEADS`. A step
of every pixel of a photo is long: on a sound EfficientNet the margin falls by .2 to .5 of what is predicted, and by
more than half of its value."""

RESOLUTION = 32.0
"""Units in the last place of the largest logit below which a predicted change cannot be measured: it is vanishing."""


@dataclass(frozen=True)
class GradientAgreement:
    """Predicted and actual change of the margin along a step against its gradient, for n inputs.

    Attributes:
        has_gradient: whether the model has a derivative at all; if not, the other fields are empty.
        zero: whether every derivative of the margin is exactly 0, bool [n].
        vanishing: whether the predicted change is not 0 but below the resolution of the logits, and the actual one
            is too, bool [n].
        shattered: whether it is none of both, the actual change is not within `AGREES` of the predicted, and the step
            does not change the class, bool [n]; without those that are curved.
        curved: the same, but the step lowers the margin of a large input by the share `LEADS`: the gradient is no sign
            of masking, and still predicts too little for searches to be skipped, bool [n].
        noisy: whether a second gradient at the same input has another direction, bool [n]; empty if not computed.
    """

    has_gradient: bool
    zero: Tensor
    vanishing: Tensor
    shattered: Tensor
    curved: Tensor
    noisy: Tensor

    @property
    def wrong(self) -> Tensor:
        """Whether the gradient gives no descent direction, or not as far as the step, bool [n]."""
        return self.zero | self.vanishing | self.shattered | self.curved


def notable(mask: Tensor, threshold: float) -> bool:
    """Whether the share of True in bool [n] reaches the threshold, with at least `FEWEST` of them or all."""
    count = int(mask.sum())
    return count >= max(1, min(FEWEST, len(mask))) and count >= threshold * len(mask)


def pooled(first: GradientAgreement | None, second: GradientAgreement | None) -> GradientAgreement | None:
    """Two probes as one, which may show together what is too few in each; None if either is missing."""
    if first is None or second is None or not (first.has_gradient and second.has_gradient):
        return None
    columns = [torch.cat([getattr(first, name), getattr(second, name)]) for name in COLUMNS]
    return GradientAgreement(True, *columns)


COLUMNS = ("zero", "vanishing", "shattered", "curved", "noisy")
"""The fields with a value per input."""

SAME_DIRECTION = 0.99
"""Cosine of two gradients at one input below which the gradient is noisy; rounding alone leaves 1 - 1e-5 or more."""


def without_gradient(problem: Problem) -> GradientAgreement:
    """The result for a model without a derivative."""
    none = torch.zeros(0, dtype=torch.bool, device=problem.x0.device)
    return GradientAgreement(False, *[none for _ in COLUMNS])


def spaced(count: int, most: int, device: torch.device) -> Tensor:
    """At most `most` evenly spaced positions of `count`, int64."""
    return torch.linspace(0, count - 1, min(count, most), device=device).round().long()


def gradient_agreement(
    net: Frozen, problem: Problem, scores: Scores, draws: Draws, twice: bool = False
) -> GradientAgreement:
    """Compare the change of the margin along a short step against its gradient with the change that it predicts.

    Each element moves by `STEP` against the sign of the gradient, within the model's bounds and the mask. It costs two
    forwards and one backward of at most `EXAMPLES` inputs.

    Args:
        net: the model.
        problem: the inputs, where x0 is the point at which to compare, [B, ...].
        scores: of the model's outputs, from which the attacks compute their losses.
        draws: seeds the model's random numbers; all forwards use the same ones.
        twice: whether to compute the gradient again, for `noisy`; one more forward and backward.
    """
    part = take(problem, spaced(len(problem.x0), EXAMPLES, problem.x0.device))
    x = part.x0.detach()
    try:
        logits, value, grad = _value_and_gradient(net, part, scores, draws)
        again = _value_and_gradient(net, part, scores, draws)[2] if twice else grad[:0]
    except NoGradientError:
        return without_gradient(problem)
    low, high = net.box(x)
    moved = torch.maximum(torch.minimum(x - STEP * net.unit * grad.sign(), high), low)
    predicted = (grad * (moved - x)).flatten(1).sum(1)
    with torch.no_grad(), draws(0):
        change = margin(scores(net(moved)), moved, part) - value
    usable = predicted.isfinite() & change.isfinite()
    resolution = RESOLUTION * torch.finfo(logits.dtype).eps * logits.nan_to_num(0, 0, 0).abs().amax(1)
    zero = grad.flatten(1).abs().amax(1) == 0
    vanishing = ~zero & (predicted.abs() <= resolution) & ~(change.abs() > 4 * resolution)
    ratio = change / torch.where(predicted == 0, 1, predicted)
    right = (ratio >= AGREES[0]) & (ratio <= AGREES[1])
    fooled = (value > 0) & (change < -value)  # a gradient leads where so short a step changes the class, linear or not
    differs = ~zero & ~vanishing & ~right & ~fooled & usable
    curved = differs & (value > 0) & (change < -LEADS * value) & (x[0].numel() > LARGE)
    return GradientAgreement(
        True, zero, vanishing, differs & ~curved, curved, _directions_differ(grad[: len(again)], again)
    )


def _value_and_gradient(net: Frozen, problem: Problem, scores: Scores, draws: Draws) -> tuple[Tensor, Tensor, Tensor]:
    """Scores [B, n], their margin [B] and its gradient [B, ...], with 0 outside the mask and for NaN and infinity."""
    variable = problem.x0.detach().requires_grad_()
    with torch.enable_grad(), draws(0):
        logits = scores(net(variable))
        value = margin(logits, variable, problem)
        grad = net.gradient(value, variable)
    return logits.detach(), value.detach(), problem.region.masked(grad.nan_to_num(0.0, 0.0, 0.0))


def _directions_differ(first: Tensor, second: Tensor) -> Tensor:
    """Whether two gradients of each example, neither of them zero, point in different directions, bool [B]."""
    first, second = first.flatten(1).double(), second.flatten(1).double()
    sizes = first.norm(dim=1) * second.norm(dim=1)
    cosine = (first * second).sum(1) / sizes.clamp_min(torch.finfo(sizes.dtype).tiny)
    return (sizes > 0) & (cosine < SAME_DIRECTION)
