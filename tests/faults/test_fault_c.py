"""Faults c: NaN and infinity, in logits, gradients and inputs, count as success, are kept, or pass without a word."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from attack_table import FEW, each
from contracts import drawn, known_inputs, small_net
from networks import find
from reference import case_of
from torch import Tensor, nn

import inputopt

A = inputopt.attacks
NET = small_net()


def nan_slope(x: Tensor) -> Tensor:
    """Finite everywhere; its root has no finite derivative where the first numbers are 0."""
    logits = NET(x)
    return logits + 1e-3 * x[:, :3].square().mean(1).sqrt()[:, None] * torch.eye(logits.shape[1])[3]


def infinite_slope(x: Tensor) -> Tensor:
    """Its derivative by the first numbers is infinite at 0."""
    logits = NET(x)
    return logits + 1e-3 * x[:, :3].sum(1).sqrt()[:, None] * torch.eye(logits.shape[1])[3]


def right(model: Callable[[Tensor], Tensor], y: Tensor, found: inputopt.Result) -> None:
    """Finite inputs, finite logits, and successes as the model judges them."""
    assert bool(found.x.isfinite().all()), "inputs are not finite"
    logits = model(found.x)
    assert bool((logits < torch.inf).all()), "logits are not finite"
    assert bool(logits.isfinite().any(1).all()), "every class is ruled out"
    assert torch.equal(logits.argmax(1) != y, found.success), "success is not what the model says"
    assert bool(found.distance[found.success].isfinite().all()), "distances are not finite"


@pytest.mark.parametrize(("model", "only"), [(nan_slope, None), (infinite_slope, FEW)])
def test_derivatives_that_are_not_finite_lead_nowhere_and_hold_nothing_up(model, only):
    x, _ = known_inputs(count=8)
    x[:, :3] = 0
    y = model(x).argmax(1)

    def check(name: str, attack: Any) -> None:
        found, plain = attack(model, x, y), attack(NET, x, y)
        right(model, y, found)
        # the other numbers lead about as far as they do without those
        assert int(found.success.sum()) >= int(plain.success.sum()) // 2, "few successes"
        assert found.nonfinite.shape == found.success.shape

    each(check, only=only)


# --------------------------------------------------------------------------------------------------------------- logits
def bright(x: Tensor) -> Tensor:
    """NaN for bright inputs, as an overflow does."""
    mean = x.flatten(1).mean(1)
    return torch.stack([mean, -mean], 1).masked_fill((mean > 0.5)[:, None], torch.nan)


@pytest.mark.parametrize("labels", [[0] * 10, [0] + [1] * 9])
def test_an_evaluation_counts_no_nan_as_right_or_robust_and_says_how_many_there_are(labels):
    x = torch.full((10, 1, 4, 4), 0.8)
    x[0] = 0.3
    try:
        report = inputopt.evaluate(bright, x, torch.tensor(labels), eps=0.1, preset="quick")
    except ValueError as error:
        assert re.search(r"(?i)nan|finite", str(error))  # noqa: PT017  # an error is right as well
        return
    assert report.clean_accuracy == pytest.approx(0.1)
    assert report.robust_accuracy <= 0.1
    assert any(re.search(r"(?i)nan|finite", warning) and "9" in warning for warning in report.warnings)
    assert bool(report.x.isfinite().all())


BAD = {
    "NaN": lambda logits: torch.full_like(logits, torch.nan),
    "one NaN": lambda logits: logits.masked_fill(torch.arange(logits.shape[1]) == 0, torch.nan),
    "infinite": lambda logits: logits.masked_fill(torch.arange(logits.shape[1]) == 1, torch.inf),
    "all minus infinite": lambda logits: torch.full_like(logits, -torch.inf),
}


@pytest.mark.parametrize("bad", BAD)
def test_points_whose_logits_are_not_finite_are_never_kept(bad):
    """The network breaks a little way from the inputs, where every attack comes by."""
    x, y = known_inputs(count=8)

    def model(z: Tensor) -> Tensor:
        logits = NET(z)
        broken = torch.cdist(z, x, p=torch.inf).amin(1) > 0.04
        return torch.where(broken[:, None], BAD[bad](logits), logits)

    each(lambda name, attack: right(model, y, attack(model, x, y)), only=None if bad == "NaN" else FEW)


def test_a_row_that_breaks_takes_no_other_with_it():
    """NaN of one example reaches no other: each result is what it is alone."""
    x, y = known_inputs(count=6)
    hostile = 2

    def model(z: Tensor) -> Tensor:
        broken = torch.cdist(z, x[hostile][None], p=torch.inf)[:, 0]
        return torch.where(((broken > 0.02) & (broken < 0.15))[:, None], torch.nan, NET(z))

    rest = torch.tensor([row for row in range(6) if row != hostile])

    def check(name: str, attack: Any) -> None:
        whole, alone = attack(model, x, y), attack(NET, x[rest], y[rest], ids=rest)
        assert torch.equal(whole.success[rest], alone.success)
        torch.testing.assert_close(whole.x[rest], alone.x, rtol=0, atol=1e-9)
        assert not bool(whole.nonfinite[rest].any())
        if name in ("PGD in linf", "CarliniWagner in l2", "MinimalNorm in l2"):  # the others may leap over it
            assert bool(whole.nonfinite[hostile])

    each(check, only=FEW)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_every_input_is_checked_and_not_the_first_alone(value):
    x, y = known_inputs(count=5)
    x[3, 7] = value
    for bounds in ((0.0, 1.0), (-torch.inf, torch.inf)):
        net = inputopt.Frozen(NET, bounds=bounds)
        for job in (
            lambda net=net: A.PGD()(net, x, y),
            lambda net=net: A.Square(steps=3)(net, x, y),
            lambda net=net: inputopt.evaluate(net, x, y, preset="quick"),
            lambda net=net: inputopt.saliency(net, x, y, "gradient"),
        ):
            with pytest.raises(ValueError, match=r"finite|NaN"):
                job()


def test_a_network_that_is_nan_everywhere_is_said_to_be():
    x, y = known_inputs(count=5)
    for job in (A.PGD(), A.DDN(), A.Square(steps=3)):
        with pytest.raises(ValueError, match=r"(?i)nan|finite"):
            job(lambda z: NET(z) * torch.nan, x, y)


# ------------------------------------------------------------------------------------------- classes that are ruled out
def test_a_class_that_is_ruled_out_disturbs_no_search():
    x, y = known_inputs(count=8)
    classes = torch.arange(NET(x).shape[1])
    unused = int(torch.bincount(y, minlength=len(classes)).argmin())

    def model(z: Tensor) -> Tensor:
        return NET(z).masked_fill(classes == unused, -torch.inf)

    def finite(z: Tensor) -> Tensor:
        return NET(z) - 1e4 * (classes == unused)

    def check(name: str, attack: Any) -> None:
        found, plain = attack(model, x, y), attack(finite, x, y)
        right(model, y, found)
        assert int(found.success.sum()) >= int(plain.success.sum()) - 1, "few successes"
        assert not bool(found.nonfinite.any())

    each(check)


# ---------------------------------------------------------------------------------------------------- boxes without end
def test_inputs_without_bounds_are_searched():
    x, _ = known_inputs(count=6)
    x = 4 * x - 2
    y = NET(x).argmax(1)
    free = inputopt.Frozen(NET, bounds=(-torch.inf, torch.inf))

    def check(name: str, attack: Any) -> None:
        found = attack(free, x, y)
        right(NET, y, found)
        assert bool(found.success.any()) or name.startswith("TrustRegion"), "no success"  # whose steps are short
        assert float((found.x - x).abs().max()) < 100, "far away"

    each(check)


def test_a_box_that_ends_on_one_side_holds_on_that_side():
    x, y = known_inputs(count=6)
    net = inputopt.Frozen(NET, bounds=(0.0, torch.inf))

    def check(name: str, attack: Any) -> None:
        found = attack(net, x, y)
        right(NET, y, found)
        assert float(found.x.min()) >= 0

    each(check, only=FEW)
    report = inputopt.evaluate(net, x, y, eps=0.5, preset="quick")
    assert report.robust_accuracy < 1
    assert float(report.x.min()) >= 0


def test_pictures_need_a_range_and_say_so():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    free = inputopt.Frozen(net, bounds=(-torch.inf, torch.inf))
    for job in (
        lambda: inputopt.dream(free, torch.rand(3, 8, 8), ["0"], octaves=1, steps=1),
        lambda: inputopt.visualize(free, inputopt.Channel("0", 0), size=8, steps=1),
        lambda: inputopt.fool(free, 0, (3, 8, 8), count=1, steps=1),
    ):
        with pytest.raises(ValueError, match=r"bounds.*\.$"):
            job()


def test_an_objective_that_is_nan_is_no_grey_picture():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh())
    broken = nn.Sequential(net, BrokenMiddle())
    for job in (
        lambda: inputopt.dream(broken, torch.rand(3, 8, 8), ["1"], octaves=1, steps=2),
        lambda: inputopt.visualize(broken, inputopt.Channel("1", 0), size=8, steps=2),
    ):
        with pytest.raises(ValueError, match=r"(?i)nan|finite"):
            job()


class BrokenMiddle(nn.Module):
    """Puts out NaN."""

    def forward(self, h: Tensor) -> Tensor:
        return h * torch.nan


@pytest.mark.parametrize("name", ["nan for bright inputs", "infinite for bright inputs", "class ruled out"])
def test_the_minimal_norm_portfolio_stays_where_logits_are_finite(name):
    this = case_of(find(name))
    found = A.MinimalNorm("l2", queries=80)(this.network.made(), this.x, this.y)
    lead = this.margin(found.x)
    assert not bool(lead.isnan().any())
    assert bool((lead[found.success] <= this.slack).all())
    assert bool(found.success.any())


def test_noise_that_is_drawn_is_no_reason_for_nan():
    """The random start of an unbounded input is finite."""
    x = drawn(4, 12)
    y = NET(x).argmax(1)
    for norm in ("l0", "l1", "l2", "linf"):
        eps = 2.0 if norm == "l0" else 0.1
        found = A.PGD(norm, eps, steps=3, restarts=2)(inputopt.Frozen(NET, bounds=(-torch.inf, torch.inf)), x, y)
        assert bool(found.x.isfinite().all())
