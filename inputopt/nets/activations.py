"""Activation functions: the map from a neuron's weighted input Z to its output O.

Each is defined twice, for torch and for numpy, with its derivative dO/dZ next to O(Z) as in the reference document
(`inputopt.document`). The numpy form uses only ufuncs and `np.where`, so that it also runs on dual numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from inputopt import checks

Array = NDArray[Any]

erf: Any = np.frompyfunc(math.erf, 1, 1)  # numpy has no erf; dual numbers can define a rule only for a ufunc


@dataclass(frozen=True)
class Activation:
    """One activation function.

    Attributes:
        name: the name used to select it.
        torch: O(Z) on tensors of any shape.
        value: O(Z) on arrays of any shape.
        slope: dO/dZ as a function of (Z, O); many derivatives are simplest in terms of the output.
        formula, slope_formula: O(Z) and dO/dZ as text, for printed explanations.
        gain: the scale of random initial weights that keeps the signal magnitude constant from layer to layer.
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
    """exp(Z), computed in float64 and rounded to the dtype of Z.

    numpy's float32 exp has errors of up to 2.5 units in the last place that differ between processors; over 100,000
    training steps they accumulate to different printed digits.
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


ActivationName = Literal["identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "gelu", "silu", "softplus"]
"""The activations of the package; more can be added to `ACTIVATIONS`."""

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
            # torch by default switches to the identity above 20, where the slope is 1 - 2e-9; 50 is exact in float64
            lambda z: functional.softplus(z, threshold=50),
            lambda Z: np.logaddexp(Z, 0),
            lambda Z, O: _sigmoid(Z),
            "log(1 + exp(Z))",
            "sigmoid(Z)",
        ),
    )
}


def find_activation(name: str) -> Activation:
    """Return the activation called `name`.

    Raises:
        ValueError: unknown name; the message suggests the nearest one.
    """
    return ACTIVATIONS[checks.one_of("activation", name, ACTIVATIONS)]
