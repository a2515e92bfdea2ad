import math

import pytest
import torch
from contracts import known_inputs, small_net

import inputopt
from inputopt import attacks
from inputopt.evaluation.robustness_curve import curve_of, robustness_area


def test_the_area_is_the_one_under_the_curve():
    distance = torch.tensor([0.0, 0.5, torch.inf, 2.0, 1.0])
    where, accuracy = curve_of(distance)
    widths = torch.cat([where, torch.tensor([2.0])]).diff()
    assert robustness_area(distance, 2.0) == pytest.approx(float((widths * accuracy).sum()))
    assert accuracy.tolist() == pytest.approx([1, 0.8, 0.6, 0.4, 0.2])


def test_a_curve_holds_what_its_attacks_found():
    x, y = known_inputs()
    chosen = {"few": attacks.MinimalNorm("l2", queries=60), "DDN": attacks.DDN(steps=3)}
    curve = inputopt.robustness_curve(small_net(), x, y, "l2", chosen)
    for name, attack in chosen.items():
        assert torch.equal(curve.distances[name], attack(small_net(), x, y).distance)
    assert torch.equal(curve.lowest, torch.minimum(*curve.distances.values()))
    assert curve.accuracy(0.0) == 1
    assert curve.accuracy(math.inf) == 0
    middle = float(curve.lowest.median())
    assert curve.accuracy(middle) == pytest.approx(0.4)  # three of five are that near
    assert curve.accuracy(middle, "DDN") >= curve.accuracy(middle)
    rows = {row["attack"]: row for row in curve.rows()}
    assert rows["all attacks"]["median"] == middle
    assert rows["all attacks"]["area"] <= min(rows["few"]["area"], rows["DDN"]["area"])
    assert rows["few"]["forwards"] + rows["few"]["backwards"] <= 60
    assert [line.get_label().split(" (")[0] for line in curve.figure().axes[0].lines] == [*chosen, "all attacks"]


def test_failures_count_as_robust_at_every_distance():
    def sure(x):
        return torch.stack([2 + 0 * x.flatten(1).sum(1), 0 * x.flatten(1).sum(1)], dim=1)

    curve = inputopt.robustness_curve(sure, torch.full((3, 4), 0.5), torch.tensor([0, 0, 1]), "linf")
    assert curve.accuracy(1.0) == pytest.approx(2 / 3)
    (row, _) = curve.rows()
    assert (row["median"], row["failed"]) == (None, 2)
    assert curve.figure().axes


def test_what_does_not_fit_is_refused():
    x, y = known_inputs()
    with pytest.raises(ValueError, match="same norm"):
        inputopt.robustness_curve(small_net(), x, y, "l1", {"DDN": attacks.DDN()})
    with pytest.raises(TypeError, match="EpsilonBisection"):
        inputopt.robustness_curve(small_net(), x, y, "l2", {"PGD": attacks.PGD("l2")})
    with pytest.raises(ValueError, match="at least one"):
        inputopt.robustness_curve(small_net(), x, y, "l2", {})
