"""CPPNs fitted to photos: as near as the docstring says, each photo by itself."""

import pytest
import torch
from contracts import assert_same
from photos import pixels

from inputopt.pictures import fitted_cppn
from inputopt.pictures.fitted_cppn import FittedCPPN
from inputopt.search.canvases.colours import Squash
from inputopt.search.canvases.cppn import CPPN
from inputopt.search.problem import Problem

PROBLEM = Problem(torch.zeros(3, 1), torch.arange(3), torch.arange(3))


@pytest.mark.parametrize("size", [(12, 17), (15, 15)])
def test_a_formula_takes_a_photo_up_as_nearly_as_it_says(size):
    x = torch.cat([pixels(name, *size) for name in ("coffee.png", "chelsea.png")])
    canvas = FittedCPPN(CPPN((3, *size), Squash(0, 1)))
    z = canvas.encode(x)
    error = (canvas(z, PROBLEM) - x).square().mean((1, 2, 3)).sqrt()
    spread = (x - x.mean((2, 3), keepdim=True)).square().mean((1, 2, 3)).sqrt()
    assert float(error.max()) < 0.1
    assert bool((error < 0.55 * spread).all())


def test_a_formula_takes_each_photo_up_by_itself(monkeypatch):
    monkeypatch.setattr(fitted_cppn, "FITTING", 60)  # on the way there, too
    x = torch.cat([pixels(name, 9, 7) for name in ("coffee.png", "chelsea.png")]).double()  # float32 would drift apart
    canvas = FittedCPPN(CPPN((3, 9, 7), Squash(0, 1)))
    assert_same(canvas.encode(x[1:]), canvas.encode(x)[1:], 1e-6)
