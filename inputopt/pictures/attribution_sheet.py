"""A sheet of images beside the attribution maps of their predictions, as heat maps and laid over the images."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from inputopt import checks
from inputopt.images import ends
from inputopt.nets.class_names import name_of_class
from inputopt.nets.default_modes import default_modes
from inputopt.nets.frozen import Frozen, frozen
from inputopt.pictures.sheet import prediction_text, show, triples

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLURS = 3
"""Box blurs of a map: three approximate a Gaussian."""

SIDES_A_BLUR = 64
"""The radius of a box blur is the longer side of the image divided by this: 4 pixels of 224, none of 28."""

WIDER = 2
"""How many times as wide maps of sizes are blurred: they show regions."""

FULL_COLOUR = 0.99
"""Share of the pixels of a map that are below full colour, so that single pixels do not make the others pale."""


@default_modes()
def attribution_sheet(
    x: Any,
    attributions: Any,
    model: Frozen | nn.Module | Callable[[Tensor], Tensor],
    title: str = "Input, attribution (red raises the logit, blue lowers it), and where it is large",
    classes: Any = None,
    labels: Any = None,
) -> Figure:
    """A figure of images with their predictions, their attributions, and where these are large.

    Attributions are summed over the channels, blurred and drawn in red and blue; then their sizes are blurred and laid
    over the grey image. Both are blurred because attributions of single pixels of a photo alternate in sign: only a
    mean over several pixels shows a region. Each map is scaled by itself.

    Args:
        x: images [B, C, H, W] in the bounds, with one channel or three; up to about ten.
        attributions: of the same shape, such as those of `saliency`.
        model: a network, frozen or not; if not, its inputs are taken to lie in [0, 1].
        title: title of the figure.
        classes: the classes whose logits were attributed, [B], for the captions of the maps; none if not given.
        labels: the true classes, [B], for the captions of the images, below the predictions; none if not given.

    Returns:
        A matplotlib figure with one row per image, or with one column per image if there are more than three;
        `figure.savefig("saliency.png")` saves it.

    Raises:
        ValueError, TypeError: not images, or attributions, classes or labels that do not fit them.
    """
    net = frozen(model)
    x, given = checks.block("x", x).to(net.device), checks.block("attributions", attributions)
    if x.ndim != 4 or x.shape[1] not in (1, 3) or 0 in x.shape:
        raise ValueError(f"x must be images [B, C, H, W] with one channel or three, not of shape {list(x.shape)}.")
    if given.shape != x.shape:
        raise ValueError(f"attributions must have the shape of x, {list(x.shape)}, not {list(given.shape)}.")
    attributed, true = _one_per_image("classes", classes, x), _one_per_image("labels", labels, x)
    with torch.no_grad():
        logits = net(x)
    names = net.facts.class_names
    signed, sizes = signed_maps(given), size_maps(given)
    name = partial(name_of_class, classes=logits.shape[1], names=names)
    figure, grid = triples(len(x), title)
    for number, (places, logit) in enumerate(zip(grid, logits, strict=True)):
        known = "" if true is None else f"\ntrue: {name(true[number])}"
        show(places[0], x[number], net.bounds, f"{prediction_text(logit, names)}{known}")
        caption = "" if attributed is None else f"for {name(attributed[number])}"
        places[1].imshow(signed[number].numpy(), cmap="RdBu_r", vmin=-1, vmax=1)
        places[1].set_title(caption, fontsize=8)
        _show_over(places[2], x[number], sizes[number], net)
    return figure


def _one_per_image(what: str, given: Any, x: Tensor) -> list[int] | None:
    """Classes as numbers; None if none are given."""
    if given is None:
        return None
    numbers = checks.block(what, given).flatten().tolist()
    if len(numbers) != len(x):
        raise ValueError(f"{what} must hold {len(x)} classes, one per image, not {len(numbers)}.")
    return [int(number) for number in numbers]


def signed_maps(attributions: Tensor) -> Tensor:
    """Maps [B, H, W] in [-1, 1] of attributions [B, C, H, W]: summed over channels, blurred, scaled one by one."""
    maps = attributions.detach().cpu().double().sum(1, keepdim=True)
    return _scaled(_blurred(maps, round(max(maps.shape[2:]) / SIDES_A_BLUR)))


def size_maps(attributions: Tensor) -> Tensor:
    """Maps [B, H, W] in [0, 1] of the sizes of attributions [B, C, H, W]: summed, blurred more, scaled one by one."""
    maps = attributions.detach().cpu().double().abs().sum(1, keepdim=True)
    return _scaled(_blurred(maps, round(WIDER * max(maps.shape[2:]) / SIDES_A_BLUR)))


def _blurred(maps: Tensor, radius: int) -> Tensor:
    for _ in range(BLURS if radius else 0):
        maps = avg_pool2d(maps, 2 * radius + 1, stride=1, padding=radius, count_include_pad=False)
    return maps


def _scaled(maps: Tensor) -> Tensor:
    """Maps [B, 1, H, W] divided by the size of their strongest pixels, cut to [-1, 1], as [B, H, W]."""
    sizes = maps.abs().flatten(1)
    full = sizes.quantile(FULL_COLOUR, dim=1)
    largest = torch.where(full > 0, full, sizes.amax(1)).clamp_min(torch.finfo(torch.float64).tiny)
    return (maps[:, 0] / largest[:, None, None]).clamp(-1, 1)


def _show_over(axes: Axes, x: Tensor, heat: Tensor, net: Frozen) -> None:
    """Draw a map [H, W] in [0, 1] over the grey version of an image [C, H, W]; where it is 0, the image shows."""
    low, high = ends(x, net.bounds)
    grey = ((x.detach().cpu() - low) / (high - low)).mean(0).clamp(0, 1)
    axes.imshow(grey.numpy(), cmap="gray", vmin=-0.2, vmax=1.2)
    axes.imshow(heat.numpy(), cmap="inferno", vmin=-0.2, vmax=1, alpha=heat.mul(0.75).numpy())
