"""Public names of a package that are loaded at first use, so that importing the package imports nothing heavy."""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any


def lazy_names(package: str, listing: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and `__dir__` of a package whose public names are loaded one by one (PEP 562).

    The only list of the names is a module of ordinary imports, `from inputopt.nets.mlp import MLP`. It is parsed and
    not run, so that the use of a name imports the module that defines it and no other. Type checkers and editors
    follow the same imports through `if TYPE_CHECKING: from LISTING import *`.

    Args:
        package: name of the package.
        listing: name of the module with the imports and `__all__`.
    """

    def load(name: str) -> Any:
        if name == "__all__":
            return import_module(listing).__all__
        if not name.startswith("_"):
            homes = defining_modules(listing)
            if name in homes and homes[name] != package:
                return getattr(import_module(homes[name]), name)
            if find_spec(f"{package}.{name}") is not None:
                return import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def names() -> list[str]:
        return sorted({*vars(import_module(package)), *defining_modules(listing)})

    return load, names


@cache
def defining_modules(listing: str) -> dict[str, str]:
    """The module that each name of a listing is imported from.

    Where the package is installed without its source, as bytecode, the listing is imported and has all names itself.
    """
    spec = find_spec(listing)
    source = spec.loader.get_source(listing) if spec and spec.loader else None  # type: ignore[attr-defined]
    if source is None:
        return dict.fromkeys(import_module(listing).__all__, listing)
    imports = (node for node in ast.parse(source).body if isinstance(node, ast.ImportFrom))
    return {alias.name: str(node.module) for node in imports for alias in node.names}
