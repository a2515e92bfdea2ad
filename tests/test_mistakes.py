"""The mistakes that the field has made, each of which is a test here."""

import contextlib
import warnings

import numpy as np
import oracles
import pytest
import torch
from contracts import assert_same, chance_state, drawn, fingerprint, known_inputs, small_net
from PIL import Image
from torch import nn

import inputopt
from inputopt.evaluation.protocols import find_protocol
from inputopt.nets.model_errors import ModelError
from inputopt.pictures.picture import to_image
from inputopt.search.norms import L2
from inputopt.search.objectives.dlr import dlr
from inputopt.search.problem import Problem

EVERY = ("l0", "l1", "l2", "linf")


class BoomError(Exception):
    """Raised inside a model."""


class Convolution(nn.Module):
    """A small network of images with a batch norm, which fails at the call whose turn it is."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.drop = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)
        self.head = nn.Linear(4 * 16, 4)
        for index, weights in enumerate(self.parameters()):
            weights.data = drawn(*weights.shape, seed=index, dtype=weights.dtype)

    def forward(self, x):
        if Convolution.calls_left is not None:
            Convolution.calls_left -= 1
            if Convolution.calls_left < 0:
                raise BoomError
        return self.head(self.drop(torch.tanh(self.norm(self.conv(x)))).flatten(1))

    calls_left = None


@pytest.fixture
def convolution():
    Convolution.calls_left = None
    net = Convolution().double()
    net.train()
    net.norm.eval()  # held by the user
    net(torch.rand(3, 1, 6, 6).double()).square().sum().backward()
    yield net
    Convolution.calls_left = None


def images(count=12):
    return (0.5 + 0.3 * drawn(count, 1, 6, 6, seed=5)).clamp(0, 1)


ATTACKS = {
    "FGSM": {},
    "BIM": {"steps": 4},
    "PGD": {"steps": 4},
    "MIFGSM": {"steps": 4},
    "NIFGSM": {"steps": 4},
    "APGD": {"steps": 6},
    "TargetedAPGD": {"steps": 6, "targets": 2},
    "Square": {"steps": 6},
    "MultiTargeted": {"rounds": (inputopt.attacks.Round(2, 4),)},
}
every_attack = pytest.mark.parametrize("name", ATTACKS)


def attack(name, norm="linf", eps=0.05, **settings):
    return getattr(inputopt.attacks, name)(norm, eps, **{**ATTACKS[name], **settings})


# ----------------------------------------------------------------------------------------------------- the user's model
@every_attack
def test_weight_gradients_left_on_the_users_model_or_a_frozen_batch_norm_revived(name, convolution):
    before, chance = fingerprint(convolution), chance_state()
    attack(name)(convolution, images(), torch.zeros(12, dtype=torch.int64))
    assert fingerprint(convolution) == before
    assert chance_state() == chance


@pytest.mark.parametrize("calls", [0, 1, 2, 4])
@every_attack
def test_a_model_left_changed_by_an_attack_that_raised(name, calls, convolution):
    # who is never fooled is run to the last step
    y = inputopt.Frozen(convolution)(images()).argmax(1)
    before = fingerprint(convolution)
    Convolution.calls_left = min(calls, 3) if name == "FGSM" else calls
    with pytest.raises(ModelError, match="BoomError"):
        attack(name, eps=1e-6)(convolution, images(), y)
    assert fingerprint(convolution) == before


# ------------------------------------------------------------------------------------------------------------- the cost
@every_attack
def test_fooled_examples_attacked_to_the_last_step(name):
    x, y = known_inputs(count=30)
    rows, inner = [], small_net()

    class Counting(nn.Module):
        def forward(self, x):
            rows.append(len(x))
            return inner(x)

    net = inputopt.Frozen(Counting())
    found = attack(name, eps=0.1)(net, x, y)
    assert int(found.success.sum()) > 0
    assert int(found.backwards.sum()) == net.backwards
    # but for the first looks (the shape, probabilities, how many classes), every row that was run is an example's own
    assert 0 <= net.forwards - int(found.forwards.sum()) <= 1 + 8 + 3 + 3
    assert sum(rows) == net.forwards + net.checks
    if name not in ("FGSM", "MultiTargeted", "TargetedAPGD"):
        steps = ATTACKS[name]["steps"]
        assert int(found.forwards[~found.success].min()) == steps + 1
        assert int(found.forwards[found.success].min()) < steps + 1
        assert rows[6] >= rows[-1]  # behind the looks and what is asked to verify


def test_one_forward_per_class():
    x, y = known_inputs(count=10)
    net = inputopt.Frozen(small_net())
    found = inputopt.attacks.MultiTargeted(eps=0.0, rounds=(inputopt.attacks.Round(5, 3),))(net, x, y)
    assert found.forwards.tolist() == [1 + 5 * 4] * 10  # one look at all classes, then a run a try and step
    assert found.backwards.tolist() == [5 + 5 * 3] * 10


# --------------------------------------------------------------------------------------------- what counts as a success
@every_attack
def test_a_failing_attack_that_returns_zeros_and_counts_as_success(name):
    x, y = known_inputs(count=10)
    fixed = nn.Linear(12, 6).double().requires_grad_(False)
    fixed.weight.zero_(), fixed.bias.copy_(torch.arange(6.0))
    context = (
        contextlib.nullcontext() if name == "Square" else pytest.warns(UserWarning, match="Every gradient .* zero")
    )
    with context:
        found = attack(name)(fixed, x, torch.full_like(y, 5))
    assert not bool(found.success.any())
    assert bool((found.x - x).abs().max() <= 0.05)
    assert found.prediction.tolist() == [5] * 10


@every_attack
def test_the_best_failure_is_returned_and_not_the_last(name):
    x, y = known_inputs(count=10)
    net, lowest = small_net(), torch.full((10,), torch.inf, dtype=torch.float64)

    def watch(shot):
        own = shot.outputs.gather(1, y[shot.ids, None])[:, 0]
        ahead = own - shot.outputs.scatter(1, y[shot.ids, None], -torch.inf).amax(1)
        lowest[shot.ids] = torch.minimum(lowest[shot.ids], ahead)

    found = attack(name, eps=0.004)(net, x, y, watch=None if name in ("TargetedAPGD", "MultiTargeted") else watch)
    assert not bool(found.success.all())
    assert_same(net(found.x), found.logits, 1e-9)
    assert_same(found.success, found.prediction != y)
    if name == "Square":  # it goes by the margin, so that the best is the lowest
        ahead = found.logits.gather(1, y[:, None])[:, 0] - found.logits.scatter(1, y[:, None], -torch.inf).amax(1)
        assert_same(ahead, lowest, 1e-9)


@every_attack
def test_a_clean_image_flagged_as_adversarial(name):
    x, y = known_inputs(count=10)
    found = attack(name, eps=0.0)(small_net(), x, y)
    assert not bool(found.success.any())
    assert torch.equal(found.x, x)


def test_a_restart_that_keeps_only_the_last_try():
    x, y = known_inputs(count=40)
    net = small_net()
    one = inputopt.attacks.PGD(eps=0.03, steps=4)(net, x, y)
    many = inputopt.attacks.PGD(eps=0.03, steps=4, restarts=5)(net, x, y)
    assert bool((many.success | ~one.success).all())  # the first try is the only one of before
    assert bool((many.loss[~many.success] <= one.loss[~many.success]).all())
    standing = ~many.success
    assert many.forwards[standing].tolist() == [5 * 5] * int(standing.sum())
    assert int(many.forwards[many.success].min()) == 5  # all tries are done together


@every_attack
def test_an_attack_that_ignores_its_target(name):
    x, y = known_inputs(count=20)
    target = (y + 1) % 6
    found = attack(name, eps=0.4)(small_net(), x, y, target)
    assert_same(found.success, found.prediction == target)
    free = attack(name, eps=0.4)(small_net(), x, y)
    assert int(found.success.sum()) > int((free.prediction == target).sum())


# ------------------------------------------------------------------------------------------------------------- geometry
def test_an_l2_projection_that_enlarges_a_change_already_inside():
    change, wide = 0.01 * drawn(5, 12), torch.full((5, 12), 2.0, dtype=torch.float64)
    eps = torch.ones(5, dtype=torch.float64)
    for project in (L2.project, L2.project_fast):
        assert torch.equal(project(change, eps, -wide, wide), change)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("norm", EVERY)
def test_epsilon_exceeded_by_rounding(norm, dtype):
    x, y = known_inputs(dtype, count=50)
    for eps in (0.1, 8 / 255, 1 / 3) if norm != "l0" else (1.0, 2.0):
        found = inputopt.attacks.PGD(norm, eps, steps=5)(small_net(dtype), x, y)
        assert float(oracles.sizes(norm, found.x - x).max()) <= float(torch.tensor(eps, dtype=dtype))
        assert float(found.distance.max()) <= float(torch.tensor(eps, dtype=dtype))


# ------------------------------------------------------------------------------------------------------------ the batch
@every_attack
def test_results_that_change_with_the_batch_size_on_convolutions(name, convolution):
    x, y = images(), inputopt.Frozen(convolution)(images()).argmax(1)
    whole = attack(name)(convolution, x, y)
    for rows in ([0], [7, 2], [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]):
        part = attack(name)(convolution, x[rows], y[rows], ids=rows)
        assert_same((part.x, part.success), (whole.x[rows], whole.success[rows]), 1e-7)


# ------------------------------------------------------------------------------------------------------------- 8 bits
@pytest.mark.parametrize("norm", EVERY)
def test_a_saved_png_that_is_over_eps_or_no_longer_adversarial(norm, tmp_path):
    x, y = known_inputs(torch.float32, 30)
    x = ((x * 255).round() / 255).reshape(30, 1, 3, 4)
    net = small_net(torch.float32)
    y = net(x).argmax(1)
    eps = {"l0": 1.0, "l1": 0.6, "l2": 0.3, "linf": 8 / 255}[norm]
    found = inputopt.attacks.PGD(norm, eps, steps=10, levels=256)(net, x, y)
    assert 0 < int(found.success.sum()) < 30
    for row in range(30):
        to_image(found.x[row]).save(tmp_path / "a.png")
        with Image.open(tmp_path / "a.png") as image:
            levels = np.asarray(image)
        read = torch.from_numpy(levels.astype(np.float32) / 255)[None, None]
        assert torch.equal(read[0], found.x[row])
        assert bool(net(read).argmax(1) != y[row]) is bool(found.success[row])
        steps = levels.astype(int) - (x[row, 0] * 255).round().int().numpy()
        assert oracles.size(norm, steps) <= (eps if norm == "l0" else eps * 255 * (1 + 1e-6))


# ----------------------------------------------------------------------------------------------------------- the losses
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", ["APGD", "TargetedAPGD"])
def test_dlr_with_fewer_than_four_classes(name, classes):
    known = oracles.linear((6,), classes)
    distance = known.distances("linf").amin(1)
    made = attack(name, eps=1.02 * distance, loss="dlr", steps=30)
    if (name, classes) == ("APGD", 3):
        found = made(known.net, known.x, known.y)
    else:
        with pytest.warns(UserWarning, match="DLR needs"):
            found = made(known.net, known.x, known.y)
    assert bool(found.success.all())


@pytest.mark.parametrize(
    "row", [[1.0, 1.0, 1.0, 1.0], [2.0, 5.0, 3.0, 1.0], [5.0, 5.0, 1.0, 0.0], [0.0, 0.0, -9.0, 0.0]]
)
def test_dlr_whose_gradient_vanishes_at_ties_or_when_the_label_ranks_third(row):
    logits = torch.tensor([row], dtype=torch.float64, requires_grad=True)
    label, ids = torch.tensor([0]), torch.tensor([0])
    for target in (None, torch.tensor([2])):
        value = dlr(logits, logits, Problem(logits, label, ids, target))
        (grad,) = torch.autograd.grad(value.sum(), logits)
        assert bool(torch.isfinite(grad).all())
        assert bool(grad.any())


def test_softmax_fed_in_for_logits():
    x, y = known_inputs(count=10)
    net = small_net()
    with pytest.warns(UserWarning, match="probabilities"):
        inputopt.attacks.FGSM()(lambda x: net(x).softmax(1), x, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        inputopt.attacks.FGSM()(net, x, y)


# ------------------------------------------------------------------------------------------------------------ protocols
def test_a_protocol_that_runs_fewer_steps_than_it_says():
    assert inputopt.attacks.APGD().steps == inputopt.attacks.TargetedAPGD().steps == 100
    x, y = known_inputs(count=3)
    for stage in find_protocol("thorough", "linf"):
        if stage.name == "PGD, 100 steps":
            found = stage.attack.__class__("linf", 0.0, steps=stage.attack.steps)(small_net(), x, y)
            assert found.backwards.tolist() == [100] * 3
            return
    pytest.fail("thorough has no PGD of 100 steps")


def test_an_evaluation_that_keeps_flags_but_loses_the_images():
    x, y = known_inputs(count=20)
    net = small_net()
    report = inputopt.evaluate(net, x, y, "linf", 0.1, "quick")
    assert 0 < report.robust_accuracy < 1
    assert_same(net(report.x).argmax(1) == y, report.robust)
