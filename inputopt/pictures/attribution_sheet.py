"""A sheet of inputs beside the attribution maps of their predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from inputopt.files import blank_figure
from inputopt.nets.frozen import Frozen
from inputopt.pictures.sheet import prediction_text, show

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def attribution_sheet(x: Tensor, attributions: Tensor, net: Frozen, title: str) -> Figure:
    """Images in the upper row, captioned with their predictions, and their attributions in the lower row.

    Args:
        x: images [B, C, H, W] within the network's bounds, with one or three channels.
        attributions: of the same shape; summed over channels and scaled to the largest absolute value of each image.
            Red pixels raise the logit, blue pixels lower it.
        net: the network.
        title: title of the figure.
    """
    with torch.no_grad():
        logits = net(x)
    maps = attributions.detach().sum(1).cpu()
    largest = maps.abs().amax((1, 2), keepdim=True).clamp_min(torch.finfo(maps.dtype).tiny)
    figure = blank_figure(figsize=(1.6 * max(4, len(x)), 3.9), layout="constrained")
    figure.suptitle(title, fontsize=10)
    grid = figure.subplots(2, len(x), squeeze=False)
    for column, logit in enumerate(logits):
        show(grid[0, column], x[column], net.bounds, prediction_text(logit))
        grid[1, column].imshow((maps / largest)[column].numpy(), cmap="RdBu_r", vmin=-1, vmax=1)
        for axes in grid[:, column]:
            axes.set_axis_off()
    return figure
