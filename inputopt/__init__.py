"""Train networks with checked gradients, and optimise the inputs of frozen networks."""

from typing import TYPE_CHECKING

from inputopt.lazy_names import lazy_names

if TYPE_CHECKING:
    from inputopt.api import *  # noqa: F403  # for type checkers and editors
    from inputopt.api import __all__ as __all__
else:
    # names load at first use, so that `inputopt --help` does not import torch
    __getattr__, __dir__ = lazy_names(__name__, listing="inputopt.api")

__version__ = "0.2.0"
