"""The presets as they are, on networks whose robust accuracy is known exactly, or found by trying every input."""

import warnings

import oracles
import pytest
import torch
from defences import DEFENCES, EPS
from defences.measure import sample

import inputopt


def classifier(norm):
    """In L0 with two classes in a narrow box, of which as many numbers must be changed as the gap is wide."""
    if norm == "l0":
        return oracles.linear((12,), 2, count=8, gaps=(1, 6), spread=0.1, bounds=(-1.0, 1.0))
    return oracles.linear((12,), 4, count=8, gaps=(0.5, 4.0), beyond=3.0)


@pytest.mark.parametrize("preset", ["standard", "thorough"])
@pytest.mark.parametrize("norm", ["l0", "l1", "l2", "linf"])
def test_what_a_linear_classifier_allows_is_found_and_nothing_else(preset, norm):
    known = classifier(norm)
    nearest = known.distances(norm).amin(1)
    order = nearest.sort().values
    eps = float(order[3]) if norm == "l0" else float(order[3] + 0.1 * (order[4] - order[3]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", inputopt.InputoptWarning)  # of the few classes that there are
        report = inputopt.evaluate(known.net, known.x, known.y, norm=norm, eps=eps, preset=preset)
    assert report.robust.tolist() == (nearest > eps).tolist()
    assert 0 < report.robust_accuracy < 1


def test_probabilities_rounded_to_zero_hide_no_adversarial_example():
    x, y = sample(30)
    fooled = [6, 21]  # by APGD with the targeted difference of logits ratio, computed from the rounded probabilities
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", inputopt.InputoptWarning)
        report = inputopt.evaluate(DEFENCES["half precision"].make(), x[fooled], y[fooled], eps=EPS)
    assert "probabilities" in {each.id for each in report.indicators}
    assert not report.robust.any()


GRID = 121


def every_input(x, eps):
    """A fine grid over the Linf ball round each input [B, 2], as far as it is in the unit square, [B, GRID ** 2, 2]."""
    steps = torch.linspace(-1, 1, GRID, dtype=x.dtype)
    return (x[:, None] + eps * torch.cartesian_prod(steps, steps)).clamp(0, 1)


@pytest.mark.parametrize("seed", range(2))
def test_standard_finds_what_trying_every_input_finds(seed):
    torch.manual_seed(seed)
    net = torch.nn.Sequential(torch.nn.Linear(2, 24), torch.nn.ReLU(), torch.nn.Linear(24, 24), torch.nn.ReLU())
    net = torch.nn.Sequential(*net, torch.nn.Linear(24, 4)).double()
    x, eps = torch.rand(24, 2, dtype=torch.float64), 0.05
    with torch.no_grad():
        for place in (0, 2, 4):  # bent within the square, so that one gradient does not show the way
            net[place].weight *= 4
            net[place].bias.zero_()
            seen = net[: place + 1](torch.rand(len(net[place].bias), 2, dtype=torch.float64))
            net[place].bias -= seen.diagonal() if place < 4 else seen.mean(0)
        y = net(x).argmax(1)
        found = net(every_input(x, eps)).topk(2, dim=2)
        lead = torch.where(found.indices[..., 0] == y[:, None], found.values[..., 0] - found.values[..., 1], -1.0)
    fooled = (lead < 0).any(1)
    report = inputopt.evaluate(net, x, y, eps=eps, preset="standard")
    assert 0.1 < float(fooled.double().mean()) < 0.9
    assert not bool((fooled & report.robust).any()), "an input of the grid fools it"
    between = ~fooled & ~report.robust  # found between the points of the grid, or wrongly
    assert int(between.sum()) <= 2
    with torch.no_grad():
        assert bool((net(report.x[between]).argmax(1) != y[between]).all())
