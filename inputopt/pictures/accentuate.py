"""Activation caricatures (Carter et al., 2019): exaggerate the features of a photo that a layer responds to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from inputopt import checks
from inputopt.nets.frozen import Frozen
from inputopt.pictures.augmentation import augmented
from inputopt.pictures.canvas_choice import CanvasName
from inputopt.pictures.invert import activations, photo_and_surface
from inputopt.pictures.picture import Photo, Picture
from inputopt.pictures.picture_search import optimise_picture
from inputopt.pictures.provenance import FILE, repeatable
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
    canvas: CanvasName | str = "fourier",
    augment: float = 0.5,
    watch: Watch | None = None,
) -> Picture:
    """Optimise a photo into its activation caricature at the named layers (Carter et al., 2019).

    The search starts at the photo and amplifies its activations along their direction. `dream`, in contrast, increases
    any activation of the layers.

    Args:
        model, photo, layers, seed, canvas, watch: as for `invert`.
        steps: number of optimisation steps.
        augment: as for `visualize`.

    Raises:
        ValueError, TypeError, FileError: as for `invert`.
    """
    net, image, surface = photo_and_surface(model, photo, steps, canvas)
    seed = checks.seed(seed)
    transform = augmented(surface.within, augment, seed)
    objective = -along_activations(activations(net, image, layers))
    ids = torch.zeros(1, dtype=torch.int64, device=net.device)
    x, _ = optimise_picture(net, objective, surface, surface.canvas.encode(image), ids, ids, steps, transform, watch)
    return Picture(x[0], bounds=net.bounds)
