"""Legibility scores of class visualisations, to be read together, since each can be maximised by unclear pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt import checks
from inputopt.nets.class_probabilities import probabilities
from inputopt.nets.frozen import Frozen
from inputopt.search.bounds import picture_range
from inputopt.search.problem import Problem
from inputopt.search.transforms import chained, jitter, noise, scale

VIEWS = 16
"""Default number of transformed views per picture in `robustness`."""


@dataclass(frozen=True)
class Legibility:
    """Scores of B pictures.

    Attributes:
        activation: logit of the class in the network that the picture was made for, [B].
        transfer: mean probability of the class under networks that were not used to make the picture, [B].
        robustness: fraction of scaled, rolled and noisy views that the network classifies as the class, [B].
        spectrum: distance of the radial log-spectrum from the mean of natural photos, [B]; photos score 0.2 to 0.5.
    """

    activation: Tensor
    transfer: Tensor
    robustness: Tensor
    spectrum: Tensor


def legibility(
    net: Frozen, judges: Sequence[Frozen], x: Tensor, classes: Tensor, photos: Tensor, seed: int = 0
) -> Legibility:
    """Compute all legibility scores of pictures.

    Args:
        net: the network the pictures were made for.
        judges: other networks of the same classes.
        x: pictures [B, C, S, S] in the bounds.
        classes: class that each picture was made for, int64 [B].
        photos: natural photos [n, C, S, S] of the same size, whose spectra are the reference.
        seed: seed of the views.

    Raises:
        ValueError: no judge, or invalid sizes.
    """
    if not judges:
        raise ValueError("judges must hold at least one network that was not used to make the pictures.")
    if photos.shape[2:] != x.shape[2:]:
        raise ValueError(f"photos must be as large as the pictures, {list(x.shape[2:])}, not {list(photos.shape[2:])}.")
    with torch.no_grad():
        activation = net(x).gather(1, classes[:, None])[:, 0]
        transfer = torch.stack([probabilities(judge(x)).gather(1, classes[:, None])[:, 0] for judge in judges]).mean(0)
    robust = robustness(net, x, classes, seed)
    return Legibility(activation, transfer, robust, spectrum_distance(x, photos))


def robustness(net: Frozen, x: Tensor, classes: Tensor, seed: int = 0, views: int = VIEWS) -> Tensor:
    """The fraction of `views` random views that the network classifies as the class, [B].

    A view is scaled by 0.85 to 1.15, rolled by up to 16 pixels of 224 and has noise of 3 % of the bounds' width.
    """
    checks.whole("views", views)
    ids = torch.arange(len(x), device=x.device)
    within = picture_range(net, x.shape[1:])
    roll = max(1, round(16 * min(x.shape[2:]) / 224))
    view = chained(jitter(roll, seed), scale(0.85, 1.15, seed), noise(0.03 * within.width, seed))
    problem, hits = Problem(x, classes, ids), torch.zeros(len(x), device=x.device)
    with torch.no_grad():
        for index in range(views):
            hits += net(within.clamp(view(x, problem, index))).argmax(1) == classes
    return hits / views


def radial_spectrum(x: Tensor) -> Tensor:
    """Radial log-power spectrum of images [B, C, S, S] at 1, 2, ... S // 2 cycles per side, mean removed, [B, S // 2].

    Channels are averaged, and a Hann window suppresses edge discontinuities.

    Raises:
        ValueError: the images are not square, or smaller than 4 pixels.
    """
    side = x.shape[-1]
    if x.ndim != 4 or x.shape[2] != side or side < 4:
        raise ValueError(f"Spectra need square images [B, C, S, S] with S at least 4, not shape {list(x.shape)}.")
    grey = x.double().mean(1)
    window = torch.hann_window(side, periodic=False, dtype=grey.dtype, device=x.device)
    power = torch.fft.fft2((grey - grey.mean((1, 2), keepdim=True)) * window[:, None] * window).abs().square()
    frequency = torch.fft.fftfreq(side, dtype=grey.dtype, device=x.device) * side
    ring = (frequency[:, None].square() + frequency.square()).sqrt().round().long().flatten()
    inside = (ring >= 1) & (ring <= side // 2)
    total = power.new_zeros(len(x), side // 2).index_add(1, ring[inside] - 1, power.flatten(1)[:, inside])
    members = torch.bincount(ring[inside] - 1, minlength=side // 2)
    logs = (total / members).clamp_min(torch.finfo(power.dtype).tiny).log()
    return logs - logs.mean(1, keepdim=True)


def spectrum_distance(x: Tensor, photos: Tensor) -> Tensor:
    """Root-mean-square difference between each image's radial log-spectrum and the photos' mean, [B]."""
    return (radial_spectrum(x) - radial_spectrum(photos).mean(0)).square().mean(1).sqrt().to(x.dtype)
