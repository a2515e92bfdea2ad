"""What a network is called and what its weights are, so that a result can say what made it."""

from __future__ import annotations

import hashlib
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

_NAMES: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()


def named(net: nn.Module, name: str) -> nn.Module:
    """`net`, remembered under the name it is found by."""
    _NAMES[net] = name
    return net


def name_of(net: Any) -> str | None:
    """The name that `net` was loaded by; None for one that was made otherwise."""
    return _NAMES.get(net) if isinstance(net, nn.Module) else None


def fingerprint(net: Any) -> str | None:
    """Sixteen hexadecimal digits that change with any weight or name of a weight; None for what is no module."""
    if not isinstance(net, nn.Module):
        return None
    digest = hashlib.sha256()
    for name, value in net.state_dict().items():
        digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        value = value if value.layout == torch.strided else value.to_dense()
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
