import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inputopt.nets.activations import ACTIVATIONS, find_activation
from inputopt.nets.costs import check_targets, find_cost

PAIRS = [("mse", output) for output in ACTIVATIONS] + [("cross_entropy", "sigmoid"), ("cross_entropy", "identity")]


def batch(cost, seed=0, examples=5, outputs=3):
    """A batch of last Z, with targets that the cost allows."""
    random = np.random.default_rng(seed)
    Z = random.normal(size=(examples, outputs))
    if cost.class_targets:
        return Z, random.integers(outputs, size=examples)
    return Z, random.random((examples, outputs))


def numpy_cost(cost, output, Z, T):
    Z, T = np.array(Z, float), np.array(T)
    return cost.value(Z, find_activation(output).value(Z), T)


def test_mse_is_half_the_squared_length_of_target_minus_output():
    cost = find_cost("mse", "identity")
    assert numpy_cost(cost, "identity", [[0.3, 0.5]], [[0, 1]]).tolist() == pytest.approx([0.5 * (0.09 + 0.25)])


def test_binary_cross_entropy_is_summed_over_the_outputs():
    cost = find_cost("cross_entropy", "sigmoid")
    Z = [[math.log(4), math.log(3)]]  # outputs 0.8 and 0.75
    by_hand = -math.log(0.8) - math.log(1 - 0.75)
    assert numpy_cost(cost, "sigmoid", Z, [[1.0, 0.0]]).tolist() == pytest.approx([by_hand])
    half = -(0.3 * math.log(0.8) + 0.7 * math.log(0.2)) - (0.5 * math.log(0.75) + 0.5 * math.log(0.25))
    assert numpy_cost(cost, "sigmoid", Z, [[0.3, 0.5]]).tolist() == pytest.approx([half])


def test_softmax_cross_entropy_is_minus_the_log_of_the_share_of_the_class():
    cost = find_cost("cross_entropy", "identity")
    Z = [[math.log(1), math.log(2), math.log(5)]] * 3 + [[7.0, 7.0, 7.0]]
    by_hand = [-math.log(1 / 8), -math.log(2 / 8), -math.log(5 / 8), math.log(3)]
    assert numpy_cost(cost, "identity", Z, [0, 1, 2, 1]).tolist() == pytest.approx(by_hand)


@pytest.mark.parametrize(("name", "output"), PAIRS)
def test_the_torch_form_is_the_average_of_the_numpy_form(name, output):
    cost = find_cost(name, output)
    Z, T = batch(cost)
    mean = cost.torch(torch.tensor(Z), torch.tensor(T))
    assert mean.shape == ()
    assert mean.item() == pytest.approx(numpy_cost(cost, output, Z, T).mean(), rel=1e-13)


@pytest.mark.parametrize(("name", "output"), PAIRS)
def test_each_example_and_each_network_of_a_population_has_its_own_cost(name, output):
    cost = find_cost(name, output)
    Z, T = batch(cost)
    stacked = numpy_cost(cost, output, np.stack([Z, 2 * Z]), T)
    assert stacked.shape == (2, 5)
    for network, scale in enumerate((1, 2)):
        for example in range(5):
            alone = numpy_cost(cost, output, scale * Z[example : example + 1], T[example : example + 1])
            assert stacked[network, example] == pytest.approx(alone[0], rel=1e-13)


@pytest.mark.parametrize(("name", "output"), PAIRS)
def test_the_neuron_error_of_the_last_layer_is_what_autograd_finds(name, output):
    """Both as dCost/dO x dO/dZ, and in the form where the two cancel on paper."""
    cost, activation = find_cost(name, output), find_activation(output)
    Z, T = batch(cost, seed=1)
    z = torch.tensor(Z, requires_grad=True)
    (expected,) = torch.autograd.grad(cost.torch(z, torch.tensor(T)) * len(Z), z)
    O = activation.value(Z)
    np.testing.assert_allclose(cost.slope(O, T) * activation.slope(Z, O), expected, rtol=1e-11, atol=1e-14)
    if cost.neuron_error is not None:
        np.testing.assert_allclose(cost.neuron_error(O, T), expected, rtol=1e-11, atol=1e-14)


