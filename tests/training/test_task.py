"""Trainings of the kinds of network and argument that people have: right, or one sentence, and nothing else moved."""

import copy
import threading
import warnings
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

import inputopt
from inputopt import MLP, DivergenceWarning, evolve, train
from inputopt.derivatives.gradient_methods import GRADIENT_METHODS
from inputopt.nets.arrays import arrays
from inputopt.nets.costs import find_cost
from inputopt.training.genetic import mean_costs
from inputopt.training.task import epoch_slices

X = np.random.default_rng(0).random((9, 2))
Y = np.array([0, 1] * 4 + [0])


def plain(net, steps=6, rate=0.5, x=X, y=Y):
    """Softmax cross-entropy by descent, as anyone writes it: what `train` must do to a module."""
    net = copy.deepcopy(net)
    x, y = torch.as_tensor(x), torch.as_tensor(y)
    moving = [value for value in net.parameters() if value.requires_grad]
    for _ in range(steps):
        cost = nn.functional.cross_entropy(net(x.clone().to(moving[0].dtype) if x.is_floating_point() else x), y)
        found = torch.autograd.grad(cost, moving, allow_unused=True)
        with torch.no_grad():
            for value, slope in zip(moving, found, strict=True):
                if slope is not None:
                    value -= rate * slope
    return numbers(net)


def numbers(net):
    return torch.cat([value.detach().double().flatten() for value in net.parameters()])


def trained(net, x=X, y=Y, steps=6, **settings):
    net = copy.deepcopy(net)
    history = train(net, x, y, steps=steps, **({"cost": "cross_entropy"} | settings))
    assert np.isfinite(history.cost).all()
    return numbers(net)


def drawn(net):
    """The module with weights that do not depend on torch's global generator."""
    generator = torch.Generator().manual_seed(0)
    for value in net.parameters():
        value.data = torch.randn(value.shape, generator=generator).to(value.dtype) / 2
    return net


class Scales(nn.Linear):
    """Writes to its input."""

    def forward(self, x):
        return super().forward(x.mul_(2))


class Silent(nn.Linear):
    def train(self, mode=True):
        super().train(mode)


