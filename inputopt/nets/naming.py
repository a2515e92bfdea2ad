"""Names and weight fingerprints of networks, recorded with results."""

from __future__ import annotations

import hashlib
import types
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from inputopt.nets.input_range import Bounds, Scaling
from inputopt.summaries import Summary, Table

_NAMES: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()


def named(net: nn.Module, name: str) -> nn.Module:
    """Remember `name` as the name that `net` was loaded by, and return `net`."""
    _NAMES[net] = name
    return net


def name_of(net: Any) -> str | None:
    """Return the name that `net` was loaded by; None for a model from another source."""
    return _NAMES.get(net) if isinstance(net, nn.Module) else None


def kind_of(model: Any) -> str:
    """Return the name of a module's class, or of a function or method; the class of any other callable."""
    named = model if isinstance(model, (types.FunctionType, types.MethodType)) else type(model)
    return str(named.__qualname__)


def summary_of(
    name: str | None,
    kind: str,
    bounds: Bounds,
    scaling: Scaling,
    device: torch.device,
    optimisations: Mapping[str, str],
) -> Summary:
    """Return the summary of a `Frozen`: its model, bounds, normalisation, device and optimisations."""
    facts = [("", kind if name is None else f"{kind} ({name})")]
    facts.append(("bounds", f"{_extent(bounds.low)} to {_extent(bounds.high)}"))
    if not scaling.is_none:
        facts.append(("normalised by", f"mean {_extent(scaling.mean)} and std {_extent(scaling.std)}"))
    facts.append(("on", str(device)))
    used = [change for change, said in optimisations.items() if said == "used"]
    reasons = set(optimisations.values())
    if len(reasons) == 1 and not used:  # not decided yet, or one reason against all of them
        return Summary("Frozen", [*facts, ("optimisations", reasons.pop())])
    facts.append(("optimisations", ", ".join(used) or "none"))
    return Summary("Frozen", facts, tables=[Table(["optimisation", ""], list(optimisations.items()))])


def _extent(value: float | Tensor) -> str:
    """A number, up to four numbers, or the range of more."""
    numbers = [value] if isinstance(value, (int, float)) else value.flatten().tolist()
    if len(numbers) <= 4:
        text = ", ".join(f"{number:.4g}" for number in numbers)
        return text if len(numbers) == 1 else f"({text})"
    return f"({min(numbers):.4g}..{max(numbers):.4g})"


def fingerprint(net: Any) -> str | None:
    """Return 16 hexadecimal digits of a hash of all weights and their names; None if `net` is not a module."""
    if not isinstance(net, nn.Module):
        return None
    digest = hashlib.sha256()
    for name, value in net.state_dict().items():
        for each in value if isinstance(value, tuple) else (value,):  # quantised layers pack weight and bias
            _add_to(digest, name, each)
    return digest.hexdigest()[:16]


def _add_to(digest: Any, name: str, value: Any) -> None:
    """Update a hash with an entry of a state dict: a tensor, or another value that quantised layers keep."""
    if not isinstance(value, Tensor):
        digest.update(f"{name} {value!r}".encode())
        return
    digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
    value = value.dequantize() if value.is_quantized else value
    value = value if value.layout == torch.strided else value.to_dense()
    digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
