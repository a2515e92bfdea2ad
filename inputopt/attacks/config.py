"""Settings common to all attacks, checked on construction."""

from __future__ import annotations

import math
import numbers
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from inputopt import checks
from inputopt.attacks.user_functions import transform_function
from inputopt.search.norms import NORMS, NormName
from inputopt.search.transforms import Transform

if TYPE_CHECKING:
    from inputopt.attacks.run import AttackRun
    from inputopt.search.result import Result

Check = Callable[[str, Any], Any]
"""(name, value) -> the value as the attack uses it; raises ValueError or TypeError with a one-sentence message."""


def checked_by(check: Check) -> dict[str, Check]:
    """Metadata of a dataclass field whose value is checked when the attack is constructed."""
    return {"check": check}


def setting(default: Any, check: Check) -> Any:
    """A dataclass field whose value is checked when the attack is constructed."""
    return field(default=default, metadata=checked_by(check))


def optional(check: Check) -> Check:
    """Accept None, or any value that `check` accepts."""
    return lambda what, value: None if value is None else check(what, value)


def number(what: str, value: Any) -> float:
    """A finite number above 0."""
    return float(checks.positive(what, value))


def not_negative(what: str, value: Any) -> float:
    """A finite number of at least 0."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{what} must be a number, not {type(value).__name__}.")
    if not 0 <= float(value) < math.inf:
        raise ValueError(f"{what} must be a finite number of at least 0, not {value}.")
    return float(value)


def share(what: str, value: Any) -> float:
    """A number above 0 and at most 1."""
    return float(checks.share(what, value))


def flag(what: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{what} must be True or False, not {type(value).__name__}.")
    return bool(value)


def whole(least: int = 1) -> Check:
    """An integer of at least `least`."""
    return partial(checks.whole, least=least)


def one_of(*allowed: str) -> Check:
    """One of the given strings."""
    return lambda what, value: checks.one_of(what, value, allowed)


LARGEST = 1e30
"""Largest step size with which float32 arithmetic stays finite."""


def lengths(what: str, value: Any) -> float | Tensor:
    """A finite number of at least 0, or a tensor or array of such numbers."""
    if isinstance(value, (Tensor, np.ndarray)):
        made = checks.as_tensor(value).detach()
        if made.dtype == torch.bool or made.is_complex():
            raise TypeError(f"{what} must hold numbers, not {made.dtype}.")
        made = made if made.is_floating_point() else made.to(torch.float64)
        if not bool((made >= 0).all()):
            raise ValueError(f"{what} must be numbers of at least 0.")
        if not bool(torch.isfinite(made).all()):
            raise ValueError(
                f"{what} must be finite; to find the nearest adversarial example, use a minimal-norm attack."
            )
        return float(made) if made.ndim == 0 else made
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{what} must be a number or a tensor, not {type(value).__name__}.")
    if not float(value) >= 0:
        raise ValueError(f"{what} must be a number of at least 0, not {value}.")
    if math.isinf(value):
        raise ValueError(f"{what} must be finite; to find the nearest adversarial example, use a minimal-norm attack.")
    return float(value)


def above_zero(what: str, value: Any) -> float | Tensor:
    """A number above 0 and at most `LARGEST`, or a tensor or array of such numbers."""
    if isinstance(value, float) and not 0 < value <= LARGEST:
        raise ValueError(f"{what} must be above 0 and at most {LARGEST:g}, not {value}.")
    made = lengths(what, value)
    each = torch.as_tensor(made)
    if not bool(((each > 0) & (each <= LARGEST)).all()):
        raise ValueError(f"{what} must be above 0 and at most {LARGEST:g}.")
    return made


def radii(what: str, value: Any) -> tuple[float, ...]:
    """A sequence of finite numbers above 0."""
    return tuple(number(f"each number of {what}", each) for each in value)


def mask_of_numbers(what: str, value: Any) -> Tensor:
    """A bool tensor or array."""
    if not isinstance(value, (Tensor, np.ndarray, list, tuple)):
        raise TypeError(f"{what} must be a bool tensor or array, not {type(value).__name__}.")
    made = checks.as_tensor(value)
    if made.dtype != torch.bool:
        raise ValueError(f"{what} must be bool, not {made.dtype}; convert it with {what} != 0.")
    return made


@dataclass(frozen=True)
class AttackConfig(ABC):
    """Settings of an attack; calling it perturbs inputs batch by batch.

    Attributes:
        norm: "l0", "l1", "l2" or "linf".
        levels: search only inputs that a file with this many levels can hold (256 for PNG); `x` must lie on them.
        mask: bool, broadcast with the inputs [B, ...]: the only elements that may change.
        eot_samples: expectation over transformations (EOT; Athalye et al., 2018): average logits and gradients over
            this many independent forwards; for stochastic networks, and with `transform`.
        transform: (x, problem, draw) -> x, applied before the network, such as those of `inputopt.search.transforms`.

    Raises:
        ValueError, TypeError: an invalid setting, on construction.
    """

    norms: ClassVar[tuple[str, ...]] = tuple(NORMS)
    """Norms in which the attack is defined."""
    elsewhere: ClassVar[str] = ""
    """Attack to use in other norms."""

    norm: NormName
    levels: int | None = field(default=None, kw_only=True, metadata=checked_by(optional(whole(2))))
    mask: Tensor | None = field(default=None, kw_only=True, metadata=checked_by(optional(mask_of_numbers)))
    eot_samples: int = field(default=1, kw_only=True, metadata=checked_by(whole()))
    transform: Transform | None = field(default=None, kw_only=True, metadata=checked_by(optional(transform_function)))

    def __post_init__(self) -> None:
        if not isinstance(self.norm, str):
            name = type(self).__name__
            raise TypeError(
                f"norm must be one of {', '.join(NORMS)}, not {type(self.norm).__name__}; settings come first, and the "
                f"attack is then called: {name}(norm)(model, x, y)."
            )
        for each in fields(self):
            if "check" in each.metadata:
                object.__setattr__(self, each.name, each.metadata["check"](each.name, getattr(self, each.name)))
        checks.one_of("norm", self.norm, NORMS)
        if self.norm not in self.norms:
            known = " and ".join(self.norms)
            raise ValueError(
                f"{type(self).__name__} is defined in {known}, not in {self.norm}; use {self.elsewhere} there."
            )

    @property
    def rows_per_example(self) -> int:
        """Maximum number of batch rows per example: its restarts, or the classes tried at once."""
        return 1

    @abstractmethod
    def _search(self, run: AttackRun) -> Result:
        """Attack one batch; the result must not depend on the other batches of the call."""
