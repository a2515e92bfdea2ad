"""The checks that every supported network must pass: outputs, gradients and searches agree with its float64 version.

A search is compared with the same search on a function that calls the plain model, and in Linf with a written-out loop.
"""

from __future__ import annotations

import re
from typing import Any

import oracles
import torch
from reference import (
    STEP,
    STEPS,
    Case,
    assert_alike,
    assert_feasible,
    assert_judged,
    assert_owned,
    expected,
    margin,
    plain_descent,
    sizes,
    untouched,
)

import inputopt


def check_answers(this: Case) -> None:
    """Logits, input gradients and layers are the plain ones, of one frozen network that is asked again and again."""
    model = this.network.made()
    with untouched(model, this.x):
        net = this.frozen(model)
        check_logits(this, net, slice(None), slice(1), slice(2, 5))
        if not this.network.no_derivative:
            check_gradient(this, net)
        if this.network.layers:
            check_layers(this, net)
        check_logits(this, net, slice(None))


def check_logits(this: Case, net: inputopt.Frozen, *parts: slice) -> None:
    """Of these parts of the batch, one after the other."""
    for part in parts:
        with torch.no_grad():
            logits = net(this.x[part])
        assert logits.dtype == this.network.search
        torch.testing.assert_close(logits.double(), this.logits[part], rtol=0, atol=this.slack)


def check_gradient(this: Case, net: inputopt.Frozen) -> None:
    """Of the margin, as an attack derives it."""
    for _ in range(2):
        variable = this.x.clone().requires_grad_()
        slope = net.gradient(margin(net(variable), this.y), variable)
        assert (slope.shape, slope.dtype, variable.grad) == (this.x.shape, this.x.dtype, None)
        assert torch.equal(slope.isnan(), this.slope.isnan())
        off = (slope.double() - this.slope).nan_to_num(0).norm() / this.slope.nan_to_num(0).norm()
        rounding = 4 * torch.finfo(this.x.dtype).eps  # the gradient comes back in the dtype of x
        assert float(off) <= this.network.gradient_tolerance + rounding


def check_layers(this: Case, net: inputopt.Frozen) -> None:
    """Of every module that puts out a tensor, all at once and each alone."""
    wanted = this.plain_layers(this.x)
    together = net.features(this.x, list(wanted))
    for layer, value in wanted.items():
        slack = this.network.tolerance * (1 + 10 * float(value.abs().max()))
        for found in (together[layer], net.features(this.x, [layer])[layer]):
            assert found.dtype == this.network.search
            torch.testing.assert_close(found.double(), value, rtol=0, atol=slack)


def check_searches(this: Case) -> None:
    """In every norm, and a minimal-norm attack: the same search as on the plain network."""
    model = this.network.made()
    with untouched(model, this.x, this.y), expected(this.network):
        net = this.frozen(model)
        for norm in oracles.NORMS:
            check_pgd(this, net, norm)
        check_nearest(this, net)


def check_pgd(this: Case, net: inputopt.Frozen, norm: str) -> None:
    """Without a random start, so that it is the same search whatever its random numbers are.

    In L1 and L0 the verdicts alone are checked: how a search steps there depends on its projection, not on the network.
    """
    eps = this.eps(norm)
    attack = inputopt.attacks.PGD(norm, eps, steps=STEPS, step_size=STEP, random_start=False)
    found = attack(net, this.x, this.y)
    assert found.x.dtype == found.logits.dtype == this.network.search
    assert_owned(found, this.x, this.y, eps)
    assert_feasible(this, norm, eps, found.x)
    assert_judged(this, found)
    torch.testing.assert_close(found.distance.double(), sizes(norm, found.x, this.x), rtol=1e-4, atol=1e-6)
    if norm == "linf":
        assert_alike(this, found, plain_descent(this, eps))
    elif norm == "l2":
        assert_alike(this, found, this.margin(attack(this.plain_net, this.x.double(), this.y).x))


def check_nearest(this: Case, net: inputopt.Frozen) -> None:
    """By the derivatives of all classes, in a few steps: as near as on the plain network."""
    attack = inputopt.attacks.DeepFool(steps=6)
    found = attack(net, this.x, this.y)
    plain = attack(this.plain_net, this.x.double(), this.y)
    assert_owned(found, this.x, this.y)
    assert_judged(this, found)
    assert_feasible(this, "l2", found.distance.double(), found.x)
    decided = this.margin(found.x).abs() > this.slack  # what lies on the boundary may fall either way
    assert torch.equal(found.success[decided], plain.success[decided])
    near = max(1e-3, this.network.search_tolerance)
    both = found.success & plain.success
    torch.testing.assert_close(found.distance[both].double(), plain.distance[both].double(), rtol=near, atol=0)


def check_model_as_it_is(this: Case) -> None:
    """A preset and a picture take the model itself, as people pass it."""
    model = this.network.made()
    with untouched(model, this.x, this.y), expected(this.network):
        check_quick(this, this.given(model))
        if this.network.picture:
            check_dream(this, this.given(model))


def check_quick(this: Case, model: Any) -> None:
    """At least as strong as plain descent, and right of each example."""
    eps = this.eps("linf")
    report = inputopt.evaluate(model, this.x, this.y, eps=eps, preset="quick")
    lead = this.margin(report.x)
    assert report.clean_accuracy == 1
    assert report.robust_accuracy == float(report.robust.double().mean())
    assert not bool(report.robust[plain_descent(this, eps) < -this.outcome_slack].any())
    assert bool((lead[~report.robust] <= this.slack).all())
    assert torch.equal(report.x[report.robust].to(this.x.dtype), this.x[report.robust])
    assert_feasible(this, "linf", eps, report.x)
    if this.network.warned:
        assert any(re.search(this.network.warned, warning) for warning in report.warnings)


def check_dream(this: Case, model: Any) -> None:
    """What the plain layer puts out has risen."""
    layer, photo = this.network.picture, this.x[0]
    picture = inputopt.dream(model, photo, [layer], octaves=1, steps=2, jitter=0)
    low, high = this.network.box()
    assert picture.x.dtype in (torch.float32, torch.float64)
    assert picture.x.shape == photo.shape
    rounding = 1e-6 * (high - low)
    assert bool(((picture.x.double() >= low - rounding) & (picture.x.double() <= high + rounding)).all())
    before, after = (float(this.plain_layers(image[None])[layer].square().mean()) for image in (photo, picture.x))
    assert after > before
