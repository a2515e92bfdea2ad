"""Which tensor is meant where a model or a layer puts out more than one.

Logits are, in this order: the tensor itself; what is called `logits` in an object, a mapping or a named tuple; the only
floating-point tensor [B, n] among the values of a mapping, dataclass, tuple or list. Of a layer inside it is the tensor
itself; what is called `last_hidden_state` or `logits`; the first value of a tuple or list, where layers that put out
more (attention, recurrent layers, blocks of transformers) put what the next one reads; the only floating-point tensor
of two or more dimensions in it, however deeply nested. Where that leaves none or several, nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from inputopt.nets.ambient import isolated

NAMES = ("logits", "last_hidden_state")


def logits_in(outputs: Any, batch: int) -> Any:
    """The tensor of logits that a model meant by its outputs for so many inputs; None if that is not clear."""
    if isinstance(outputs, Tensor):
        return outputs
    found = _parts(outputs)
    named = found.get(NAMES[0], getattr(outputs, NAMES[0], None))
    if named is not None:
        return named
    tables = [value for value in found.values() if _is_floating(value) and value.ndim == 2 and len(value) == batch]
    return tables[0] if len(tables) == 1 else None


def checked_logits(outputs: Any, batch: int, dtype: torch.dtype) -> Tensor:
    """`logits_in`, as a tensor [B, n] of that dtype.

    Raises:
        TypeError: there is no such tensor, or it does not hold floating-point numbers.
        ValueError: it is not [B, n].
    """
    logits = outputs if type(outputs) is Tensor else logits_in(outputs, batch)
    if isinstance(logits, Tensor) and logits.ndim == 2 and logits.shape[0] == batch and logits.is_floating_point():
        logits = _plain(logits, dtype)
        return logits.clone() if logits._version else logits  # written in place, as to a buffer of the model's
    if not isinstance(logits, Tensor):
        several = _parts(outputs)
        what = f" (it returned {type(outputs).__name__} of {', '.join(several) or 'nothing'})" if several else ""
        raise TypeError(
            "The model must return a tensor of logits [B, n], or something with .logits or with one such tensor in "
            f"it{what}; wrap it in a function that does."
        )
    if logits.ndim != 2 or len(logits) != batch:
        raise ValueError(f"The model must return logits [B, n], not {list(logits.shape)} for {batch} inputs.")
    raise TypeError(
        f"The model must return logits, floating-point numbers, not {logits.dtype}; "
        "give the scores that its answer was chosen by."
    )


def tensor_in(output: Any) -> Tensor | None:
    """The tensor that a layer meant by what it put out; None if that is not clear."""
    if isinstance(output, Tensor):
        return output
    found = _parts(output)
    for name in NAMES:
        if isinstance(found.get(name), Tensor):
            return found[name]
    if isinstance(output, (tuple, list)) and len(output) and _is_table(output[0]):
        return output[0]
    tables = [value for value in _tensors(output) if _is_table(value)]
    return tables[0] if len(tables) == 1 else None


def checked_layer(layer: str, tensor: Tensor | None, dtype: torch.dtype) -> Tensor:
    """What a layer put out, floating-point numbers in that dtype; TypeError if that is no one tensor."""
    if tensor is None:
        raise TypeError(f"Layer {layer!r} puts out more than one tensor, or none; choose a layer that puts out one.")
    return _plain(tensor, dtype)


def _plain(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Of torch's own class, of that dtype if it is floating-point, and no tensor of inference mode.

    Without gradients it is a copy: the model may write its next answer to the same memory.
    """
    if type(tensor) is not Tensor:
        tensor = tensor.as_subclass(Tensor)
    if not tensor.requires_grad:
        with isolated(tensor.device):
            tensor = tensor.clone()
    return tensor if tensor.dtype == dtype or not tensor.is_floating_point() else tensor.to(dtype)


def _is_table(value: Any) -> bool:
    return _is_floating(value) and value.ndim > 1


def _is_floating(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _parts(outputs: Any) -> dict[str, Any]:
    """The values directly inside, by name or place; none of what has no parts."""
    if isinstance(outputs, Mapping):
        return {str(name): value for name, value in outputs.items()}
    if isinstance(outputs, (tuple, list)):
        return dict(zip(getattr(outputs, "_fields", map(str, range(len(outputs)))), outputs, strict=True))
    if is_dataclass(outputs):
        return {field.name: getattr(outputs, field.name) for field in fields(outputs)}
    return {}


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    for value in _parts(output).values():
        yield from _tensors(value)
