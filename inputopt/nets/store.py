"""Reading and writing networks as safetensors with the architecture in the header; nothing is ever unpickled."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from inputopt.files import FileError, replacing
from inputopt.nets.cnn import DigitsCNN
from inputopt.nets.efficientnet import EfficientNetLite
from inputopt.nets.mlp import MLP
from inputopt.nets.network_facts import UNKNOWN, NetworkFacts, facts_of, remember, taken_from, to_header

KINDS: dict[str, type[MLP | DigitsCNN | EfficientNetLite]] = {
    "mlp": MLP,
    "digits-cnn": DigitsCNN,
    "efficientnet-lite": EfficientNetLite,
}


class MissingArchitectureError(FileError):
    """A file of weights that does not say which network they belong to."""


def save(net: nn.Module, path: str | Path, *, class_names: Sequence[str] | None = None) -> None:
    """Write a network's weights as safetensors, with the architecture if it is an MLP or one of the shipped kinds.

    Args:
        net: the network.
        path: path of the file.
        class_names: names of the classes, in the order of the logits; `load` and `Frozen` know them again. By default
            those that the network was loaded with.

    Raises:
        FileError: the path cannot be written to.
        ValueError, TypeError: a weight is NaN or infinite, or the names are not a list of text.
    """
    facts = facts_of(net, class_names)
    # cloned, because safetensors rejects tensors that share memory
    tensors = {name: value.detach().cpu().clone().contiguous() for name, value in net.state_dict().items()}
    _check_finite(tensors, path, ValueError)
    kind = next((kind for kind, made in KINDS.items() if isinstance(net, made)), None)
    described = to_header(facts) if kind is None else {"kind": kind, **net.config(), **to_header(facts)}  # type: ignore[operator]
    # one entry, since safetensors writes several in random order
    header = {"inputopt": json.dumps(described)} if described else {}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata=header)


def read(path: str | Path, into: nn.Module | None = None) -> nn.Module:
    """Read a network written by `save`, or load the weights of a safetensors or `.pt` file into `into`.

    A `.pt` file has no architecture, so it requires `into`; it is read with `weights_only=True`.

    Raises:
        FileError: the file is missing, truncated, pickled, of an unknown format, has weights that do not fit the
            network, or contains NaN or infinity.
    """
    path = Path(path)
    if not path.is_file():
        raise FileError(f"There is no file {path}; check the name.")
    if path.suffix in (".pt", ".pth"):
        tensors, config, facts = _read_pt(path), None, None
    else:
        tensors, config, facts = _read_safetensors(path)
    _check_finite(tensors, path, FileError)
    net = _build(path, config, tensors) if into is None else into
    mismatch = _mismatch(net, tensors)
    if mismatch:
        raise FileError(f"The weights in {path} do not fit the network: {mismatch}.")
    net.load_state_dict(tensors)
    return net if facts is None else remember(net, facts)


def facts_in(path: str | Path) -> NetworkFacts:
    """What a file written by `save` says of its network; nothing is known of a file that is not one."""
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get("inputopt")
        return taken_from(None if header is None else json.loads(header))[1]
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError):
        return UNKNOWN


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any] | None, NetworkFacts]:
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get("inputopt")
        return load_file(path), *taken_from(None if header is None else json.loads(header))
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise FileError(f"{path} is not a valid safetensors file ({error}).") from error


def _read_pt(path: Path) -> dict[str, Tensor]:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        raise FileError(f"{path} is not a file of plain weights; save its state_dict and try again.") from error
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise FileError(f"{path} contains something other than a state_dict; save the state_dict and try again.")
    return loaded


def _build(path: Path, config: dict[str, Any] | None, tensors: dict[str, Tensor]) -> nn.Module:
    if config is None:
        raise MissingArchitectureError(f"{path} contains no network architecture; pass a network with into=.")
    try:
        with torch.device("meta"):  # allocate memory only once the shapes in an untrusted file fit
            net: nn.Module = KINDS[config.pop("kind")](**config)
        mismatch = _mismatch(net, tensors)
        dtype = next((value.dtype for value in tensors.values() if value.is_floating_point()), torch.float32)
        return net if mismatch else net.to_empty(device="cpu").to(dtype)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise FileError(f"{path} describes a network that this version cannot build ({error}).") from error


def _mismatch(net: nn.Module, tensors: dict[str, Tensor]) -> str:
    wanted = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    name = next((name for name in {**wanted, **found} if wanted.get(name) != found.get(name)), None)
    return "" if name is None else f"{name} should be {wanted.get(name, 'absent')} and is {found.get(name, 'absent')}"


def _check_finite(tensors: dict[str, Tensor], path: str | Path, kind: type[ValueError]) -> None:
    bad = next((name for name, value in tensors.items() if not bool(torch.isfinite(value).all())), None)
    if bad is not None:
        raise kind(
            f"The weights for {path} contain NaN or infinite values in {bad}; train again with a smaller learning rate."
        )
