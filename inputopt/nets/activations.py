"""Activations: how a neuron's weighted input Z becomes its output O.

Each is written twice, once for torch and once for numpy, with dO/dZ spelt out beside O(Z) as the document does. The
numpy form uses plain ufuncs, so that dual numbers can state through the very same lines.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from inputopt import checks

Array = NDArray[Any]

erf: Any = np.frompyfunc(math.erf, 1, 1)  # numpy has none; as a true ufunc, dual numbers can give it a rule


@dataclass(frozen=True)
class Activation:
    """One activation.

    Attributes:
        name: what the user calls it.
        torch: O(Z) on tensors of any shape.
        value: O(Z) on arrays of any shape.
        slope: dO/dZ from (Z, O): many slopes are shortest in terms of the output.
        formula, slope_formula: O(Z) and dO/dZ in words, for those who read along.
        gain: the factor that keeps the size of signals level from layer to layer when weights are drawn at random.
    """

    name: str
    torch: Callable[[Tensor], Tensor]
    value: Callable[[Array], Array]
    slope: Callable[[Array, Array], Array]
    formula: str
    slope_formula: str
    gain: float = 1.0


DOUBLE = np.dtype(np.float64)


def _exp(Z: Array) -> Array:
    """exp(Z), rounded once.

    numpy's float32 exp is off by up to 2.5 units in the last place, and not by the same on every processor; 100,000
    trainings add that up to other digits.
    """
    return np.exp(Z.astype(DOUBLE)).astype(Z.dtype)


def _sigmoid(Z: Array) -> Array:
    return np.reciprocal(1 + _exp(-Z))


def _normal_cdf(Z: Array) -> Array:
    return 0.5 * (1 + erf(Z * 0.5**0.5).astype(Z.dtype))


def _normal_pdf(Z: Array) -> Array:
    return _exp(-0.5 * Z * Z) * (2 * math.pi) ** -0.5


def _silu_slope(Z: Array, O: Array) -> Array:
    sigmoid = _sigmoid(Z)
    return sigmoid + O * (1 - sigmoid)


ACTIVATIONS = {
    activation.name: activation
    for activation in (
        Activation("identity", lambda z: z, lambda Z: Z, lambda Z, O: np.ones_like(Z), "Z", "1"),
        Activation("sigmoid", torch.sigmoid, _sigmoid, lambda Z, O: O * (1 - O), "1 / (1 + exp(-Z))", "O x (1 - O)"),
        Activation("tanh", torch.tanh, np.tanh, lambda Z, O: 1 - O * O, "tanh(Z)", "1 - O x O", 5 / 3),
        Activation(
            "relu",
            torch.relu,
            lambda Z: np.maximum(Z, 0),
            lambda Z, O: (Z > 0).astype(Z.dtype),
            "max(Z, 0)",
            "1 if Z > 0 else 0",
            2**0.5,
        ),
        Activation(
            "leaky_relu",
            functional.leaky_relu,
            lambda Z: np.where(Z > 0, Z, Z * 0.01),
            lambda Z, O: np.where(Z > 0, np.ones_like(Z), 0.01),
            "Z if Z > 0 else 0.01 x Z",
            "1 if Z > 0 else 0.01",
            2**0.5,
        ),
        Activation(
            "elu",
            functional.elu,
            lambda Z: np.where(Z > 0, Z, np.expm1(np.minimum(Z, 0))),
            lambda Z, O: np.where(Z > 0, np.ones_like(Z), O + 1),
            "Z if Z > 0 else exp(Z) - 1",
            "1 if Z > 0 else O + 1",
        ),
        Activation(
            "gelu",
            functional.gelu,
            lambda Z: Z * _normal_cdf(Z),
            lambda Z, O: _normal_cdf(Z) + Z * _normal_pdf(Z),
            "Z x cdf(Z)",
            "cdf(Z) + Z x pdf(Z)",
            2**0.5,
        ),
        Activation(
            "silu",
            functional.silu,
            lambda Z: Z * _sigmoid(Z),
            _silu_slope,
            "Z x sigmoid(Z)",
            "sigmoid(Z) + O x (1 - sigmoid(Z))",
            2**0.5,
        ),
        Activation(
            "softplus",
            # torch turns to the identity above 20, where the slope is still 2e-9 short of 1; 50 is exact in float64
            lambda z: functional.softplus(z, threshold=50),
            lambda Z: np.logaddexp(Z, 0),
            lambda Z, O: _sigmoid(Z),
            "log(1 + exp(Z))",
            "sigmoid(Z)",
        ),
    )
}


def find_activation(name: str) -> Activation:
    """The activation called `name`; a ValueError names the nearest if there is none."""
    return ACTIVATIONS[checks.one_of("activation", name, ACTIVATIONS)]
