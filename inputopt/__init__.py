"""Train networks with checked gradients, and optimise the inputs of frozen networks."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inputopt.api import *  # noqa: F403  # for type checkers and editors

__version__ = "0.2.0"


def __getattr__(name: str) -> Any:
    """Load the public names and the subpackages at first use, so that `inputopt --help` does not import torch."""
    if name == "__all__" or not name.startswith("_"):
        if (
            find_spec(f"{__name__}.{name}") is not None
        ):  # first: `from inputopt import checks` in modules that api loads
            return import_module(f"{__name__}.{name}")
        api = import_module(f"{__name__}.api")
        if name == "__all__" or name in api.__all__:
            return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *import_module(f"{__name__}.api").__all__]
