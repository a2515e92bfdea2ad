"""How many adversarial inputs still fool the network as 8-bit PNG files."""

from __future__ import annotations

import torch
from torch import Tensor

from inputopt.images import are_images
from inputopt.nets.frozen import Frozen
from inputopt.search.canvases.quantised import Levels
from inputopt.search.norms import LINF


@torch.no_grad()
def rounding_note(
    net: Frozen, x: Tensor, y: Tensor, fooled: Tensor, levels: int | None, target: int | None = None
) -> str:
    """A sentence for images that were not searched among those that a PNG holds; else empty.

    Args:
        net: the network.
        x: the inputs found, [B, ...].
        y: their labels, [B].
        fooled: which of them fool the network, bool [B].
        levels: the levels that were searched; None for any values.
        target: the class that they should have; None for any other than the label.
    """
    count = int(fooled.sum())
    if levels == 256 or not count or not are_images(x, net.bounds):
        return ""
    rounded = Levels(256, *net.box(x), LINF).on_levels(x[fooled])
    prediction = torch.cat([net(part).argmax(1) for part in torch.split(rounded, 256)])
    left = int((prediction != y[fooled] if target is None else prediction == target).sum())
    return (
        f"\n\nPNG files hold 8 bits: {left} of {count} fooling inputs still fool the network as files; --levels 256 "
        "searches among 8-bit inputs."
    )
