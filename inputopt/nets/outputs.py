"""Selecting the tensor of logits, or of a layer's output, from structured outputs.

Logits are, in this order: the tensor itself; the field or key `logits` of an object, mapping or named tuple; the only
floating-point tensor [B, n] among the values of a mapping, dataclass, tuple or list. The output of an inner layer is
the tensor itself; the field `last_hidden_state` or `logits`; the first value of a tuple or list, because layers with
several outputs (attention, recurrent layers, transformer blocks) return the input of the next layer first; the only
floating-point tensor of two or more dimensions at any depth of nesting. If none or several match, none is selected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from inputopt.nets.default_modes import isolated

NAMES = ("logits", "last_hidden_state")


def logits_in(outputs: Any, batch: int) -> Any:
    """Select the logits from a model's outputs for `batch` inputs; None if they are absent or ambiguous."""
    if isinstance(outputs, Tensor):
        return outputs
    elements = _elements(outputs)
    named = elements.get(NAMES[0], getattr(outputs, NAMES[0], None))
    if named is not None:
        return named
    candidates = [
        value for value in elements.values() if _is_floating(value) and value.ndim == 2 and len(value) == batch
    ]
    return candidates[0] if len(candidates) == 1 else None


def checked_logits(outputs: Any, batch: int, dtype: torch.dtype) -> Tensor:
    """Select the logits [B, n] from a model's outputs and cast them to `dtype`.

    Raises:
        TypeError: there is no such tensor, or it does not hold floating-point numbers.
        ValueError: it is not [B, n].
    """
    logits = outputs if type(outputs) is Tensor else logits_in(outputs, batch)
    if isinstance(logits, Tensor) and logits.ndim == 2 and logits.shape[0] == batch and logits.is_floating_point():
        logits = _converted(logits, dtype)
        return logits.clone() if logits._version else logits  # written in place: may be a buffer of the model
    if not isinstance(logits, Tensor):
        contents = _elements(outputs)
        what = f" (it returned {type(outputs).__name__} with {', '.join(contents)})" if contents else ""
        raise TypeError(
            "The model must return logits [B, n]: a tensor, an object with .logits, or a container with exactly one "
            f"such tensor{what}; wrap it in a function that returns the logits{ONLY_CLASSES * _are_classes(outputs)}."
        )
    if logits.ndim != 2 or len(logits) != batch:
        shape = list(logits.shape)
        hint = ONLY_CLASSES * (shape == [batch])
        raise ValueError(f"The model must return logits [B, n], not shape {shape} for {batch} inputs{hint}.")
    raise TypeError(
        f"The model must return floating-point logits, not {logits.dtype}; "
        "return the class scores instead of the predicted class."
    )


ONLY_CLASSES = "; for a model that returns only classes use attacks.Decisions(model, classes)"
"""What to do with outputs that seem to be predicted classes."""


def _are_classes(outputs: Any) -> bool:
    """Whether the outputs are a list of whole numbers."""
    return isinstance(outputs, (list, tuple)) and all(isinstance(each, Integral) for each in outputs)


def tensor_in(output: Any) -> Tensor | None:
    """Select the tensor from a layer's output; None if it is absent or ambiguous."""
    if isinstance(output, Tensor):
        return output
    elements = _elements(output)
    for name in NAMES:
        if isinstance(elements.get(name), Tensor):
            return elements[name]
    if isinstance(output, (tuple, list)) and len(output) and _is_candidate(output[0]):
        return output[0]
    candidates = [value for value in _tensors(output) if _is_candidate(value)]
    return candidates[0] if len(candidates) == 1 else None


def checked_layer(layer: str, tensor: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Return a layer's selected output, cast to `dtype` if it is floating-point.

    Raises:
        TypeError: `tensor` is None.
    """
    if tensor is None:
        raise TypeError(f"Layer {layer!r} returns several tensors or none; choose a layer that returns one tensor.")
    return _converted(tensor, dtype)


def _converted(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Convert to a plain `torch.Tensor` outside inference mode, cast to `dtype` if it is floating-point.

    Without gradients it is a copy, because the model may write its next output to the same memory.
    """
    if type(tensor) is not Tensor:
        tensor = tensor.as_subclass(Tensor)
    if not tensor.requires_grad:
        with isolated(tensor.device):
            tensor = tensor.clone()
    return tensor if tensor.dtype == dtype or not tensor.is_floating_point() else tensor.to(dtype)


def _is_candidate(value: Any) -> bool:
    return _is_floating(value) and value.ndim > 1


def _is_floating(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _elements(outputs: Any) -> dict[str, Any]:
    """Return the direct elements of a container by name or index; empty for other values."""
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
    for value in _elements(output).values():
        yield from _tensors(value)
