"""Versions of the packages that a result depends on, and the date, as recorded in files."""

from __future__ import annotations

import functools
import platform
from datetime import datetime, timezone
from importlib.metadata import version


@functools.cache
def package_versions(*names: str) -> dict[str, str]:
    """Versions of installed packages by name; cached, since each look-up opens and parses a file."""
    return {name: version(name) for name in names}


def recorded_versions() -> dict[str, str]:
    """Versions of inputopt, torch, numpy and Python."""
    return {**package_versions("inputopt", "torch", "numpy"), "python": platform.python_version()}


def now() -> str:
    """The current date and time in UTC, to the second, in ISO 8601.

    >>> len(now())
    25
    """
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
