"""Names and weight fingerprints of networks, recorded with results."""

from __future__ import annotations

import hashlib
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

_NAMES: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()


def named(net: nn.Module, name: str) -> nn.Module:
    """Remember `name` as the name that `net` was loaded by, and return `net`."""
    _NAMES[net] = name
    return net


def name_of(net: Any) -> str | None:
    """Return the name that `net` was loaded by; None for a model from another source."""
    return _NAMES.get(net) if isinstance(net, nn.Module) else None


def fingerprint(net: Any) -> str | None:
    """Return 16 hexadecimal digits of a hash of all weights and their names; None if `net` is not a module."""
    if not isinstance(net, nn.Module):
        return None
    digest = hashlib.sha256()
    for name, value in net.state_dict().items():
        digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        value = value if value.layout == torch.strided else value.to_dense()
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
