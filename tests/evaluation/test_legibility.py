import pytest
import torch
from contracts import assert_same, drawn
from torch import nn

import inputopt
from inputopt.evaluation.legibility import legibility, radial_spectrum, robustness, spectrum_distance


def decaying_step(power, seed=0, side=32):
    """Images whose power falls with the frequency to that power."""
    place = torch.fft.fftfreq(side) * side
    size = (place[:, None].square() + place.square()).sqrt().clamp_min(1)
    noise = torch.fft.fft2(drawn(4, 3, side, side, seed=seed))
    return torch.fft.ifft2(noise * size ** (-power / 2)).real


def test_the_spectrum_of_falling_power_is_a_falling_line():
    for power in (0.0, 2.0, 3.0):
        found = radial_spectrum(decaying_step(power)).mean(0)
        k = torch.arange(1, 17, dtype=torch.float64).log()
        slope = ((found - found.mean()) * (k - k.mean())).sum() / (k - k.mean()).square().sum()
        assert abs(float(slope) + power) < 0.5
        assert_same(found.mean(), torch.zeros((), dtype=torch.float64), 1e-9)


def test_light_and_contrast_do_not_matter_and_grain_does():
    x, photos = decaying_step(2.5), decaying_step(2.5, seed=1)
    assert_same(spectrum_distance(0.1 * x + 3, photos), spectrum_distance(x, photos), 1e-6)
    assert float(spectrum_distance(x, photos).max()) < 0.8
    assert float(spectrum_distance(decaying_step(0.0), photos).min()) > 1.5


class Half(nn.Module):
    """Sees class 1 where the left half is brighter, and says so with that odds."""

    def __init__(self, odds):
        super().__init__()
        self.odds = odds

    def forward(self, x):
        width = x.shape[3] // 2
        ahead = x[..., :width].mean((1, 2, 3)) - x[..., width:].mean((1, 2, 3))
        return torch.stack([torch.zeros_like(ahead), self.odds * ahead], dim=1)


def test_robustness_is_the_share_of_views_that_keep_the_class():
    x = torch.full((2, 1, 32, 32), 0.2)
    x[0, :, :, :16] = 0.8  # rolling and scaling leave most of it on the left
    x[1, :, :, 16] = 0.22  # any noise or roll wins over this
    net = inputopt.Frozen(Half(1.0))
    found = robustness(net, x, torch.tensor([1, 1]))
    assert float(found[0]) == 1.0
    assert float(found[1]) < 1
    assert_same(robustness(net, x[:1], torch.tensor([1])), found[:1])


def test_all_scores_of_pictures():
    x = decaying_step(2.5).float()[:2].sigmoid()
    x[..., :16] = x[..., :16] / 2 + 0.5
    net, judges = inputopt.Frozen(Half(1.0)), [inputopt.Frozen(Half(odds)) for odds in (5.0, 0.0)]
    found = legibility(net, judges, x, torch.tensor([1, 1]), decaying_step(2.5, 1).float())
    with torch.no_grad():
        assert_same(found.activation, net(x)[:, 1])
        assert_same(found.transfer, (judges[0](x).softmax(1)[:, 1] + 0.5) / 2)
    assert found.spectrum.shape == found.robustness.shape == (2,)
    with pytest.raises(ValueError, match="judge"):
        legibility(net, [], x, torch.tensor([1, 1]), x)
    with pytest.raises(ValueError, match="as large"):
        legibility(net, judges, x, torch.tensor([1, 1]), x[:, :, :8, :8])
    with pytest.raises(ValueError, match="square"):
        radial_spectrum(x[:, :, :8])