def test_cross_entropy_removes_the_slow_start_of_the_last_layer():
    """At Z = 10 against target 0 the sigmoid is flat: mse hardly moves, cross-entropy at full speed."""
    Z, T = np.array([[10.0]]), np.array([[0.0]])
    O = find_activation("sigmoid").value(Z)
    slow = find_cost("mse", "sigmoid").slope(O, T) * find_activation("sigmoid").slope(Z, O)
    fast = find_cost("cross_entropy", "sigmoid").neuron_error(O, T)
    assert 0 < slow.item() < 1e-4
    assert fast.item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("output", "targets", "by_hand"),
    [  # at Z = 1000, -1000: right, then wrong
        ("sigmoid", [[1.0, 0.0]], 0),
        ("sigmoid", [[0.0, 1.0]], 2000),
        ("identity", [0], 0),
        ("identity", [1], 2000),
    ],
)
def test_cross_entropy_stays_finite_where_the_outputs_saturate(output, targets, by_hand, dtype):
    cost = find_cost("cross_entropy", output)
    z, t = torch.tensor([[1000.0, -1000.0]], dtype=dtype), torch.tensor(targets)
    t = t if cost.class_targets else t.to(dtype)
    assert cost.torch(z, t).item() == by_hand
    with np.errstate(over="ignore"):
        O = find_activation(output).value(z.numpy())
    assert cost.value(z.numpy(), O, t.numpy()).tolist() == [by_hand]
    error = cost.neuron_error(O, t.numpy()) if cost.neuron_error else cost.slope(O, t.numpy())
    assert error.tolist() == [[0, 0] if by_hand == 0 else [1, -1]]


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.lists(st.floats(-50, 50), min_size=2, max_size=6), st.floats(-1e3, 1e3), st.data())
def test_softmax_cross_entropy_does_not_change_when_all_logits_move_together(logits, shift, data):
    target = data.draw(st.integers(0, len(logits) - 1))
    cost = find_cost("cross_entropy", "identity")
    Z = np.array([logits])
    here, there = (numpy_cost(cost, "identity", moved, [target])[0] for moved in (Z, Z + shift))
    assert here == pytest.approx(there, abs=1e-11)
    assert here >= -1e-12
    assert cost.slope(Z, np.array([target])).sum() == pytest.approx(0, abs=1e-12)


def test_error_is_the_length_of_target_minus_output():
    outputs, targets = torch.tensor([[0.0, 3.0], [1.0, 1.0]]), torch.tensor([[4.0, 0.0], [1.0, 1.0]])
    for name, output in (("mse", "sigmoid"), ("cross_entropy", "sigmoid")):
        assert find_cost(name, output).error(outputs, targets).tolist() == [5, 0]
    assert find_cost("mse", "tanh").error(torch.tensor([[0.25]]), torch.tensor([[1.0]])).tolist() == [0.75]


def test_the_error_of_a_class_is_measured_on_the_shares():
    shares = torch.tensor([[0.5, 0.25, 0.25]])
    error = find_cost("cross_entropy", "identity").error(shares.log() + 3, torch.tensor([0]))
    assert error.item() == pytest.approx(math.sqrt(0.5**2 + 0.25**2 + 0.25**2))


def test_the_documents_cost_comes_from_its_error():
    cost = find_cost("mse", "sigmoid")
    Z, T = batch(cost)
    outputs = find_activation("sigmoid").torch(torch.tensor(Z))
    from_error = cost.of_error(cost.error(outputs, torch.tensor(T)))
    np.testing.assert_allclose(from_error, numpy_cost(cost, "sigmoid", Z, T), rtol=1e-13)


def test_cross_entropy_wants_sigmoid_or_identity_outputs():
    for output in ACTIVATIONS.keys() - {"sigmoid", "identity"}:
        with pytest.raises(
            ValueError, match=f"^cross_entropy needs sigmoid or identity outputs, not '{output}'; .*mse"
        ):
            find_cost("cross_entropy", output)


@pytest.mark.parametrize(
    ("name", "output", "words"),
    [
        ("mean_squares", "sigmoid", "Unknown cost 'mean_squares'; choose one of mse, cross_entropy"),
        ("crossentropy", "sigmoid", "did you mean 'cross_entropy'"),
        ("mse", "sigmiod", "Unknown activation 'sigmiod'; did you mean 'sigmoid'"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(name, output, words):
    with pytest.raises(ValueError, match=words):
        find_cost(name, output)


@pytest.mark.parametrize(
    ("name", "output", "targets", "words"),
    [
        ("mse", "sigmoid", [[0.0, 1.0]], r"shape \[2, 2\], not \[1, 2\]"),
        ("mse", "sigmoid", [0.0, 1.0], r"shape \[2, 2\], not \[2\]"),
        ("mse", "sigmoid", [[0.0, 1.0, 0.0]] * 2, r"shape \[2, 2\], not \[2, 3\]"),
        ("mse", "sigmoid", [[0.0, math.nan]] * 2, "targets must be finite"),
        ("cross_entropy", "sigmoid", [[0.0, 1.1]] * 2, r"must lie in \[0, 1\]"),
        ("cross_entropy", "sigmoid", [[0.0, -0.1]] * 2, r"must lie in \[0, 1\]"),
        ("cross_entropy", "identity", [0], r"2 class indices, one per input, not shape \[1\]"),
        ("cross_entropy", "identity", [[0, 1]] * 2, r"2 class indices, one per input, not shape \[2, 2\]"),
        ("cross_entropy", "identity", [0.0, 1.0], "whole numbers"),
        ("cross_entropy", "identity", [0, 2], r"must lie in 0\.\.1, but range from 0 to 2"),
        ("cross_entropy", "identity", [-1, 1], "range from -1 to 1"),
    ],
)
def test_targets_that_the_cost_does_not_allow_are_refused(name, output, targets, words):
    with pytest.raises(ValueError, match=words):
        check_targets(find_cost(name, output), targets, 2, 2, torch.zeros(1))


@pytest.mark.parametrize("output", ["sigmoid", "identity"])
@pytest.mark.parametrize("targets", [None, "ab", ["a", "b"], [[0, 1], [0]]])
def test_targets_that_are_no_numbers_are_refused_in_the_librarys_words(output, targets):
    with pytest.raises((TypeError, ValueError), match=r"^targets must be .*\.$"):
        check_targets(find_cost("cross_entropy", output), targets, 2, 2, torch.zeros(1))
