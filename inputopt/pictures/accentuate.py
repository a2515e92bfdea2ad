"""Activation caricatures (Carter et al., 2019): a photo with more of what a layer sees in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from inputopt import checks
from inputopt.nets.frozen import Frozen
from inputopt.pictures.invert import _given, activations
from inputopt.pictures.picture import Photo, Picture
from inputopt.pictures.picture_search import optimise_picture
from inputopt.pictures.provenance import FILE, repeatable
from inputopt.pictures.visualize import augmented
from inputopt.search.loop import Watch
from inputopt.search.objectives.matching import along_activations


@repeatable(photo=FILE)
def accentuate(
    model: Frozen | nn.Module | Callable[[Tensor], Tensor],
    photo: Photo,
    layers: Sequence[str],
    steps: int = 128,
    seed: int = 0,
    *,
    canvas: str = "fourier",
    augment: float = 0.5,
    watch: Watch | None = None,
) -> Picture:
    """A photo's caricature: from the photo, further the way that the named layers see it (Carter et al., 2019).

    Unlike a dream, which makes more of whatever excites a layer, it keeps the direction of the photo's own activations.

    Args:
        model, photo, layers, seed, canvas, watch: as for `invert`.
        steps: how many.
        augment: as for `visualize`.

    Raises:
        ValueError, TypeError, FileError: as for `invert`.
    """
    net, image, surface = _given(model, photo, steps, canvas)
    seed = checks.seed(seed)
    transform = augmented(surface.within, augment, seed)
    objective = -along_activations(activations(net, image, layers))
    alone = torch.zeros(1, dtype=torch.int64, device=net.device)
    x, _ = optimise_picture(
        net, objective, surface, surface.canvas.encode(image), alone, alone, steps, transform, watch
    )
    return Picture(x[0], bounds=net.bounds)
