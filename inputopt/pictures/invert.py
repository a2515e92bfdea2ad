"""Feature inversion (Mahendran and Vedaldi, 2015): optimise an image whose activations match those of a photo."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from inputopt import checks
from inputopt.nets.frozen import Frozen, frozen
from inputopt.pictures.canvas_choice import CANVASES, CanvasName, Surface, canvas_of
from inputopt.pictures.photo import photo_in_range
from inputopt.pictures.picture import Photo, Picture
from inputopt.pictures.picture_search import optimise_picture
from inputopt.pictures.provenance import FILE, repeatable
from inputopt.search.bounds import picture_range
from inputopt.search.loop import Watch
from inputopt.search.objectives.matching import activation_distance
from inputopt.search.objectives.total_variation import total_variation
from inputopt.search.problem import Problem
from inputopt.search.transforms import unchanged


@repeatable(photo=FILE)
def invert(
    model: Frozen | nn.Module | Callable[[Tensor], Tensor],
    photo: Photo,
    layers: Sequence[str],
    steps: int = 256,
    seed: int = 0,
    *,
    canvas: CanvasName | str = "fourier",
    smooth: float = 0.1,
    watch: Watch | None = None,
) -> Picture:
    """Optimise noise until the activations of the named layers match those of a photo (Mahendran and Vedaldi, 2015).

    Differences between the image and the photo show information that those layers do not represent.

    Args:
        model: a network, frozen or not; if not, its inputs are taken to lie in [0, 1].
        photo: a tensor [C, H, W] in the bounds, or a Pillow image, a path or a uint8 array; images are scaled to the
            bounds.
        layers: names of modules of the model.
        steps: number of optimisation steps.
        seed: seed of the noise.
        canvas: as for `visualize`.
        smooth: weight of the total variation relative to the activation distance.
        watch: called at every step.

    Returns:
        The image; "distance" in its recipe is the remaining activation distance: squared, relative to the squared norm
        of the photo's activations, averaged over layers.

    Raises:
        ValueError, TypeError: an unknown layer or canvas, invalid settings or photo, activations that are NaN or
            infinite, or infinite bounds.
        FileError: the photo cannot be read.
    """
    weight = checks.positive("smooth", smooth) if smooth else 0.0
    net, image, surface = photo_and_surface(model, photo, steps, canvas)
    seed = checks.seed(seed)
    target = activations(net, image, layers)
    distance = activation_distance(target)
    objective = distance + weight * total_variation()
    ids = torch.zeros(1, dtype=torch.int64, device=net.device)
    z = surface.canvas.start(seed, ids).to(image)
    x, _ = optimise_picture(net, objective, surface, z, ids, ids, steps, unchanged, watch)
    remaining = float(distance(activations(net, x, layers), x, Problem(x, ids, ids)))
    return Picture(x[0], {"distance": remaining}, net.bounds)


def photo_and_surface(
    model: Frozen | nn.Module | Callable[[Tensor], Tensor], photo: Photo, steps: int, canvas: str
) -> tuple[Frozen, Tensor, Surface]:
    """The frozen network, the photo [1, C, H, W] and a canvas of its shape; the network is not run yet."""
    net = frozen(model)
    checks.whole("steps", steps)
    checks.one_of("canvas", canvas, CANVASES)
    image = photo_in_range(net, photo)
    shape = (image.shape[1], image.shape[2], image.shape[3])
    return net, image, canvas_of(canvas, shape, picture_range(net, shape))


def activations(net: Frozen, image: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """The activations of the named layers for an image [1, C, H, W].

    Raises:
        ValueError: an unknown layer, or a model that does not accept such images.
    """
    with torch.no_grad():
        return net.features(image, list(layers) if not isinstance(layers, str) else layers)
