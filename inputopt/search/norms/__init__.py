"""Norms of perturbations, one file each; all norm-dependent computations of the library are their methods."""

from __future__ import annotations

from typing import Literal

from inputopt import checks
from inputopt.search.norms.l0 import L0
from inputopt.search.norms.l1 import L1
from inputopt.search.norms.l2 import L2
from inputopt.search.norms.linf import LINF
from inputopt.search.norms.norm import Norm

NormName = Literal["l0", "l1", "l2", "linf"]

NORMS: dict[str, Norm] = {norm.name: norm for norm in (L0, L1, L2, LINF)}

__all__ = ["L0", "L1", "L2", "LINF", "NORMS", "Norm", "NormName", "find_norm"]


def find_norm(name: str) -> Norm:
    """The norm called `name`.

    Raises:
        ValueError: no norm has this name; the message suggests the nearest.
    """
    return NORMS[checks.one_of("norm", name, NORMS)]
