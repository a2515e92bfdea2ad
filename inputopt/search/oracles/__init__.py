"""Oracles evaluate inputs (logits, loss, success) and provide the loss gradient that a search follows."""

from inputopt.search.oracles.autograd_oracle import Autograd
from inputopt.search.oracles.linearised import NearestBoundary
from inputopt.search.oracles.oracle import Oracle, Vjp
from inputopt.search.oracles.tiled import Tiled
from inputopt.search.oracles.wrappers import Changed, awake, confirmed, finished, unjudged

__all__ = [
    "Autograd",
    "Changed",
    "NearestBoundary",
    "Oracle",
    "Tiled",
    "Vjp",
    "awake",
    "confirmed",
    "finished",
    "unjudged",
]
