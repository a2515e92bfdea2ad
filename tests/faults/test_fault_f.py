"""Faults f: arguments that people pass are accepted, or one sentence says what is wrong."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from contracts import known_inputs, small_net
from error_sentences import refused
from kinds.network import perceptron
from torch import Tensor, nn

import inputopt

A = inputopt.attacks
NET = small_net(torch.float32)
X, Y = known_inputs(torch.float32, 5)


def searched(**settings: Any) -> inputopt.Result:
    return A.PGD(**{"steps": 4, "random_start": False, **settings})(NET, X, Y)


# --------------------------------------------------------------------------------------------------- numbers and arrays
@pytest.mark.parametrize("eps", [np.float32(0.125), np.float64(0.125), np.array(0.125), torch.tensor(0.125)], ids=repr)
def test_eps_may_be_any_kind_of_number(eps):
    found = searched(eps=eps)
    assert torch.equal(found.x, searched(eps=0.125).x)
    assert torch.equal(searched(eps=0.125, step_size=eps * 2).x, searched(eps=0.125, step_size=0.25).x)


@pytest.mark.parametrize("kind", [np.array, torch.tensor, lambda values: torch.tensor(values).double()])
def test_eps_and_step_size_may_be_one_for_each_example(kind):
    values = [0.0, 0.05, 0.1, 0.15, 0.2]
    found = searched(eps=kind(values), step_size=kind([0.5] * 5))
    for row, value in enumerate(values):
        alone = A.PGD(eps=value, steps=4, step_size=0.5, random_start=False)(NET, X[row : row + 1], Y[row : row + 1])
        torch.testing.assert_close(found.x[row], alone.x[0], rtol=0, atol=1e-6)
    one = searched(eps=0.1, step_size=kind([0.1, 0.2, 0.3, 0.4, 0.5]))
    torch.testing.assert_close(one.x[1], searched(eps=0.1, step_size=0.2).x[1], rtol=0, atol=1e-6)


def test_eps_in_linf_may_be_one_for_each_number():
    eps = torch.linspace(0, 0.3, 12).expand(5, 12)
    found = searched(eps=eps, step_size=1.0)
    assert bool(((found.x - X).abs() <= eps + 1e-7).all())
    assert torch.equal(found.x[:, 0], X[:, 0])
    even = searched(eps=torch.full((5, 12), 0.1))
    assert torch.equal(even.x, searched(eps=0.1).x)
    refused(lambda: searched(norm="l2", eps=eps), "eps")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.int64, np.uint64])
def test_labels_may_be_integers_of_any_kind(dtype):
    found = A.PGD(eps=0.1, steps=3)(NET, X, np.array(Y.tolist(), dtype))
    assert torch.equal(found.x, A.PGD(eps=0.1, steps=3)(NET, X, Y).x)
    assert found.label.tolist() == Y.tolist()


@pytest.mark.parametrize("labels", [Y.tolist(), tuple(Y.tolist()), Y.to(torch.uint8), Y.int(), Y.short()], ids=repr)
def test_labels_may_be_lists_and_tensors_of_any_integers(labels):
    assert torch.equal(A.PGD(eps=0.1, steps=3)(NET, X, labels).x, A.PGD(eps=0.1, steps=3)(NET, X, Y).x)
    assert inputopt.evaluate(NET, X, labels, eps=0.01, preset="quick").clean_accuracy == 1


@pytest.mark.parametrize(
    "labels",
    [[0.0, 1.0, 2.0, 3.0, 4.0], [0, 1, 2, 3, 6], [0, 1, 2, 3, -1], [0, 1, 2, 3], [[0], [1], [2], [3], [4]], "12345"],
)
def test_labels_that_are_no_classes_are_refused(labels):
    for attack in (A.PGD(), A.DDN(), A.Square(steps=2)):
        refused(lambda attack=attack: attack(NET, X, labels), "label|class|y ")


def test_labels_left_out_are_the_networks_own_answers():
    for attack in (A.PGD(eps=0.1, steps=3), A.DDN(steps=5), A.Square(steps=3), A.MinimalNorm("l2", queries=20)):
        found, named = attack(NET, X), attack(NET, X, Y)
        assert torch.equal(found.x, named.x)
        assert found.label.tolist() == named.label.tolist() == Y.tolist()
        assert found.label.dtype == torch.int64


@pytest.mark.parametrize(
    "x", [X.numpy(), X.numpy().astype(np.float64), X.numpy().astype(np.float16)], ids=lambda x: x.dtype.name
)
def test_inputs_may_be_arrays(x):
    before = x.copy()
    found = A.PGD(eps=0.1, steps=3)(NET, x, Y.numpy())
    assert isinstance(found.x, Tensor)
    torch.testing.assert_close(
        found.x.float(), A.PGD(eps=0.1, steps=3)(NET, torch.tensor(x).float(), Y).x, rtol=0, atol=1e-5
    )
    report = inputopt.evaluate(NET, x, Y.numpy(), eps=0.01, preset="quick")
    assert report.clean_accuracy == 1
    assert (x == before).all()


def test_inputs_that_are_numbers_are_searched_as_rows_of_one():
    x = torch.tensor([0.2, 0.4, 0.3])
    refused(lambda: A.PGD(eps=0.6, steps=3)(lambda z: torch.stack([z, 1.1 - z], 1), x, [1, 1, 1]), r"\[B, 1\]")
    found = A.PGD(eps=0.6, steps=3)(lambda z: torch.cat([z, 1.1 - z], 1), x[:, None], [1, 1, 1])
    assert bool(found.success.all())
    assert found.x.shape == (3, 1)


# ------------------------------------------------------------------------------------------------------- masks, targets
IMAGES = torch.rand(4, 3, 5, 5, generator=torch.Generator().manual_seed(2))


def of_images() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return perceptron(75)


@pytest.mark.parametrize("shape", [(5, 5), (1, 5, 5), (3, 1, 1), (3, 5, 5), (1, 1, 1, 1), (4, 1, 5, 5), (4, 3, 5, 5)])
def test_masks_broadcast_to_the_inputs(shape):
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(3)) < 0.6
    net, whole = of_images(), mask.broadcast_to(IMAGES.shape)
    for norm in ("linf", "l2", "l0"):
        found, full = (
            A.PGD(norm, 2.0 if norm == "l0" else 0.3, steps=3, mask=each)(net, IMAGES) for each in (mask, whole)
        )
        assert torch.equal(found.x, full.x)
        assert torch.equal(found.x[~whole], IMAGES[~whole])
    assert torch.equal(A.DDN(steps=4, mask=mask)(net, IMAGES).x[~whole], IMAGES[~whole])
    array = A.PGD("linf", 0.3, steps=3, mask=mask.numpy())(net, IMAGES)
    assert torch.equal(array.x, A.PGD("linf", 0.3, steps=3, mask=whole)(net, IMAGES).x)


def test_masks_that_fit_nowhere_are_refused():
    for mask in (torch.ones(2, 5, 5, dtype=torch.bool), torch.ones(3, 5, 5), torch.ones(5, 3, 5, 5, dtype=torch.bool)):
        refused(lambda mask=mask: A.PGD(mask=mask)(of_images(), IMAGES), "mask")


@pytest.mark.filterwarnings("ignore::UserWarning")  # ours may say it in a warning as well
def test_targets_that_are_the_label_already_are_skipped_and_said():
    targets = (Y + 1) % 6
    targets[2] = Y[2]
    for attack in (
        A.PGD(eps=0.3, steps=5),
        A.DDN(steps=8),
        A.Square(eps=0.3, steps=5),
        A.MinimalNorm("l2", queries=30),
    ):
        found = attack(NET, X, Y, target=targets)
        assert found.skipped.tolist() == [False, False, True, False, False]
        assert torch.equal(found.x[2], X[2])
        assert not bool(found.success[2])
        rest = torch.tensor([0, 1, 3, 4])
        alone = attack(NET, X[rest], Y[rest], target=targets[rest], ids=rest)
        torch.testing.assert_close(found.x[rest], alone.x, rtol=0, atol=1e-5)
        assert not bool(attack(NET, X, Y).skipped.any())
    every = A.PGD(eps=0.3, steps=5)(NET, X, Y, target=int(Y[0]))
    assert every.skipped.tolist() == Y.eq(Y[0]).tolist()


# ---------------------------------------------------------------------------------------------------------------- boxes
@pytest.mark.parametrize("off", [1e-7, -1e-7, 6e-8])
def test_inputs_a_rounding_error_outside_the_bounds_are_taken_as_they_are(off):
    x = X.clone()
    x[0, 0], x[1, 0] = 1 + off, off
    for attack in (A.PGD(eps=0.1, steps=3), A.DDN(steps=5), A.Square(steps=3), A.FGSM("l1", 0.0), A.FMN("l0", steps=5)):
        found = attack(NET, x, NET(x).argmax(1))
        assert float(found.x.min()) >= min(0, float(x.min()))
        assert float(found.x.max()) <= max(1, float(x.max()))
    assert torch.equal(A.PGD(eps=0.0)(NET, x).x, x)
    assert inputopt.evaluate(NET, x, NET(x).argmax(1), eps=0.0, preset="quick").robust_accuracy == 1


@pytest.mark.parametrize("off", [1e-2, -1e-2, 3.0])
def test_inputs_that_are_really_outside_are_refused_with_how_far_they_reach(off):
    x = X.clone()
    x[3, 2] = off if off < 0 else 1 + off
    assert "scale" in refused(lambda: A.PGD()(NET, x, Y), "bounds")


def test_bounds_of_channels_are_taken_or_one_sentence_says_how_to_give_them():
    net = of_images()
    inputopt.Frozen(net, bounds=(torch.zeros(3, 1, 1), torch.ones(3, 1, 1)))(IMAGES)
    try:
        found = A.PGD(eps=0.1, steps=2)(
            inputopt.Frozen(net, bounds=(torch.zeros(3), torch.ones(3))), IMAGES, [0, 1, 2, 3]
        )
    except ValueError as error:
        assert re.search(r"bounds.*\.$", str(error))  # noqa: PT017  # either is right
    else:
        assert torch.equal(found.x, A.PGD(eps=0.1, steps=2)(net, IMAGES, [0, 1, 2, 3]).x)


@pytest.mark.parametrize(
    "bounds",
    [
        (1, 0),
        (0, 0),
        (0, torch.nan),
        (torch.zeros(3), torch.zeros(3)),
        (0, torch.tensor([1.0, -1.0])),
        5,
        (0, 1, 2),
        "01",
    ],
    ids=repr,
)
def test_bounds_that_make_no_sense_are_refused_when_they_are_given(bounds):
    refused(lambda: inputopt.Frozen(NET, bounds=bounds), "bounds")


# ---------------------------------------------------------------------------------------- batch norms, dreams, training
def test_a_batch_norm_without_statistics_is_run_or_refused_in_one_sentence():
    """Its answer to one input alone does not exist: PyTorch raises."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(75, track_running_stats=False), nn.Linear(75, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            found = A.PGD(eps=0.1, steps=3)(net, IMAGES, [0, 1, 2, 0])
        except ValueError as error:
            assert re.fullmatch(r"[^\n]*batch[^\n]*\.", str(error))  # noqa: PT017  # either is right
        else:
            assert bool(((found.x - IMAGES).abs() <= 0.1 + 1e-6).all())


