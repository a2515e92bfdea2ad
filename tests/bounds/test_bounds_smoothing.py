"""Randomised smoothing: exact confidence bounds, radii against known answers, keyed draws and abstentions."""

import math

import pytest
import torch
from scipy.stats import beta
from torch import nn

import inputopt
from inputopt.bounds.smoothing import lower_confidence_bound


@pytest.mark.parametrize("draws", [1, 10, 100, 1000, 20_000])
def test_the_confidence_bound_is_that_of_clopper_and_pearson(draws):
    for successes in {1, draws // 3 + 1, draws // 2 + 1, draws}:
        for risk in (0.05, 0.001, 1e-9):
            exact = beta.ppf(risk, successes, draws - successes + 1)
            found = lower_confidence_bound(successes, draws, risk)
            assert found == pytest.approx(exact, abs=2e-9)
            assert found <= exact
    assert lower_confidence_bound(0, draws, 0.001) == 0


def line(place=0.5):
    """Class 1 where the first input is above `place`."""
    return inputopt.MLP([2, 2], weights=[[[0.0, 0.0], [1.0, 0.0]]], biases=[[place, 0.0]], activation="identity")


def test_the_radius_is_below_the_distance_to_the_boundary_and_comes_near_it():
    x = torch.tensor([[0.6, 0.5], [0.9, 0.5], [0.25, 0.1]])
    exact = (x[:, 0] - 0.5).abs().double()  # the smoothed classifier of a half space is that half space
    few = inputopt.certify_smoothed(line(), x, sigma=0.25, draws=500)
    many = inputopt.certify_smoothed(line(), x, sigma=0.25, draws=20_000)
    assert many.prediction.tolist() == [1, 1, 0]
    assert bool((many.radius <= exact).all())
    assert bool((few.radius <= many.radius + 0.02).all())
    assert torch.allclose(many.radius, exact, atol=0.03)
    assert many.certified(0.2).tolist() == [False, True, True]
    assert many.accuracy(0.2) == pytest.approx(2 / 3)
    assert bool(many.correct.all())


def test_it_abstains_on_the_boundary_and_that_is_never_correct():
    found = inputopt.certify_smoothed(line(), torch.tensor([[0.5, 0.5]]), [1], draws=1000)
    assert (found.prediction.item(), found.radius.item(), found.correct.item()) == (-1, 0.0, False)


def test_a_row_rarely_claims_too_much():
    # at the true probability 0.6, a bound of confidence 0.9 exceeds it in at most a tenth of the runs
    x = torch.full((300, 2), 0.5)
    x[:, 0] += 0.25 * float(torch.special.ndtri(torch.tensor(0.6, dtype=torch.float64)))
    found = inputopt.certify_smoothed(line(), x, torch.ones(300).long(), draws=200, confidence=0.9)
    claimed = found.radius > 0.25 * torch.special.ndtri(torch.tensor(0.6, dtype=torch.float64)) + 1e-6
    assert 0 < float(claimed.double().mean()) < 0.1 + 3 * math.sqrt(0.09 / 300)


def test_draws_are_keyed_by_seed_and_id():
    x = torch.rand(4, 2, generator=torch.Generator().manual_seed(0))
    together = inputopt.certify_smoothed(line(), x, draws=300, seed=3)
    state = torch.get_rng_state()
    again = inputopt.certify_smoothed(line(), x[2:3], draws=300, seed=3, ids=[2])
    assert torch.equal(torch.get_rng_state(), state)
    assert (again.votes[0], again.radius[0]) == (together.votes[2], together.radius[2])
    assert not torch.equal(inputopt.certify_smoothed(line(), x, draws=300, seed=4).votes, together.votes)


def test_any_function_can_be_smoothed_and_nan_is_no_class():
    def half(x):
        logits = torch.stack([x[:, 0], 1 - x[:, 0]], 1)
        return torch.where(x[:, :1] > 0.7, torch.nan, logits)

    found = inputopt.certify_smoothed(half, torch.tensor([[0.6, 0.0], [0.2, 0.0]]), [0, 1], sigma=0.1, draws=400)
    assert isinstance(found, inputopt.SmoothedCertificate)
    assert int(found.votes[0]) < 350  # NaN above 0.7 does not vote for it
    assert found.prediction.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sigma": 0}, "sigma must be a finite number above 0"),
        ({"draws": 0}, "draws must be at least 1"),
        ({"confidence": 1}, "confidence must be below 1"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        inputopt.certify_smoothed(line(), torch.full((1, 2), 0.5), **settings)


def test_a_random_model_is_refused():
    class Noisy(nn.Module):
        def forward(self, x):
            return x + torch.randn_like(x)

    with pytest.raises(ValueError, match="vary between calls"):
        inputopt.certify_smoothed(Noisy(), torch.full((2, 2), 0.5))
    for certificate in (inputopt.certify_smoothed, inputopt.certify):
        with pytest.raises(ValueError, match="depend on the other inputs of the batch"):
            certificate(lambda x: x - x.mean(0), torch.rand(4, 2))


@pytest.mark.parametrize("value", [torch.inf, -torch.inf])
def test_a_logit_that_is_not_finite_votes_for_no_class(value):
    found = inputopt.certify_smoothed(lambda x: torch.full((len(x), 3), value), torch.rand(2, 2), [0, 0], draws=50)
    assert (found.prediction.tolist(), found.radius.tolist()) == ([-1, -1], [0, 0])
