"""The option --norm, whose help says what each norm measures."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from inputopt.cli.parsing import choice

MEASURED = {
    "linf": "its largest element",
    "l2": "its Euclidean length",
    "l1": "the sum of the sizes of its elements",
    "l0": "the number of elements that change",
}
"""What a norm measures of a change."""


def add_norm(command: argparse.ArgumentParser, norms: Iterable[str], default: str) -> None:
    """Add `--norm` for some of the norms."""
    known = set(norms)
    measured = "; ".join(f"{name}: {what}" for name, what in MEASURED.items() if name in known)
    command.add_argument(
        "--norm",
        type=choice("norm", sorted(known)),
        default=default,
        help=f"norm that a change of the input is measured in; {measured} (%(default)s)",
    )