@pytest.mark.parametrize("count", [9, 5, 1])
def test_training_with_a_last_batch_of_one_runs_or_is_refused_in_one_sentence(count):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    inputs, targets = torch.rand(count, 2), [0, 1] * (count // 2) + [0]
    try:
        history = inputopt.train(net, inputs, targets, cost="cross_entropy", batch_size=4, steps=10)
    except ValueError as error:
        assert re.fullmatch(r"[^\n]*batch[^\n]*\.", str(error))  # noqa: PT017  # either is right
    else:
        assert all(np.isfinite(history.error))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_networks_of_every_dtype_dream(dtype):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net, plain = nn.Sequential(nn.Conv2d(3, 4, 3)).bfloat16(), nn.Sequential(nn.Conv2d(3, 4, 3))
    plain.load_state_dict(net.state_dict())
    photo = torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(1))
    found, want = (inputopt.dream(each, photo, ["0"], octaves=2, steps=2).x for each in (net.to(dtype), plain))
    assert found.dtype in (torch.float32, torch.float64)
    torch.testing.assert_close(found.float(), want, rtol=0, atol=2e-3)


def test_photos_may_be_arrays_of_either_layout():
    net = nn.Sequential(nn.Conv2d(3, 4, 3))
    photo = (255 * torch.rand(3, 12, 10, generator=torch.Generator().manual_seed(1))).to(torch.uint8)
    want = inputopt.dream(net, photo.float() / 255, ["0"], octaves=1, steps=2).x
    for given in (photo.numpy(), photo.permute(1, 2, 0).numpy()):
        torch.testing.assert_close(inputopt.dream(net, given, ["0"], octaves=1, steps=2).x, want, rtol=0, atol=1e-5)
