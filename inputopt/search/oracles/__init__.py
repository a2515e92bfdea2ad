"""Oracles evaluate inputs (logits, loss, success) and provide the loss gradient that a search follows."""

from inputopt.search.oracles.autograd_oracle import Autograd
from inputopt.search.oracles.linearised import NearestBoundary
from inputopt.search.oracles.oracle import Oracle, Vjp
from inputopt.search.oracles.tiled import Tiled
from inputopt.search.oracles.wrappers import WrappedOracle, confirmed, finished, skipping_evaluation, with_relu_redirect

__all__ = [
    "Autograd",
    "NearestBoundary",
    "Oracle",
    "Tiled",
    "Vjp",
    "WrappedOracle",
    "confirmed",
    "finished",
    "skipping_evaluation",
    "with_relu_redirect",
]
