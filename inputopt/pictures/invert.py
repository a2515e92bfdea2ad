"""Feature inversion (Mahendran and Vedaldi, 2015): an image whose activations match those of a photo."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from inputopt import checks
from inputopt.nets.frozen import Frozen, frozen
from inputopt.pictures.canvas_choice import CANVASES, Surface, canvas_of
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
    canvas: str = "fourier",
    smooth: float = 0.1,
    watch: Watch | None = None,
) -> Picture:
    """From noise to an image to which the named layers answer as they do to a photo (Mahendran and Vedaldi, 2015).

    What differs from the photo is what those layers do not see, or no longer tell.

    Args:
        model: a network, frozen or not; if not, its inputs are taken to lie in [0, 1].
        photo: numbers [C, H, W] in the bounds, or a Pillow image, a path or an array of uint8; images are scaled to the
            bounds.
        layers: names of modules of the model.
        steps: how many.
        seed: what the noise is drawn from.
        canvas: as for `visualize`.
        smooth: the weight of the total variation against the distance.
        watch: shown every step.

    Returns:
        The image; its recipe says how far the activations still are, as a part of the photo's own, under "distance".

    Raises:
        ValueError, TypeError: an unknown layer or canvas, numbers or a photo that make no sense, activations that are
            no numbers, or infinite bounds.
        FileError: the photo cannot be read.
    """
    weight = checks.positive("smooth", smooth) if smooth else 0.0
    net, image, surface = _given(model, photo, steps, canvas)
    seed = checks.seed(seed)
    wanted = activations(net, image, layers)
    distance = activation_distance(wanted)
    objective = distance + weight * total_variation()
    alone = torch.zeros(1, dtype=torch.int64, device=net.device)
    z = surface.canvas.start(seed, alone).to(image)
    x, _ = optimise_picture(net, objective, surface, z, alone, alone, steps, unchanged, watch)
    left = float(distance(activations(net, x, layers), x, Problem(x, alone, alone)))
    return Picture(x[0], {"distance": left}, net.bounds)


def _given(
    model: Frozen | nn.Module | Callable[[Tensor], Tensor], photo: Photo, steps: int, canvas: str
) -> tuple[Frozen, Tensor, Surface]:
    """The network, the photo [1, C, H, W], and a canvas of its shape; the network is asked about nothing yet."""
    net = frozen(model)
    checks.whole("steps", steps)
    checks.one_of("canvas", canvas, CANVASES)
    image = photo_in_range(net, photo)
    shape = (image.shape[1], image.shape[2], image.shape[3])
    return net, image, canvas_of(canvas, shape, picture_range(net, shape))


def activations(net: Frozen, image: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """What the named layers put out for an image [1, C, H, W].

    Raises:
        ValueError: an unknown layer, or a model that does not take such images.
    """
    with torch.no_grad():
        return net.features(image, list(layers) if not isinstance(layers, str) else layers)
