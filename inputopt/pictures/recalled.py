"""From activations back to an image: what a layer kept of a photo, and a photo with more of what a layer saw in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from inputopt import checks
from inputopt.nets.errors import InputShapeError
from inputopt.nets.frozen import Frozen, frozen
from inputopt.pictures.canvases import canvas_of
from inputopt.pictures.picture import Picture, read_photo
from inputopt.pictures.recipe import FILE, repeatable
from inputopt.pictures.visualize import painted_by, shaken
from inputopt.search.goals import never
from inputopt.search.likeness import activation_distance, along_activations, total_variation
from inputopt.search.loop import Watch
from inputopt.search.objectives import Objective
from inputopt.search.oracle import Backward
from inputopt.search.transforms import Transform, unchanged

Photo = Tensor | Image.Image | str | Path


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
        photo: a tensor [C, H, W] in the bounds, a Pillow image or a path; images are scaled to the bounds.
        layers: names of modules of the model.
        steps: how many.
        seed: what the noise is drawn from.
        canvas: as for `visualize`.
        smooth: the weight of the total variation against the distance.
        watch: shown every step.

    Returns:
        The image; its recipe says how far the activations still are, as a part of the photo's own, under "distance".

    Raises:
        ValueError, TypeError: an unknown layer or canvas, or numbers or a photo that make no sense.
        FileError: the photo cannot be read.
    """
    net, image, wanted = _seen(model, photo, layers)
    distance = activation_distance(wanted)
    weight = checks.positive("smooth", smooth) if smooth else 0.0
    objective = distance + weight / (net.bounds[1] - net.bounds[0]) * total_variation()
    x = _painted(net, objective, image, None, steps, seed, canvas, unchanged, watch)
    with torch.no_grad():
        left = float(distance(net.features(x, list(wanted)), x, None))  # type: ignore[arg-type]  # it looks at no label
    return Picture(x[0], {"distance": left}, net.bounds)


@repeatable(photo=FILE)
def accentuate(
    model: Frozen | nn.Module | Callable[[Tensor], Tensor],
    photo: Photo,
    layers: Sequence[str],
    steps: int = 128,
    seed: int = 0,
    *,
    canvas: str = "fourier",
    shake: float = 0.5,
    watch: Watch | None = None,
) -> Picture:
    """A photo's caricature: from the photo, further the way that the named layers see it (Carter et al., 2019).

    Unlike a dream, which makes more of whatever excites a layer, it keeps the direction of the photo's own activations.

    Args:
        model, photo, layers, seed, canvas, watch: as for `invert`.
        steps: how many.
        shake: as for `visualize`.

    Raises:
        ValueError, TypeError, FileError: as for `invert`.
    """
    net, image, wanted = _seen(model, photo, layers)
    objective = -along_activations(wanted)
    seed = checks.seed(seed)
    transform = shaken(net.bounds, shake, seed)
    x = _painted(net, objective, image, image, steps, seed, canvas, transform, watch)
    return Picture(x[0], bounds=net.bounds)


def _seen(
    model: Frozen | nn.Module | Callable[[Tensor], Tensor], photo: Photo, layers: Sequence[str]
) -> tuple[Frozen, Tensor, dict[str, Tensor]]:
    """The network, the photo [1, C, H, W], and what the layers see in it."""
    net = frozen(model)
    image = in_bounds(net, photo)
    return net, image, activations(net, image, layers)


def in_bounds(net: Frozen, photo: Photo) -> Tensor:
    """A photo as [1, C, H, W] in the network's bounds.

    Raises:
        ValueError, TypeError, FileError: not a photo, or a tensor outside the bounds.
    """
    low, high = net.bounds
    image = read_photo(photo).to(net.dtype)
    if not isinstance(photo, Tensor):
        image = low + (high - low) * image
    if float(image.min()) < low or float(image.max()) > high:
        raise ValueError(f"photo must lie in the model's bounds {low:g}..{high:g}; scale it.")
    return image[None].to(net.device)


def activations(net: Frozen, image: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """What the named layers put out for an image [1, C, H, W].

    Raises:
        ValueError: an unknown layer, or a model that does not take such images.
    """
    try:
        with torch.no_grad():
            return net.features(image, list(layers))
    except InputShapeError as error:
        raise ValueError(
            f"The model does not take images of shape {list(image.shape[1:])} ({error.__cause__})."
        ) from error


def _painted(
    net: Frozen,
    objective: Objective,
    image: Tensor,
    start: Tensor | None,
    steps: int,
    seed: int,
    canvas: str,
    transform: Transform,
    watch: Watch | None,
) -> Tensor:
    """Descend an objective on a canvas of the image's shape, from noise or from `start`."""
    checks.whole("steps", steps)
    shape = (image.shape[1], image.shape[2], image.shape[3])
    painted, project, rate = canvas_of(canvas, shape, net.bounds)
    label = torch.zeros(1, dtype=torch.int64, device=net.device)
    z = painted.start(checks.seed(seed), label).to(net.dtype) if start is None else painted.encode(start)
    oracle = Backward(net, objective, never, transform, painted)
    return painted_by(oracle, painted, project, z, label, label, steps, rate, watch)
