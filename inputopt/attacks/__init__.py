"""Attacks at a fixed distance, and minimal-norm attacks."""

from typing import TYPE_CHECKING

from inputopt.lazy_names import lazy_names

if TYPE_CHECKING:
    from inputopt.attacks.attacks_api import *  # noqa: F403  # for type checkers and editors
    from inputopt.attacks.attacks_api import __all__ as __all__
else:
    __getattr__, __dir__ = lazy_names(__name__, listing="inputopt.attacks.attacks_api")