class Spare(nn.Linear):
    """Has a parameter that its output does not depend on."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.spare = nn.Parameter(torch.ones(3))


class Casts(nn.Linear):
    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return super().forward(x)


class Checkpointed(nn.Linear):
    def forward(self, x):
        return checkpoint(super().forward, x, use_reentrant=False)


class Tripled(MLP):
    """An MLP that is not what its weights say."""

    def forward(self, inputs):
        return 3 * super().forward(inputs)


def tied():
    net = MLP([2, 2, 2], "tanh", "identity")
    net.layers[1].weight = net.layers[0].weight
    return net


def hooked():
    net = MLP([2, 2], "identity")
    net.layers[0].register_forward_hook(lambda module, given, out: 2 * out)
    return net


KINDS = {
    "writes to its input": lambda: Scales(2, 2),
    "train returns None": lambda: Silent(2, 2),
    "unused parameter": lambda: Spare(2, 2),
    "autocast inside": lambda: Casts(2, 2),
    "checkpointed": lambda: Checkpointed(2, 2),
    "float64": lambda: nn.Linear(2, 2).double(),
    "batch norm": lambda: nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU(inplace=True), nn.Linear(4, 2)),
    "tied": tied,
    "hooked": hooked,
    "own forward": lambda: Tripled([2, 2], "identity"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_module_is_trained_as_by_a_plain_loop(kind):
    net = drawn(KINDS[kind]())
    net.train()
    within = (
        2e-2 if kind == "autocast inside" else 1e-6
    )  # bfloat16 has three digits, and its logits are kept in float32
    torch.testing.assert_close(trained(net), plain(net), rtol=0, atol=within)
    assert not torch.allclose(numbers(net), plain(net), atol=0.01), "the loop must have gone somewhere"


def test_spectral_norm_is_trained_by_autograd_and_refused_by_hand():
    net = parametrizations.spectral_norm(MLP([2, 3, 2], "tanh", "identity").layers[0])
    whole = MLP([2, 3, 2], "tanh", "identity")
    whole.layers[0] = net
    before = numbers(whole)
    assert not torch.equal(trained(whole), before)
    with pytest.raises(ValueError, match="parametrised weights"):
        trained(whole, method="backprop")


@pytest.mark.parametrize("kind", [tied, hooked, KINDS["own forward"]])
def test_derivatives_by_hand_refuse_what_they_do_not_see(kind):
    for job in (
        lambda: train(kind(), X, Y, "cross_entropy", method="dual"),
        lambda: inputopt.gradients(kind(), X, Y, "cross_entropy"),
        lambda: evolve(kind(), X, Y, "cross_entropy"),
    ):
        with pytest.raises(ValueError, match=r"use a plain inputopt\.MLP"):
            job()


def test_whole_numbers_are_left_whole_for_an_embedding():
    words = np.random.default_rng(0).integers(0, 5, (9, 3)).astype(np.uint16)
    net = drawn(nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(12, 2)))
    torch.testing.assert_close(trained(net, words), plain(net, x=words.astype(np.int64)), rtol=0, atol=1e-6)


# ----------------------------------------------------------------------------------------------- batches and batch norm
def test_a_last_batch_of_one_joins_the_one_before_it_only_where_there_are_batch_norms():
    norm, none = nn.BatchNorm1d(2).train(), nn.Linear(2, 2)
    lengths = {9: (norm, [4, 5]), 10: (norm, [4, 4, 2]), 8: (norm, [4, 4])}
    for examples, (net, wanted) in lengths.items():
        assert [part.stop - part.start for part in epoch_slices(net, examples, 4)] == wanted
    assert [part.stop - part.start for part in epoch_slices(none, 9, 4)] == [4, 4, 1]
    assert [part.stop - part.start for part in epoch_slices(norm.eval(), 9, 4)] == [4, 4, 1]


def test_batch_norm_trains_on_every_example_of_a_round_whose_last_batch_would_be_one():
    seen = []

    def watch(net, x, y, index):
        seen.append(len(x))
        return x

    train(KINDS["batch norm"](), X, Y, "cross_entropy", steps=4, batch_size=4, perturb=watch)
    assert seen == [4, 5, 4, 5]


@pytest.mark.parametrize("settings", [{"batch_size": 1}, {"x": X[:1], "y": Y[:1]}])
def test_batch_norm_on_single_examples_is_a_sentence_and_nothing_moves(settings):
    net = KINDS["batch norm"]()
    before = {name: value.clone() for name, value in net.state_dict().items() if "running" not in name}
    given = {"x": X, "y": Y} | settings
    with pytest.raises(ValueError, match=r"batch of 1 in training .*more than 1 value per channel") as caught:
        train(net, given.pop("x"), given.pop("y"), "cross_entropy", steps=3, **given)
    assert isinstance(caught.value.__cause__, ValueError)
    now = net.state_dict()
    assert all(torch.equal(value, now[name]) for name, value in before.items() if "tracked" not in name)


# ------------------------------------------------------------------------------------------------------ around the call
AROUND = {
    "no_grad": torch.no_grad,
    "inference": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
}


@pytest.mark.parametrize("method", GRADIENT_METHODS)
def test_no_mode_around_the_call_changes_what_comes_out(method):
    net = MLP([2, 3, 2], "tanh", "identity")

    def job(mode=nullcontext):
        twin = copy.deepcopy(net)
        with mode():
            found = inputopt.gradients(twin, X, Y, "cross_entropy", method)
            train(twin, X, Y, "cross_entropy", steps=6, method=method)
            assert torch.is_inference_mode_enabled() == (mode is torch.inference_mode), "put back"
        return torch.cat([numbers(twin), found.inputs.double().flatten()])

    expected = job()
    for mode in AROUND.values():
        assert torch.equal(job(mode), expected)
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.equal(job(), expected)
    finally:
        torch.use_deterministic_algorithms(False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frozen = X.copy()
        frozen.flags.writeable = False
        assert torch.equal(trained(net, frozen, method=method), trained(net, method=method))


@pytest.mark.parametrize("kind", ["batch norm", "float64", "writes to its input"])
def test_modules_train_inside_inference_mode_and_autocast_as_outside(kind):
    net = drawn(KINDS[kind]())
    expected = trained(net)
    for mode in AROUND.values():
        twin = copy.deepcopy(net)
        with mode():
            x = torch.tensor(X)  # an inference tensor in inference mode
            train(twin, x, Y, "cross_entropy", steps=6)
        assert torch.equal(numbers(twin), expected)


def test_a_float64_default_keeps_lists_exact_and_modules_trainable():
    torch.set_default_dtype(torch.float64)
    try:
        net = drawn(KINDS["batch norm"]())
        torch.testing.assert_close(trained(net), plain(net), rtol=0, atol=1e-12)
    finally:
        torch.set_default_dtype(torch.float32)
    net = MLP([1, 1], "identity", weights=[[[1.0]]]).double()
    assert inputopt.gradients(net, [[0.1]], [[0.0]]).cost == 0.5 * 0.1**2, "not by way of float32"


def test_several_threads_train_at_once():
    nets = [drawn(KINDS["batch norm"]()) if index % 2 else MLP([2, 3, 2], "tanh", "identity") for index in range(4)]
    expected, found = [trained(net) for net in nets], {}
    threads = [
        threading.Thread(target=lambda index=index: found.update({index: trained(nets[index])})) for index in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(found[index], expected[index]) for index in range(4))


# ------------------------------------------------------------------------------------------------------------ arguments
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64, np.int8, np.int32, list])
def test_labels_of_any_whole_type(dtype):
    net = MLP([2, 3, 2], "tanh", "identity")
    labels = Y.tolist() if dtype is list else Y.astype(dtype)
    assert torch.equal(trained(net, y=labels), trained(net))


def test_numpy_scalars_are_numbers():
    net = MLP([2, 3, 2], "tanh", "identity")
    given = {
        "learning_rate": np.float32(0.25),
        "batch_size": np.uint8(4),
        "seed": np.int32(3),
        "stop_error": np.array(0),
    }
    as_usual = {"learning_rate": torch.tensor(0.25), "batch_size": 4, "seed": 3, "stop_error": 0.0}
    assert torch.equal(trained(net, steps=np.int16(5), **given), trained(net, steps=5, **as_usual))


def test_no_input_is_ever_written_to():
    for x in (torch.rand(9, 2), np.random.default_rng(1).random((9, 2), np.float32)):
        before = copy.deepcopy(x)
        for settings in ({}, {"batch_size": 4}, {"perturb": lambda net, some, y, index: some.mul_(2)}):
            trained(drawn(Scales(2, 2)), x, **settings)
        assert bool((x == before).all())


class Fails(nn.Linear):
    """Raises `error` at its call number `at`."""

    calls, at, error = 0, 0, RuntimeError("first line\nsecond line")

    def forward(self, x):
        self.calls += 1
        if self.calls > self.at:
            raise self.error
        return super().forward(x)


@pytest.mark.parametrize(
    ("at", "error", "words"),
    [
        (
            0,
            RuntimeError("first line\nsecond line"),
            r"does not accept inputs of shape \[2\] \(RuntimeError: first line\)",
        ),
        (0, KeyError("key"), "does not accept inputs .*KeyError: 'key'"),
        (4, RuntimeError("a bug"), r"failed on a batch of 9 in training \(RuntimeError: a bug\)"),
        (4, MemoryError(), "not enough memory .* smaller batch_size"),
        (4, RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: ..."), "not enough memory"),
    ],
)
def test_what_a_network_raises_is_a_sentence_with_its_cause(at, error, words):
    net = Fails(2, 2)
    net.at, net.error = at, error
    with pytest.raises(ValueError, match=words) as caught:
        train(net, X, Y, "cross_entropy", steps=9)
    assert caught.value.__cause__ is error
    assert "\n" not in str(caught.value)
    assert torch.isfinite(numbers(net)).all()


def inside_inference():
    with torch.inference_mode():
        return nn.Linear(2, 2)


class Detached(nn.Linear):
    def forward(self, x):
        return super().forward(x).detach()


@pytest.mark.parametrize(
    ("net", "settings", "words"),
    [
        (lambda: nn.Linear(2, 2).half(), {}, r"half precision .* net\.float\(\)"),
        (lambda: MLP([2, 2], "identity").bfloat16(), {"method": "backprop"}, "half precision"),
        (inside_inference, {}, "created in inference mode"),
        (lambda: nn.LazyLinear(2), {}, "no weights yet"),
        (lambda: Detached(2, 2), {}, "no gradient with respect to its parameters"),
        (lambda: Tripled([2, 1]), {"y": np.ones((9, 1))}, "needs identity outputs"),
        (lambda: nn.Linear(2, 2), {"x": X * 1e30, "y": np.ones((9, 2)), "cost": "mse"}, "cost is inf before the first"),
        (lambda: nn.Linear(2, 2), {"y": -Y}, r"must lie in 0\.\.1, but range from -1"),
        (lambda: nn.Linear(2, 2), {"y": Y.astype(float)}, "whole numbers"),
        (lambda: nn.Linear(2, 2), {"perturb": lambda net, x, y, index: x[:, :1]}, r"perturb must return .*\[9, 2\]"),
        (
            lambda: nn.Linear(2, 2),
            {"perturb": lambda net, x, y, index: x * np.nan},
            "the return value of perturb must be finite",
        ),
        (lambda: nn.Linear(2, 2), {"optimiser": lambda given, rate: torch.optim.LBFGS(given, rate)}, "LBFGS"),
    ],
)
def test_what_cannot_be_trained_is_a_sentence_and_nothing_moves(net, settings, words):
    net = net()
    before = [value.clone() for value in net.parameters() if not isinstance(value, nn.parameter.UninitializedParameter)]
    given = {"x": X, "y": Y, "cost": "cross_entropy"} | settings
    with pytest.raises(ValueError, match=words):
        train(net, given.pop("x"), given.pop("y"), steps=3, **given)
    assert all(torch.equal(value, old) for value, old in zip(net.parameters(), before, strict=bool(before)))


@pytest.mark.parametrize(
    "settings",
    [{"perturb": 3}, {"progress": "bar"}, {"optimiser": lambda given, rate: 3}, {"learning_rate": True}, {"seed": 0.5}],
)
def test_settings_of_a_wrong_type_are_refused(settings):
    with pytest.raises(TypeError, match="must "):
        train(nn.Linear(2, 2), X, Y, "cross_entropy", steps=3, **settings)


# ----------------------------------------------------------------------------------------------------------- divergence
def test_a_network_that_diverges_gets_its_batch_statistics_back_too():
    net = drawn(nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)))
    twin = copy.deepcopy(net)
    given = {"learning_rate": 1e12, "optimiser": "momentum"}
    with pytest.warns(DivergenceWarning):
        history = train(net, X, np.ones((9, 2)), steps=100, **given)
    assert history.stopped == "diverged"
    assert np.isfinite(history.cost).all()
    if history.trainings:
        train(twin, X, np.ones((9, 2)), steps=history.trainings, **given)
    for (name, value), other in zip(net.state_dict().items(), twin.state_dict().values(), strict=True):
        assert torch.equal(value, other), name


def test_weights_that_are_finite_but_whose_cost_is_not_have_diverged():
    net = nn.Linear(1, 1, bias=False)
    net.weight.data.fill_(1.0)
    with pytest.warns(DivergenceWarning, match="diverged in update 2"):
        history = train(
            net, [[1e5]], [[0.0]], learning_rate=1.0, steps=2
        )  # 1, -1e10, 1e20: the cost of which overflows
    assert net.weight.item() == pytest.approx(-1e10)
    assert history.cost[-1] == pytest.approx(0.5e30, rel=1e-5)


def test_ctrl_c_before_the_first_sample_keeps_the_network_and_a_sample():
    class Once(nn.Linear):
        calls = 0

        def forward(self, x):
            self.calls += 1
            if self.calls == 2:  # the first call is the check that the network takes such inputs
                raise KeyboardInterrupt
            return super().forward(x)

    net = Once(2, 2)
    before = numbers(net)
    history = train(net, X, Y, "cross_entropy", steps=9)
    assert (history.trainings, history.stopped, len(history.samples)) == (0, "interrupted", 1)
    assert torch.equal(numbers(net), before)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_a_training_that_is_broken_off_never_leaves_nan_behind(error):
    net = MLP([1, 1], "identity", weights=[[[1.0]]])

    def stop(given, x, y, index):
        if index == 60:  # by then the weights are infinite, and the stretch of 100 is not at its end
            assert not torch.isfinite(numbers(net)).all()
            raise error
        return x

    # in batches, which are sampled at even distances only
    settings = {"learning_rate": 1.0, "steps": 4_900, "perturb": stop, "batch_size": 1}
    if error is KeyboardInterrupt:
        assert train(net, [[100.0]], [[0.0]], **settings).stopped == "interrupted"
    else:
        with pytest.raises(error):
            train(net, [[100.0]], [[0.0]], **settings)
    assert torch.isfinite(numbers(net)).all()


def test_costs_of_logits_in_half_precision_are_computed_in_single():
    net = drawn(Casts(2, 2))
    logits = net(torch.tensor(X, dtype=torch.float32)).detach()
    assert logits.dtype == torch.bfloat16
    expected = nn.functional.cross_entropy(logits.float(), torch.tensor(Y)).item()
    assert train(net, X, Y, "cross_entropy", steps=1).cost[0] == pytest.approx(expected, rel=1e-6)


def test_evolution_holds_what_is_held_and_never_settles_on_what_is_not_finite():
    net = MLP([2, 3, 2], "tanh", "identity")
    net.biases[0].requires_grad_(False)
    held, moved = net.biases[0].clone(), net.weights[0].detach().clone()
    rules = inputopt.Genetic(population=20, spread=1e38)  # sums overflow; tanh of infinity is 1, and its cost finite
    found = evolve(net, X, Y, "cross_entropy", generations=8, rules=rules)
    assert torch.isfinite(numbers(net)).all()
    assert np.isfinite(found.error)
    evolve(net, X, Y, "cross_entropy", generations=8, rules=inputopt.Genetic(population=20))
    assert not torch.equal(net.weights[0], moved)
    assert torch.equal(net.biases[0], held)
    blown = MLP([1, 1, 1], "identity", weights=[[[3e38]], [[3e38]]])
    before = numbers(blown)
    assert evolve(blown, [[1.0]], [[0.5]], generations=3).stopped == "no network had a finite cost"
    assert torch.equal(numbers(blown), before)


def test_a_genome_with_infinite_weights_is_worst_even_where_its_cost_is_finite():
    net, one = MLP([1, 1], "tanh"), np.ones((1, 1), np.float32)
    costs = mean_costs(arrays(net), find_cost("mse", "tanh"), np.array([[np.inf, 0], [3, 0]], np.float32), one, one)
    assert costs[0] == np.inf
    assert costs[1] < 1e-4
