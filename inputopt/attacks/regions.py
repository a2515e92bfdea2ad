"""Regions of attacks: the norm ball, the bounds and the mask of each example."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from inputopt.nets.frozen import Frozen
from inputopt.search.norms import Norm
from inputopt.search.problem import Problem, Region


def ball_region(net: Frozen, problem: Problem, norm: Norm, eps: float | Tensor, mask: Tensor | None) -> Region:
    """The region of each example: its norm ball, intersected with the bounds and the mask.

    Args:
        net: the network.
        problem: the examples, within the network's bounds.
        norm: norm of the ball.
        eps: radius: a number, one per example, or in Linf one per element; infinity for no ball.
        mask: which elements may change, broadcast with x0; None for all.

    Raises:
        ValueError: an eps or a mask that does not fit the inputs.
    """
    x, region = problem.x0, problem.region
    distance = torch.as_tensor(eps, dtype=x.dtype, device=x.device)
    if distance.ndim and distance.shape != (len(x),):
        return _bounded_per_element(region, x, norm, distance, mask)
    distance = distance.expand(len(x)).clone()
    low, high = norm.box(x, distance, region.low, region.high)
    return _masked(Region(distance, low, high, unit=region.unit), x, mask)


def _bounded_per_element(region: Region, x: Tensor, norm: Norm, eps: Tensor, mask: Tensor | None) -> Region:
    """The box for one eps per element (Linf only)."""
    try:
        each = eps.expand(x.shape)
    except RuntimeError as error:
        raise ValueError(
            f"eps must be a number, one per example ({len(x)} numbers), or a tensor of the inputs' shape "
            f"{list(x.shape[1:])}, not of shape {list(eps.shape)}."
        ) from error
    if not norm.is_box:
        raise ValueError(f"eps per element is only supported in linf; in {norm.name} give a number or one per example.")
    low, high = norm.box(x, each, region.low, region.high)
    return _masked(Region(each.flatten(1).amax(1), low, high, unit=region.unit), x, mask)


def _masked(region: Region, x: Tensor, mask: Tensor | None) -> Region:
    if mask is None:
        return region
    try:
        may_change = mask.to(x.device).expand(x.shape)
    except RuntimeError as error:
        raise ValueError(
            f"mask must be bool and broadcast with the inputs {list(x.shape)}, not of shape {list(mask.shape)}."
        ) from error
    low, high = torch.where(may_change, region.low, x), torch.where(may_change, region.high, x)
    return replace(region, low=low, high=high, mask=may_change)


def enlarged_region(region: Region, problem: Problem, width: float, norm: Norm, net: Frozen) -> Region:
    """The region with its ball enlarged by the factor `width`; the mask still applies."""
    return region_of_radius(problem, region.eps * width, norm, net)


def region_of_radius(problem: Problem, eps: Tensor, norm: Norm, net: Frozen) -> Region:
    """The region with balls of radius `eps` [B] around the same examples; the mask still applies."""
    x, region = problem.x0, problem.region
    if not norm.is_box:
        return replace(region, eps=eps)
    low, high = (bound.expand(x.shape) for bound in net.box(x))
    low, high = norm.box(x, eps, torch.minimum(low, x), torch.maximum(high, x))
    if region.mask is not None:
        low, high = torch.where(region.mask, low, x), torch.where(region.mask, high, x)
    return replace(region, eps=eps, low=low, high=high)
