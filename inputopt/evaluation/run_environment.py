"""What a figure depends on besides its settings: the inputs and labels themselves, the device and the precision."""

from __future__ import annotations

import hashlib
import platform
from typing import Any

import torch
from torch import Tensor

from inputopt.search.problem import Problem


def run_environment(problem: Problem) -> dict[str, Any]:
    """Hashes of inputs, labels and ids, dtype, device, processor and number of threads, as JSON values."""
    x = problem.x0
    return {
        "hashes": {"x": tensor_hash(x), "y": tensor_hash(problem.label), "ids": tensor_hash(problem.ids)},
        "dtype": str(x.dtype).removeprefix("torch."),
        "matmul_precision": torch.get_float32_matmul_precision(),
        "device": torch.cuda.get_device_name(x.device) if x.device.type == "cuda" else str(x.device),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
    }


def tensor_hash(value: Tensor) -> str:
    """16 hexadecimal digits of a SHA-256 hash of a tensor's dtype, shape and values.

    >>> tensor_hash(torch.arange(3)) == tensor_hash(torch.tensor([0, 1, 2]))
    True
    """
    digest = hashlib.sha256(f"{value.dtype} {list(value.shape)}".encode())
    digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
