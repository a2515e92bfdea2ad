import pytest
import torch

from inputopt.search.norms import L1, L2, LINF, find_norm
from inputopt.search.norms.l0 import two_thirds


def test_two_thirds_is_the_minimum_over_a_grid():
    change = torch.linspace(-1.5, 1.5, 41, dtype=torch.float64)
    grid = torch.linspace(-1.5, 1.5, 30_001, dtype=torch.float64)[:, None]
    for weight in (0.01, 0.1, 0.4):
        found = two_thirds(change, torch.full_like(change, weight))

        def cost(c, weight=weight):
            return (c - change).square() / 2 + weight * c.abs() ** (2 / 3)

        assert bool((cost(found) <= cost(grid).amin(0) + 1e-7).all())


@pytest.mark.parametrize("norm", [L1, L2, LINF], ids=lambda norm: norm.name)
def test_nothing_near_the_proximal_point_costs_less(norm):
    generator = torch.Generator().manual_seed(0)
    change = torch.randn(6, 8, generator=generator, dtype=torch.float64)
    weight = torch.rand(6, generator=generator, dtype=torch.float64) * 2
    found = norm.proximal(change, weight)
    assert find_norm(norm.name) is norm

    def cost(c):
        return (c - change).square().sum(1) / 2 + weight * norm.size(c)

    for number in range(200):
        moved = found + 0.05 * torch.randn(6, 8, generator=generator, dtype=torch.float64) * (number % 10 + 1) / 10
        assert bool((cost(found) <= cost(moved) + 1e-12).all())
