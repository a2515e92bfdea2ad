"""The toolkit that every attack and picture is built from: one optimisation loop and its components.

`optimise` updates each example of a `Problem` by a `Step`, projects it onto the set of a `Project`, evaluates it with
an `Oracle`, and returns a `Result`. The standard oracle, `Autograd`, combines a frozen network, an `Objective`, a
`Goal` and a `Canvas`.

Stability: the names listed here are public. Until version 1.0 a signature may change in a minor version, with a line in
the release notes; modules below this package that are not exported here may change at any time. `docs/extending.md`
shows each part in use.
"""

from typing import TYPE_CHECKING

from inputopt.lazy_names import lazy_names

if TYPE_CHECKING:
    from inputopt.search.search_api import *  # noqa: F403  # for type checkers and editors
    from inputopt.search.search_api import __all__ as __all__
else:
    __getattr__, __dir__ = lazy_names(__name__, listing="inputopt.search.search_api")
