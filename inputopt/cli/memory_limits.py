"""Memory limits, so that a command that needs too much memory raises an error instead of being killed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from inputopt.cli.model_arguments import using
from inputopt.nets.frozen import Frozen

SHARE = 7 / 8
"""Share of the free memory that is used; the rest is left to the system and other processes."""


def memory() -> int:
    """Bytes that the process may use: `SHARE` of the free memory, or of its container's limit if that is lower."""
    found = [2**62]
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.endswith("kB")}
        found.append(sizes["MemAvailable"] + sizes.get("SwapFree", 0))
    except (OSError, KeyError, ValueError):
        if sys.platform != "win32" and "SC_PHYS_PAGES" in os.sysconf_names:
            found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return int(SHARE * min([*found, *_allowed()]))


def _allowed() -> Iterator[int]:
    """Memory limits of the Linux control groups that this process is in."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, kinds, group = line.split(":", 2)
        if kinds not in ("", "memory"):
            continue
        root = Path("/sys/fs/cgroup") / kinds
        name = "memory.limit_in_bytes" if kinds else "memory.max"
        for folder in [root / group.lstrip("/"), *(root / group.lstrip("/")).parents]:
            try:
                yield int((folder / name).read_text(encoding="ascii"))
            except (OSError, ValueError):  # missing, or "max"
                continue


def limit_memory() -> None:
    """Limit this process's memory, so that excessive allocations raise an error that can be reported."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = memory()
    if most < SHARE * 2**62 and (hard == resource.RLIM_INFINITY or most < hard):
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def check_memory(what: str, bytes_needed: float, remedy: str) -> None:
    """Check that the required memory is available.

    Raises:
        ValueError: it is not.
    """
    there = memory()
    if bytes_needed > there:
        raise ValueError(
            f"{what} would need about {_large(bytes_needed)} of memory, but only {_large(there)} is available; "
            f"choose {remedy}."
        )


def _large(size: float) -> str:
    return f"{size / 2**30:,.3g} GiB" if size < 2**50 else f"{size / 2**50:,.3g} PiB"


TRIED_AT = 64
"""Side in pixels of the image on which layer outputs are measured."""


def bytes_a_picture(net: Frozen, channels: int, height: int, width: int) -> float:
    """Rough memory in bytes for optimising one image of this size: its copies, and the layer outputs.

    Layer outputs are measured on a small image and scaled up; they are left out if the network rejects that image.
    """
    pixels, number = float(height * width), net.dtype.itemsize
    copies = 30.0 * channels
    side = min(TRIED_AT, height, width)
    try:
        with using("The model cannot be measured"):
            layers = net.layers(torch.zeros(1, channels, side, side, dtype=net.dtype, device=net.device))
    except ValueError:  # it only accepts other sizes; running it will raise a clear error
        return pixels * copies * number
    shapes = [shape for layer in layers if layer.shapes for shape in layer.shapes if shape is not None]
    numbers = sum(int(torch.Size(shape).numel()) for shape in shapes) / side**2
    return pixels * (copies + 2 * numbers) * number
