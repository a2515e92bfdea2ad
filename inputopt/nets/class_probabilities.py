"""Probabilities of the classes, for models that return logits and for models that return probabilities."""

from __future__ import annotations

import torch
from torch import Tensor


def looks_like_probabilities(outputs: Tensor) -> bool:
    """Whether all elements of [B, n] are at least 0 and every row sums to 1."""
    sums = outputs.sum(1)
    return bool((outputs >= 0).all()) and bool(torch.allclose(sums, torch.ones_like(sums), atol=1e-4))


def probabilities(outputs: Tensor) -> Tensor:
    """Softmax of a model's outputs [B, n], or the outputs themselves if they are probabilities already."""
    return outputs if looks_like_probabilities(outputs) else outputs.softmax(1)


def log_probabilities(outputs: Tensor) -> Tensor:
    """Logarithms of `probabilities` [B, n]; those of probabilities that underflow to 0 are finite."""
    return logarithms(outputs) if looks_like_probabilities(outputs) else outputs.log_softmax(1)


def logarithms(probabilities: Tensor) -> Tensor:
    """Logarithms of probabilities [B, n], finite also where they are 0."""
    return probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log()


def only_class(outputs: Tensor) -> bool:
    """Whether outputs [n] of one input only say its class: one is 1, and all others are -1, or all are 0."""
    others = outputs[outputs != 1]
    return len(others) == len(outputs) - 1 > 0 and any(bool((others == value).all()) for value in (-1, 0))
