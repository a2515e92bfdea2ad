"""Which numbers of an input does the network's answer rest on? Five ways to ask, one call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from inputopt import checks
from inputopt.nets.ambient import ambient
from inputopt.nets.frozen import Frozen, frozen
from inputopt.search import keyed_random
from inputopt.search.bounds import lengths, range_of
from inputopt.search.inputs import check_problem
from inputopt.search.objectives.logits import logit_of
from inputopt.search.problem import Problem

METHODS = ("gradient", "gradient_x_input", "integrated", "smoothgrad", "occlusion")


@ambient()
def saliency(
    model: Frozen | nn.Module | Callable[[Tensor], Tensor],
    x: Any,
    y: Any,
    method: str = "integrated",
    *,
    samples: int = 32,
    baseline: Any = None,
    deviation: float = 0.15,
    window: int = 8,
    seed: int = 0,
    ids: Any = None,
) -> Tensor:
    """How much each number of an input speaks for a class, [B, ...] like the inputs.

    Args:
        model: a network, frozen or not; if not, its inputs are taken to lie in [0, 1].
        x: inputs [B, ...] in the bounds.
        y: the classes in question, [B].
        method: "gradient": the logit's derivative (Simonyan et al., 2014). "gradient_x_input": times the input less the
            baseline. "integrated": the derivative's mean on the way from the baseline, times the input less the
            baseline; adds up to what the logit gained on the way (Sundararajan et al., 2017). "smoothgrad": its mean
            under noise (Smilkov et al., 2017). "occlusion": how far the logit falls as a square of the image is covered
            by the baseline, shared out over its pixels (Zeiler and Fergus, 2014); images [B, C, H, W] only.
        samples: points of the way, or draws of noise.
        baseline: what means nothing: a number, or numbers like the inputs; the bounds' lower end if not given, which
            must be finite.
        deviation: of the noise, in parts of the bounds' width (of `Frozen.unit`, where they are infinite).
        window: the side of the square.
        seed, ids: what the noise is drawn from.

    Returns:
        Numbers of the type that searches run in, float64 or float32.

    Raises:
        ValueError, TypeError: inputs, classes, a method or numbers that do not fit, or an answer that is NaN.
    """
    net = frozen(model)
    checks.one_of("method", method, METHODS)
    checks.whole("samples", samples)
    checks.whole("window", window)
    checks.positive("deviation", deviation)
    seed = checks.seed(seed)
    problem, _ = check_problem(net, x, y, ids)
    if method == "occlusion" and problem.x0.ndim != 4:
        raise ValueError(f"occlusion covers squares of images [B, C, H, W], not of inputs {list(problem.x0.shape)}.")
    base = problem.x0 if method in ("gradient", "smoothgrad") else _baseline(net, problem.x0, baseline)
    return _finite(_found(net, problem, method, base, samples, deviation, window, seed))


def _found(
    net: Frozen, problem: Problem, method: str, base: Tensor, samples: int, deviation: float, window: int, seed: int
) -> Tensor:
    x = problem.x0
    if method == "gradient":
        return _derivative(net, x, problem)
    if method == "gradient_x_input":
        return _derivative(net, x, problem) * (x - base)
    if method == "integrated":
        # the midpoint rule: exact for a quadratic, and the error falls with the square of the samples
        points = (base + (x - base) * ((place + 0.5) / samples) for place in range(samples))
        return _mean(net, points, problem, samples) * (x - base)
    if method == "smoothgrad":
        width = deviation * lengths(net, x)
        noisy = (
            x + width * keyed_random.normal(x.shape[1:], seed, problem.ids, draw).to(problem.x0)
            for draw in range(samples)
        )
        return _mean(net, noisy, problem, samples)
    return _occluded(net, problem, base, window)


def _finite(found: Tensor) -> Tensor:
    bad = (~found.isfinite()).flatten(1).any(1).nonzero()[:, 0]
    if len(bad):
        raise ValueError(
            f"The network's answer or its derivative is NaN or infinite for {len(bad)} of {len(found)} inputs, such as "
            f"number {int(bad[0])}; leave those out, or check what the model expects."
        )
    return found


def _baseline(net: Frozen, x: Tensor, given: Any) -> Tensor:
    low = range_of(net, x).low if given is None else given
    base = torch.as_tensor(low, dtype=x.dtype, device=x.device)
    if given is None and not bool(base.isfinite().all()):
        raise ValueError("The model's bounds have no lower end; say with baseline= what means nothing.")
    try:
        return checks.finite("baseline", base.expand_as(x))
    except RuntimeError as error:
        raise ValueError(f"baseline must be a number or of the inputs' shape, not {list(base.shape)}.") from error


def _derivative(net: Frozen, x: Tensor, problem: Problem) -> Tensor:
    variable = x.detach().requires_grad_()
    with torch.enable_grad():
        logit = logit_of(net(variable), problem.label)
    return net.gradient(logit, variable)


def _mean(net: Frozen, points: Iterator[Tensor], problem: Problem, count: int) -> Tensor:
    total = torch.zeros_like(problem.x0)
    for point in points:
        total += _derivative(net, point, problem)
    return total / count


def _occluded(net: Frozen, problem: Problem, base: Tensor, window: int) -> Tensor:
    x = problem.x0
    found = torch.zeros_like(x)
    with torch.no_grad():
        whole = logit_of(net(x), problem.label)
        for top in range(0, x.shape[2], window):
            for left in range(0, x.shape[3], window):
                square = (..., slice(top, top + window), slice(left, left + window))
                covered = x.clone()
                covered[square] = base[square]
                lost = whole - logit_of(net(covered), problem.label)
                found[square] = (lost / x[0][square].numel()).reshape(-1, 1, 1, 1)
    return found
