"""Loading of networks: shipped ones by name, others from a file."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from torch import nn

from inputopt import checks
from inputopt.nets.naming import named
from inputopt.nets.network_facts import NetworkFacts, remember
from inputopt.nets.store import read
from inputopt.zoo import digits
from inputopt.zoo.imagenet import SCALES, load_imagenet


def models_folder() -> Path:
    """Folder of the shipped networks: inside the installed package, or beside it in a checkout."""
    package = Path(str(files("inputopt")))
    installed = package / "_models"
    return installed if installed.is_dir() else package.parent / "models"


def shipped() -> list[str]:
    """Names of the shipped networks."""
    return sorted(path.parent.name for path in models_folder().glob("*/weights.safetensors"))


def load(name: str | Path, into: nn.Module | None = None) -> nn.Module:
    """Load a shipped network by its name, or a network from a file written by `save`.

    Args:
        name: such as "digits-mlp" or "efficientnet-lite0", or the path of a safetensors or `.pt` file.
        into: a network that the weights are loaded into; needed for files that do not name their architecture.

    Raises:
        ValueError, TypeError: no such shipped network; the message suggests the nearest name.
        FileError: the file is missing, truncated, pickled, of an unknown format, or does not fit the network.
        ModuleNotFoundError: the network needs an extra that is not installed.
    """
    if not isinstance(name, (str, Path)):
        raise TypeError(f"name must be the name of a shipped network or a path, not {type(name).__name__}.")
    if name in SCALES:
        return named(load_imagenet(str(name)), str(name))
    if isinstance(name, Path) or "/" in name or "\\" in name or "." in name:
        return named(read(name, into), str(name))
    folder = models_folder() / checks.one_of("model", name, [*shipped(), *SCALES])
    return named(remember(read(folder / "weights.safetensors", into), NetworkFacts(digits.CLASS_NAMES)), name)
