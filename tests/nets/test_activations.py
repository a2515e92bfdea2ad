import math

import numpy as np
import pytest
import torch

from inputopt.nets.activations import ACTIVATIONS, find_activation

NAMES = ["identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "gelu", "silu", "softplus"]
GRID = np.concatenate([np.linspace(-6, 6, 241), [-40.0, -20.5, -19.5, 19.5, 20.5, 40.0]])  # 0 and both tails too
OVERFLOW = "ignore:overflow encountered:RuntimeWarning"  # exp(1000) on the way to 1 / (1 + inf) = 0 is meant


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def cdf(z):
    return math.erfc(-z / math.sqrt(2)) / 2


def pdf(z):
    return math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


CLOSED_FORMS = {  # O(Z) and dO/dZ, as the textbooks have them
    "identity": (lambda z: z, lambda z: 1),
    "sigmoid": (sigmoid, lambda z: math.exp(-z) / (1 + math.exp(-z)) ** 2),
    "tanh": (math.tanh, lambda z: 1 / math.cosh(z) ** 2),
    "relu": (lambda z: z if z > 0 else 0, lambda z: 1 if z > 0 else 0),
    "leaky_relu": (lambda z: z if z > 0 else z / 100, lambda z: 1 if z > 0 else 0.01),
    "elu": (lambda z: z if z > 0 else math.expm1(z), lambda z: 1 if z > 0 else math.exp(z)),
    "gelu": (lambda z: z * cdf(z), lambda z: cdf(z) + z * pdf(z)),
    "silu": (lambda z: z * sigmoid(z), lambda z: sigmoid(z) * (1 + z * sigmoid(-z))),
    "softplus": (lambda z: math.log1p(math.exp(z)), sigmoid),
}
LIMITS = {  # O and dO/dZ at Z = -1000, then at Z = 1000
    "identity": ((-1000, 1), (1000, 1)),
    "sigmoid": ((0, 0), (1, 0)),
    "tanh": ((-1, 0), (1, 0)),
    "relu": ((0, 0), (1000, 1)),
    "leaky_relu": ((-10, 0.01), (1000, 1)),
    "elu": ((-1, 0), (1000, 1)),
    "gelu": ((0, 0), (1000, 1)),
    "silu": ((0, 0), (1000, 1)),
    "softplus": ((0, 0), (1000, 1)),
}


def slope_by_torch(name, Z):
    z = torch.tensor(Z, requires_grad=True)
    (slope,) = torch.autograd.grad(ACTIVATIONS[name].torch(z).sum(), z)
    return slope.numpy()


def test_there_are_the_activations_that_were_promised():
    assert sorted(ACTIVATIONS) == sorted(NAMES)
    assert all(ACTIVATIONS[name].name == name for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_value_and_slope_are_the_closed_forms(name):
    activation, (value, slope) = find_activation(name), CLOSED_FORMS[name]
    O = activation.value(GRID)
    np.testing.assert_allclose(O, [value(z) for z in GRID], rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(activation.slope(GRID, O), [slope(z) for z in GRID], rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_the_torch_form_is_the_numpy_form_and_so_are_their_slopes(name):
    activation = find_activation(name)
    O = activation.value(GRID)
    np.testing.assert_allclose(activation.torch(torch.tensor(GRID)).numpy(), O, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(slope_by_torch(name, GRID), activation.slope(GRID, O), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_the_slope_is_the_central_difference_of_the_value(name):
    activation, h = find_activation(name), 1e-5
    Z = GRID[np.abs(GRID) > h]  # the kinks are at 0
    differences = (activation.value(Z + h) - activation.value(Z - h)) / (2 * h)
    # of third derivatives below 1 and values below 40: h^2 / 6 from the formula, 40 x 2^-52 / h from rounding
    np.testing.assert_allclose(activation.slope(Z, activation.value(Z)), differences, rtol=0, atol=2e-9)


@pytest.mark.parametrize("name", NAMES)
def test_single_precision_stays_single_and_agrees_with_double(name):
    activation, Z = find_activation(name), GRID.astype(np.float32)
    O = activation.value(Z)
    slope = activation.slope(Z, O)
    assert (O.dtype, slope.dtype) == (np.float32, np.float32)
    np.testing.assert_allclose(O, activation.value(GRID), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(slope, activation.slope(GRID, activation.value(GRID)), rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(activation.torch(torch.tensor(Z)).numpy(), O, rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings(OVERFLOW)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NAMES)
def test_far_out_every_value_and_slope_is_at_its_limit(name, dtype):
    activation, Z = find_activation(name), np.array([-1000, 1000], dtype)
    O = activation.value(Z)
    found = list(zip(O, activation.slope(Z, O), strict=True))
    np.testing.assert_allclose(found, LIMITS[name], rtol=1e-6)
    assert activation.torch(torch.tensor(Z)).tolist() == pytest.approx([O for O, _ in LIMITS[name]])
    assert slope_by_torch(name, Z).tolist() == pytest.approx([slope for _, slope in LIMITS[name]])


@pytest.mark.parametrize("name", NAMES)
def test_the_printed_formulas_say_what_is_computed(name):
    activation = find_activation(name)
    names = {"exp": math.exp, "log": math.log, "tanh": math.tanh, "max": max}
    names |= {"cdf": cdf, "pdf": pdf, "sigmoid": sigmoid}
    for Z in (-2.0, -0.3, 0.4, 1.7):
        O = activation.value(np.array([Z])).item()
        slope = activation.slope(np.array([Z]), np.array([O])).item()
        for formula, result in ((activation.formula, O), (activation.slope_formula, slope)):
            assert eval(formula.replace(" x ", " * "), names | {"Z": Z, "O": O}) == pytest.approx(result, rel=1e-12)


@pytest.mark.parametrize("name", ["relu", "leaky_relu"])
def test_the_gain_of_rectifiers_keeps_the_mean_square_of_a_signal(name):
    """He et al., 2015: E[O^2] = 1 for Z = gain x a standard normal variable."""
    z = torch.randn(200_000, generator=torch.Generator().manual_seed(0))
    activation = find_activation(name)
    assert activation.torch(activation.gain * z).square().mean().item() == pytest.approx(1, abs=0.02)


def test_shapes_are_kept():
    Z = np.zeros((2, 3, 4))
    for name in NAMES:
        O = find_activation(name).value(Z)
        assert O.shape == find_activation(name).slope(Z, O).shape == (2, 3, 4)


@pytest.mark.parametrize(("name", "near"), [("relo", "relu"), ("Sigmoid", "sigmoid"), ("leakyrelu", "leaky_relu")])
def test_an_unknown_activation_is_answered_with_the_nearest(name, near):
    with pytest.raises(ValueError, match=f"^Unknown activation {name!r}; did you mean '{near}'"):
        find_activation(name)
