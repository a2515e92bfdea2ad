import copy
import math
import pickle
import re

import numpy as np
import pytest
import torch

from inputopt import MLP, gradients, train
from inputopt.derivatives.explain import explain
from inputopt.document.networks import EXAMPLES
from inputopt.nets.activations import ACTIVATIONS

ENDS = [("mse", output) for output in ACTIVATIONS] + [("cross_entropy", "sigmoid"), ("cross_entropy", "identity")]
FUNCTIONS = {
    "exp": math.exp,
    "log": math.log,
    "tanh": math.tanh,
    "max": max,
    "sigmoid": lambda z: 1 / (1 + math.exp(-z)),
    "cdf": lambda z: math.erfc(-z / math.sqrt(2)) / 2,
    "pdf": lambda z: math.exp(-z * z / 2) / math.sqrt(2 * math.pi),
}


def sums(text):
    """Every (expression, result) of the text that is spelt out in numbers: "... = 0.5 x 2.0 = 1.0"."""
    found = []
    for line in text.splitlines():
        parts = re.split(r"(?:^|: | )= | = |: ", line.strip())
        if len(parts) > 1 and re.match(r"^-?(\d|\(|max|log|tanh|sigmoid|cdf|exp)", parts[-2]):
            found.append((parts[-2], float(parts[-1])))
    return found


def results(text, start):
    """The last number of each line that starts so, in order."""
    lines = (line.strip() for line in text.splitlines())
    return [float(line.rpartition(" = ")[2]) for line in lines if line.startswith(start)]


def small(activation, output, cost):
    biases = [np.array([0.3, -0.2]), np.array([0.1, 0.4])]
    net = MLP([2, 2, 2], activation, output, biases=biases, seed=3)
    targets = [1, 0] if (cost, output) == ("cross_entropy", "identity") else [[0.2, 0.9], [1.0, 0.0]]
    return net, [[0.7, -0.4], [0.1, 1.2]], targets


@pytest.mark.parametrize(("cost", "output"), ENDS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_sum_on_the_page_is_right(activation, output, cost):
    """A reader with a calculator finds each printed result, but for the six decimals it is printed to."""
    text = explain(*small(activation, output, cost), cost)
    found = sums(text)
    # two examples: 4 Z, 4 errors, 8 dCost/dWeight and 2 dCost/dInput each, and at the end 12 parameters move
    assert len(found) >= 2 * (4 + 2 + 8 + 2) + 12
    for expression, result in found:
        assert eval(expression.replace(" x ", " * "), dict(FUNCTIONS)) == pytest.approx(result, abs=1e-5), expression


def test_network_4_is_told_as_the_document_works_it():
    example = EXAMPLES["4"]
    text = explain(example.network(), example.inputs, example.targets)
    assert results(text, "cost") == [0.298371]
    assert results(text, "neuron error") == [0.138499, -0.038098, 0.008771, 0.009954], (
        "from the last layer to the first"
    )
    assert results(text, "dCost/dInput") == [0.003804, 0.004741]
    assert results(text, "layer 1") == [0.149781, 0.199561, 0.345614, 0.249751, 0.299502, 0.345023]
    assert results(text, "layer 2") == [0.358916, 0.408666, 0.530751, 0.511301, 0.561370, 0.619049]


def test_the_forward_pass_is_told_before_the_backward_pass_and_the_update_last():
    text = explain(*small("tanh", "sigmoid", "mse"))
    order = ["ROW 1", "Layer 1, forward", "Layer 2, forward", "cost (mse)", "Layer 2, backward"]
    order += ["Layer 1, backward", "Inputs", "ROW 2", "UPDATE"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("cost", ["mse", "cross_entropy"])
def test_the_told_update_is_the_one_that_training_makes(cost, held):
    """Held parameters do not move in either."""
    net, inputs, targets = small("tanh", "sigmoid", cost)
    for bias in net.biases:
        bias.requires_grad_(not held)
    text = explain(net, inputs, targets, cost, learning_rate=0.7)
    train(net, inputs, targets, cost, learning_rate=0.7, steps=1)
    for layer in range(2):
        told = results(text, f"layer {layer + 1}")
        kept = (
            [net.weights[layer].detach()]
            if held
            else [net.weights[layer].detach(), net.biases[layer].detach()[:, None]]
        )
        expected = torch.cat(kept, 1).flatten().tolist()
        assert told == pytest.approx(expected, abs=6e-7)


def test_the_network_is_not_changed():
    net, inputs, targets = small("tanh", "sigmoid", "mse")
    before = [value.clone() for value in net.parameters()]
    explain(net, inputs, targets)
    assert all(torch.equal(value, old) for value, old in zip(net.parameters(), before, strict=True))


def test_a_saturated_network_is_told_without_a_warning():
    text = explain(MLP([1, 1], weights=[[[1000.0]]]), [[1.0]], [[0.0]], "cross_entropy")
    assert results(text, "neuron error") == [1]
    assert results(text, "cost") == [1000]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            (MLP([20, 20]), [[0.0] * 20], [[0.0] * 20]),
            "A network of 420 weights and biases is too large to explain; .* 400",
        ),
        ((MLP([2, 1]), [[0.0]], [[0.0]]), "inputs must have 2 numbers per example"),
        ((MLP([2, 1]), [], []), "at least one example"),
        ((MLP([2, 1]), [[0.0, 1.0]], [[math.nan]]), "targets must be finite"),
        ((MLP([2, 1]), [[0.0, 1.0]], [[0.0]], "mee"), "Unknown cost"),
        ((MLP([2, 1]), [[0.0, 1.0]], [[0.0]], "mse", 0), "learning_rate must be a finite number above 0"),
        ((MLP([2, 1]), [[0.0, 1.0]], [[0.0]], "mse", math.nan), "learning_rate must be a finite number above 0"),
    ],
)
def test_what_cannot_be_told_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        explain(*arguments)


