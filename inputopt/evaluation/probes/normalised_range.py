"""The largest value that a network gets after the normalisation of its inputs."""

from __future__ import annotations

import numpy as np

from inputopt.nets.frozen import Frozen


def largest_normalised(net: Frozen) -> float:
    """The largest magnitude of an input within finite bounds after subtracting mean and dividing by std.

    0 for a network without normalisation or with infinite bounds.
    """
    described = net.described()
    mean, std = (np.ravel(described[name]) for name in ("mean", "std"))
    ends = np.array([np.min(described["bounds"][0]), np.max(described["bounds"][1])], dtype=float)
    if ((mean == 0).all() and (std == 1).all()) or not np.isfinite(ends).all():
        return 0.0
    return float(np.abs((ends[:, None] - mean) / std).max())
