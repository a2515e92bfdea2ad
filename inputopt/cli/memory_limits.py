"""How much memory there is, so that a command that needs more says so instead of being killed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from inputopt.cli.model_arguments import using
from inputopt.nets.frozen import Frozen

SHARE = 7 / 8
"""Of the memory that is free: the system needs some to account for it, and other processes are there too."""


def memory() -> int:
    """Bytes that a process may use: most of those free now, and no more than its container allows."""
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
    """What Linux's control groups allow this process and each group that it is in."""
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
            except (OSError, ValueError):  # not there, or "max"
                continue


def limit_memory() -> None:
    """Have this process fail where it asks for more memory than there is: an error can be told, a kill cannot."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = memory()
    if most < SHARE * 2**62 and (hard == resource.RLIM_INFINITY or most < hard):
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def check_memory(what: str, bytes_needed: float, remedy: str) -> None:
    """Refuse what cannot fit.

    Raises:
        ValueError: it needs more memory than there is.
    """
    there = memory()
    if bytes_needed > there:
        raise ValueError(
            f"{what} would take some {_large(bytes_needed)} of memory, and there are {_large(there)}; choose {remedy}."
        )


def _large(size: float) -> str:
    return f"{size / 2**30:,.3g} GiB" if size < 2**50 else f"{size / 2**50:,.3g} PiB"


TRIED_AT = 64
"""The side of the image that a network is measured on."""


def bytes_a_picture(net: Frozen, channels: int, height: int, width: int) -> float:
    """Roughly what one picture of that size takes while it is moved: its copies, and what the layers put out for it.

    The layers are measured on a small image, where the network takes one.
    """
    pixels, number = float(height * width), net.dtype.itemsize
    copies = 30.0 * channels
    side = min(TRIED_AT, height, width)
    try:
        with using("The model cannot be measured"):
            layers = net.layers(torch.zeros(1, channels, side, side, dtype=net.dtype, device=net.device))
    except ValueError:  # it takes other sizes only, and says so when it is asked
        return pixels * copies * number
    shapes = [shape for layer in layers if layer.shapes for shape in layer.shapes if shape is not None]
    numbers = sum(int(torch.Size(shape).numel()) for shape in shapes) / side**2
    return pixels * (copies + 2 * numbers) * number