@pytest.mark.parametrize(("cost", "output"), ENDS)
def test_the_numbers_are_those_of_each_row_alone(cost, output):
    net, inputs, targets = small("tanh", output, cost)
    found = explain(net, inputs, targets, cost).numbers
    for row, numbers in enumerate(found):
        alone = gradients(net, inputs[row : row + 1], targets[row : row + 1], cost, "autograd")
        assert numbers.cost == pytest.approx(alone.cost, abs=1e-6)
        for layer in range(2):
            assert numbers.weight_gradients[layer] == pytest.approx(alone.weights[layer].numpy(), abs=1e-6)
            assert numbers.neuron_errors[layer] == pytest.approx(alone.biases[layer].numpy(), abs=1e-6)
        assert numbers.input_gradient == pytest.approx(alone.inputs[0].numpy(), abs=1e-6)
        assert numbers.outputs[-1] == pytest.approx(net(torch.tensor(inputs))[row].detach().numpy(), abs=1e-6)
    wanted = [[0, 1], [1, 0]] if (cost, output) == ("cross_entropy", "identity") else targets
    assert np.stack([numbers.targets for numbers in found]) == pytest.approx(np.array(wanted))


def test_the_numbers_do_not_change_with_the_network():
    example = EXAMPLES["4"]
    net = example.network()
    found = explain(net, example.inputs, example.targets)
    train(net, example.inputs, example.targets, steps=3)
    assert found.numbers[0].weights[0][0, 0] == pytest.approx(0.15)


def test_the_figure_has_every_number_of_its_row():
    example = EXAMPLES["4"]
    drawn = explain(example.network(), example.inputs, example.targets).figure()
    texts = {text.get_text() for text in drawn.axes[0].texts}
    for number in ("0.150", "0.450", "0.751", "0.0827", "error 0.1385", "dC/dI 0.0038", "cost 0.298371"):
        assert number in texts
    assert "bias 0.600, target 0.99" in texts
    or_gate = EXAMPLES["3b"]
    explained = explain(or_gate.network(), or_gate.inputs, or_gate.targets)
    targets = [
        {t.get_text()[-1] for t in explained.figure(row).axes[0].texts if "target" in t.get_text()} for row in (0, 3)
    ]
    assert targets == [{"0"}, {"1"}]
    with pytest.raises(ValueError, match=r"row must lie in 0\.\.3, not 4"):
        explained.figure(4)


def test_an_explanation_can_be_copied_with_its_numbers():
    found = explain(MLP([2, 1]), [[0.5, 1.0]], [[0.0]])
    for same in (copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
        assert same == found
        assert same.numbers[0].cost == found.numbers[0].cost
