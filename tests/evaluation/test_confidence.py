"""Confidence intervals: their exact ends, and how often they cover the accuracy of all inputs."""

import math

import pytest
import torch
from contracts import known_inputs, small_net

import inputopt
from inputopt.attacks import DDN
from inputopt.evaluation.attack_row import AttackRow
from inputopt.evaluation.confidence import Z, over_draws, wilson
from inputopt.evaluation.report import Report

DRAWS = 20


@pytest.mark.parametrize(("share", "count"), [(0.0, 7), (0.3, 10), (0.5, 1000), (0.985, 200), (1.0, 40)])
def test_the_ends_solve_the_equation_of_the_score_test(share, count):
    low, high = wilson(share, count)
    assert 0 <= low <= share <= high <= 1
    for end in {low, high} - {0.0, 1.0}:  # (share - p)^2 = Z^2 p (1 - p) / n
        assert (share - end) ** 2 == pytest.approx(Z**2 * end * (1 - end) / count, rel=1e-9)


def test_known_values():
    assert wilson(0.5, 10) == pytest.approx((0.23659, 0.76341), abs=1e-5)
    assert wilson(0.0, 10) == pytest.approx((0.0, 0.27753), abs=1e-5)


def test_intervals_over_examples_and_draws_cover_the_mean_at_least_as_often_as_they_say():
    generator = torch.Generator().manual_seed(0)
    chances = torch.rand(2000, 60, generator=generator, dtype=torch.float64) ** 0.3  # of 60 random examples each
    draws = torch.rand(DRAWS, 2000, 60, generator=generator, dtype=torch.float64) < chances
    shares = draws.double()
    error = (shares.mean(2).var(0) / DRAWS).sqrt()  # of each evaluation's mean
    means, truth = shares.mean((0, 2)), 1 / 1.3
    ends = [over_draws(mean, 60, each) for mean, each in zip(means.tolist(), error.tolist(), strict=True)]
    assert sum(low <= truth <= high for low, high in ends) >= 0.95 * len(ends)


def test_draws_widen_the_interval_and_a_deterministic_network_has_wilsons():
    assert over_draws(0.4, 50, 0.0) == pytest.approx(wilson(0.4, 50))
    low, high = over_draws(0.4, 50, 0.1)
    assert low == pytest.approx(0.4 - math.hypot(0.4 - wilson(0.4, 50)[0], Z * 0.1))
    assert high == pytest.approx(0.4 + math.hypot(wilson(0.4, 50)[1] - 0.4, Z * 0.1))
    assert over_draws(0.9, 5, 0.5) == (0.0, 1.0)


def test_every_accuracy_of_a_report_has_its_interval():
    net, (x, y) = small_net(), known_inputs(count=40)
    y = y.clone()
    y[3] = (y[3] + 1) % 6
    report = inputopt.evaluate(net, x, y, eps=0.1, preset="quick")
    assert report.clean_interval == pytest.approx(wilson(39 / 40, 40))
    assert report.interval == pytest.approx(wilson(report.robust_accuracy, 40))
    assert report.certified_interval is None
    assert torch.equal(report.clean, torch.arange(40) != 3)
    assert torch.equal(report.label, y)
    certified = torch.arange(40) < 10
    row = AttackRow("a", 40, (), 40, 0, 0.1)
    made = Report(1.0, 0.5, ~certified, x, (row,), (), {}, certified=certified)
    assert made.certified_interval == wilson(0.25, 40)
    assert "certified accuracy at least 25.0 % (95 % interval: 14.2 % to 40.2 %)" in repr(made)


def test_every_point_of_a_curve_has_its_interval():
    x, y = known_inputs(count=8)
    curve = inputopt.robustness_curve(small_net(), x, y, "l2", {"DDN": DDN(steps=20), "few": DDN(steps=3)})
    for eps in (0.0, float(curve.lowest.median())):
        assert curve.interval(eps) == wilson(curve.accuracy(eps), 8)
        assert curve.interval(eps, "few") == wilson(curve.accuracy(eps, "few"), 8)
