"""Saliency maps by five attribution methods: how much each input element contributes to a class logit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from inputopt import checks
from inputopt.attribution.integrated_gradients import integrated_gradients
from inputopt.attribution.logit_gradient import logit_gradient
from inputopt.attribution.occlusion import occlusion
from inputopt.attribution.smoothgrad import smoothgrad
from inputopt.nets.default_modes import default_modes
from inputopt.nets.frozen import Frozen, frozen
from inputopt.search.bounds import range_of
from inputopt.search.inputs import check_problem
from inputopt.search.problem import Problem

SaliencyMethod = Literal[
    "gradient",
    "gradient_x_input",
    "input_x_gradient",
    "integrated",
    "integrated_gradients",
    "smoothgrad",
    "occlusion",
]

OTHER_NAMES = {"input_x_gradient": "gradient_x_input", "integrated_gradients": "integrated"}
"""Names that the methods also have in papers and other libraries, and the names that are used here."""

METHODS: tuple[SaliencyMethod, ...] = get_args(SaliencyMethod)


@default_modes()
def saliency(
    model: Frozen | nn.Module | Callable[[Tensor], Tensor],
    x: Any,
    y: Any,
    method: SaliencyMethod = "integrated",
    *,
    samples: int = 32,
    baseline: Any = None,
    deviation: float = 0.15,
    window: int = 8,
    seed: int = 0,
    ids: Any = None,
) -> Tensor:
    """Attribute a class logit to the elements of each input.

    Args:
        model: a network, frozen or not; if not, its inputs are taken to lie in [0, 1].
        x: inputs [B, ...] in the bounds.
        y: the classes whose logits are attributed, [B].
        method: "gradient": the gradient of the logit (Simonyan et al., 2014). "gradient_x_input" or
            "input_x_gradient": the gradient times (input - baseline). "integrated" or "integrated_gradients":
            integrated gradients, the mean gradient along the straight path from the baseline, times
            (input - baseline); sums to the change of the logit (Sundararajan et al., 2017). "smoothgrad": the mean
            gradient under Gaussian noise (Smilkov et al., 2017). "occlusion": the drop of the logit when a square of
            the image is replaced by the baseline, divided evenly over the square's elements (Zeiler and Fergus,
            2014); images [B, C, H, W] only.
        samples: number of path points of "integrated", or of noise draws of "smoothgrad".
        baseline: reference input without information: a number, or a tensor that broadcasts with the inputs; the lower
            bound if not given, which must then be finite.
        deviation: standard deviation of the noise, in units of the bounds' width (of `Frozen.unit` where infinite).
        window: side of the occluding square in pixels.
        seed, ids: seed and per-example keys of the noise; ids are the positions if not given.

    Returns:
        Attributions of the shape of the inputs, float64 or float32.

    Raises:
        ValueError, TypeError: invalid inputs, classes, method or settings, or a logit or gradient that is NaN or
            infinite.
    """
    net = frozen(model)
    checks.one_of("method", method, METHODS)
    name = OTHER_NAMES.get(method, method)
    checks.whole("samples", samples)
    checks.whole("window", window)
    checks.positive("deviation", deviation)
    seed = checks.seed(seed)
    problem, _ = check_problem(net, x, y, ids)
    if name == "occlusion" and problem.x0.ndim != 4:
        raise ValueError(f"occlusion needs images [B, C, H, W], not inputs of shape {list(problem.x0.shape)}.")
    base = problem.x0 if name in ("gradient", "smoothgrad") else _baseline(net, problem.x0, baseline)
    return _finite(_attributions(net, problem, name, base, samples, deviation, window, seed))


def _attributions(
    net: Frozen,
    problem: Problem,
    method: str,
    base: Tensor,
    samples: int,
    deviation: float,
    window: int,
    seed: int,
) -> Tensor:
    if method == "gradient":
        return logit_gradient(net, problem.x0, problem)
    if method == "gradient_x_input":
        return logit_gradient(net, problem.x0, problem) * (problem.x0 - base)
    if method == "integrated":
        return integrated_gradients(net, problem, base, samples)
    if method == "smoothgrad":
        return smoothgrad(net, problem, samples, deviation, seed)
    return occlusion(net, problem, base, window)


def _finite(attributions: Tensor) -> Tensor:
    bad = (~attributions.isfinite()).flatten(1).any(1).nonzero()[:, 0]
    if len(bad):
        raise ValueError(
            f"The network's logit or its gradient is NaN or infinite for {len(bad)} of {len(attributions)} inputs, "
            f"such as input {int(bad[0])}; omit these inputs, or check which inputs the model expects."
        )
    return attributions


def _baseline(net: Frozen, x: Tensor, given: Any) -> Tensor:
    low = range_of(net, x).low if given is None else given
    base = torch.as_tensor(low, dtype=x.dtype, device=x.device)
    if given is None and not bool(base.isfinite().all()):
        raise ValueError(
            "The model has no finite lower bound to use as baseline; give an uninformative input as baseline=."
        )
    try:
        return checks.finite("baseline", base.expand_as(x))
    except RuntimeError as error:
        raise ValueError(f"baseline must be a number or of the inputs' shape, not {list(base.shape)}.") from error
