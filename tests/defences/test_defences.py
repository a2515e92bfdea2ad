"""Each broken defence keeps its clean accuracy, and is broken in the way that it claims."""

import pytest
import torch
from torch import nn

from defences import DEFENCES
from defences.fitting import digits

X, Y = digits().held_x[::20], digits().held_y[::20]

NO_DERIVATIVE = [name for name, defence in DEFENCES.items() if "no_gradient" in defence.indicators]
ZERO = ["rounding", "nested lists", "binarised", "weights in a closure", "rounded features", "served probabilities"]
MISLEADING = ["sine", "decoy gradient", "reversed gradient", "partly detached", "sine in a hook"]
RESCALED = {"small logits": 1e-3, "large logits": 1e3, "denormal logits": 1e-40}


def made(name):
    net = DEFENCES[name].make()
    return net.eval() if isinstance(net, nn.Module) else net


def answers(name, x, net=None):
    """Logits as the defence's accuracy is defined: alone where they depend on the batch."""
    net = made(name) if net is None else net
    with torch.no_grad():
        return torch.cat([net(row) for row in x.split(1)]) if DEFENCES[name].alone else net(x)


def margin(logits, label):
    others = logits.scatter(1, label[:, None], -torch.inf).amax(1)
    return logits.gather(1, label[:, None])[:, 0] - others


def gradient(name, x):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(margin(made(name)(x), Y).sum(), x)[0]


def test_the_table_is_as_large_as_it_claims():
    assert len(DEFENCES) - sum(defence.late for defence in DEFENCES.values()) >= 30
    assert sum(defence.late for defence in DEFENCES.values()) >= 8


@pytest.mark.parametrize("name", DEFENCES)
def test_clean_accuracy_is_kept_unless_losing_it_is_the_fault(name):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = made(name)
        correct = torch.stack([answers(name, X, net).argmax(1) == Y for _ in range(8 if DEFENCES[name].random else 1)])
    clean, lowest = float(correct.float().mean()), DEFENCES[name].clean
    assert clean < 0.5 if lowest is None else clean >= lowest


@pytest.mark.parametrize("name", DEFENCES)
def test_a_second_network_is_the_same_and_only_random_ones_differ_from_call_to_call(name):
    first, second = made(name), made(name)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        before = answers(name, X, first)
        again = answers(name, X, first)
    if DEFENCES[name].random:
        assert not torch.equal(before, again)
    else:
        assert torch.equal(before, answers(name, X, second))
        assert torch.equal(before, again)


@pytest.mark.parametrize("name", [name for name, defence in DEFENCES.items() if defence.alone])
def test_a_row_depends_on_its_neighbours_where_the_table_says_so(name):
    net = made(name)
    assert not torch.allclose(net(X), answers(name, X, net), atol=1e-2)


@pytest.mark.parametrize("name", ["input counter", "moving mean"])
def test_a_forward_moves_the_buffers_of_stateful_networks(name):
    net = made(name)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    net(X)
    assert any(not torch.equal(value, before[key]) for key, value in net.state_dict().items())


@pytest.mark.parametrize("name", NO_DERIVATIVE)
def test_outputs_without_a_derivative_do_not_depend_on_the_input_for_autograd(name):
    x = X[:2].clone().requires_grad_()
    logits = made(name)(x)
    assert not logits.requires_grad or torch.autograd.grad(logits.sum(), x, allow_unused=True)[0] is None


@pytest.mark.parametrize("name", ZERO)
def test_quantised_networks_have_a_gradient_that_is_exactly_zero(name):
    assert not gradient(name, X).any()


def test_cross_entropy_of_a_sharp_softmax_has_a_zero_gradient_at_most_digits():
    x = X.clone().requires_grad_()
    loss = torch.nn.functional.cross_entropy(made("sharp softmax")(x), Y, reduction="sum")
    (found,) = torch.autograd.grad(loss, x)
    assert (found.flatten(1).abs().amax(1) == 0).float().mean() > 0.8


@pytest.mark.parametrize("name", MISLEADING)
def test_a_step_along_a_misleading_gradient_does_not_do_what_the_gradient_predicts(name):
    slope, before = gradient(name, X), margin(answers(name, X), Y)
    after = margin(answers(name, (X - 0.002 * slope.sign()).clamp(0, 1)), Y)
    predicted = -0.002 * slope.abs().flatten(1).sum(1)
    assert (((after - before) / predicted - 1).abs() > 0.5).float().mean() > 0.5


def test_noise_of_a_custom_backward_differs_from_call_to_call():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, second = gradient("noisy backward", X), gradient("noisy backward", X)
    assert torch.nn.functional.cosine_similarity(first.flatten(1), second.flatten(1)).abs().max() < 0.3


@pytest.mark.parametrize("name", RESCALED)
def test_rescaled_logits_leave_the_predictions_alone(name):
    logits, usual = answers(name, X), answers("detached", X)
    assert torch.equal(logits.argmax(1), usual.argmax(1))
    assert torch.isclose(logits.double().abs().max(), usual.double().abs().max() * RESCALED[name], rtol=1e-3)


@pytest.mark.parametrize("name", ["detector", "squeeze detector"])
def test_detectors_return_an_eleventh_class_that_no_label_names(name):
    noise = torch.rand(64, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 0.4
    assert answers(name, X).shape == (len(X), 11)
    assert (answers(name, (digits().held_x[:64] + noise).clamp(0, 1)).argmax(1) == 10).any()
