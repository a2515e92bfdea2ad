"""Faults i: the best failure is not the best: the loss is saturated, a step is lost to rounding, or a search stops."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from attack_table import RADIUS, gradient_attacks
from contracts import known_inputs, small_net
from torch import Tensor, nn

import inputopt

A = inputopt.attacks


def steep(scale: float = 40.0) -> nn.Linear:
    """Three classes whose logits are so far apart that the cross-entropy is exactly 0 in float32."""
    model = nn.Linear(4, 3)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[scale, 0, 0, 0], [-scale, 0, 0, 0], [0, 0, 0, 0]]))
        model.bias.zero_()
    return model


def lead(model: Any, x: Tensor, y: Tensor) -> Tensor:
    """By how much the model puts y first, [B]."""
    with torch.no_grad():
        logits = model(x)
    own = torch.nn.functional.one_hot(y, logits.shape[1]).bool()
    return logits[own] - logits.masked_fill(own, -torch.inf).amax(1)


ZERO = torch.zeros(1, dtype=torch.int64)


@pytest.mark.parametrize("scale", [40.0, 400.0, 4e4])
def test_ties_of_a_saturated_loss_are_broken_by_the_margin(scale):
    """From .6 the first number can be brought down to .5: a margin of half the scale."""
    x = torch.full((1, 4), 0.6)
    found = A.FGSM(eps=0.1)(steep(scale), x, [0])
    assert not bool(found.success)
    assert float(found.distance) == pytest.approx(0.1, rel=1e-5)
    assert float(lead(steep(scale), found.x, ZERO)) == pytest.approx(0.5 * scale, rel=1e-5)


@pytest.mark.filterwarnings("ignore:DLR needs 4 classes")
@pytest.mark.parametrize("norm", ["l0", "l1", "l2", "linf"])
def test_every_attack_leaves_the_best_failure_of_a_saturated_network(norm):
    """Of a linear network the least margin within a ball is known: only the first number counts."""
    x, eps = torch.full((1, 4), 0.9), {"l0": 1.0, "l1": 0.2, "l2": 0.2, "linf": 0.2}[norm]
    model = steep(1000.0)
    model.bias.data[0] = 500.0  # right wherever it goes
    least = 500 + (0.0 if norm == "l0" else 700.0)
    for name, attack in gradient_attacks(norm, eps).items():
        found = attack(model, x, [0])
        assert not bool(found.success), name
        assert float(lead(model, found.x, ZERO)) == pytest.approx(least, rel=1e-3), name


def test_failures_of_a_confident_network_are_further_out_than_where_they_began():
    x, y = known_inputs(torch.float32, 20)
    net = small_net(torch.float32)

    def confident(z: Tensor) -> Tensor:
        return 200 * net(z)

    for norm in RADIUS:
        radius = RADIUS[norm] / (3 if norm == "l0" else 30)
        for name, attack in gradient_attacks(norm, radius).items():
            found, calm = attack(confident, x, y), attack(net, x, y)
            failed = ~found.success
            before, after = lead(net, x, y), lead(net, found.x, y)
            assert bool((after[failed] < before[failed]).all()), (name, norm)
            # as strong as of the same network whose logits are small
            assert int(found.success.sum()) >= int(calm.success.sum()) - 1, (name, norm)


@pytest.mark.parametrize("shape", [(12,), (3, 2, 2)])
def test_fgsm_in_l1_moves_where_all_derivatives_are_equal(shape):
    """A step of a thousand radii cancels in float32 when every number would move alike."""

    def model(x: Tensor) -> Tensor:
        total = x.flatten(1).sum(1)
        return torch.stack([total, 12 - total], 1)

    x = torch.full((2, *shape), 0.7)
    for eps in (0.01, 1.0, 3.0):
        found = A.FGSM("l1", eps)(model, x, [0, 0])
        assert float(found.distance.min()) == pytest.approx(eps, rel=1e-3)
        torch.testing.assert_close(
            lead(model, found.x, ZERO.expand(2)), torch.full((2,), 4.8 - 2 * eps), rtol=1e-3, atol=0
        )


# ----------------------------------------------------------------------------------------------------- to the last step
GOING_ON = {
    "BIM": lambda **settings: A.BIM("linf", 0.2, steps=8, **settings),
    "PGD": lambda **settings: A.PGD("linf", 0.2, steps=8, step_size=0.25, random_start=False, **settings),
    "MIFGSM": lambda **settings: A.MIFGSM("linf", 0.2, steps=8, **settings),
    "NIFGSM": lambda **settings: A.NIFGSM("linf", 0.2, steps=8, **settings),
    "APGD": lambda **settings: A.APGD("linf", 0.2, steps=8, **settings),
}


@pytest.mark.parametrize("name", GOING_ON)
def test_a_search_that_does_not_stop_on_success_goes_on_to_the_worst(name):
    x, y = known_inputs(torch.float32, 20)
    net = small_net(torch.float32)
    stopped, whole = GOING_ON[name]()(net, x, y), GOING_ON[name](stop_on_success=False)(net, x, y)
    assert int(stopped.success.sum()) > 5
    assert bool((whole.success >= stopped.success).all())
    assert bool((whole.forwards >= stopped.forwards).all())
    assert int(whole.forwards.min()) >= 8
    early = stopped.success & (stopped.forwards < 8)
    assert bool(early.any())
    assert bool((whole.loss <= stopped.loss + 1e-6).all())
    assert float((whole.loss < stopped.loss - 1e-3)[early].double().mean()) > 0.4
    assert float((whole.x - x).abs().max()) <= 0.2 + 1e-6


def test_bim_to_the_last_step_is_the_papers():
    """Kurakin et al., 2017, written out in float64: the last point, or a better one on the way."""
    x, y = known_inputs(count=10)
    net = small_net()
    found = A.BIM("linf", 0.1, steps=6, step_size=0.25, stop_on_success=False)(net, x, y)
    z, best = x, torch.full((10,), torch.inf).double()
    for _ in range(7):
        variable = z.clone().requires_grad_()
        cost = torch.nn.functional.cross_entropy(net(variable), y, reduction="none")
        best = torch.minimum(best, -cost.detach())
        (grad,) = torch.autograd.grad(cost.sum(), variable)
        z = (z + 0.025 * grad.sign()).clamp(x - 0.1, x + 0.1).clamp(0, 1)
    cost = torch.nn.functional.cross_entropy(net(found.x), y, reduction="none").detach()
    torch.testing.assert_close(-cost, best, rtol=0, atol=1e-6)


def test_nesterov_looks_ahead_along_the_summed_gradients_as_the_paper_does():
    """Lin et al., 2020, written out in float64: x + alpha mu g, with g the sum itself and not its sign.

    What comes back is the best of the points that the network saw: those that were looked ahead to, and the last.
    """
    draw = torch.Generator().manual_seed(0)
    first, second = torch.randn(12, 24, generator=draw).double(), torch.randn(24, 4, generator=draw).double()

    def net(x: Tensor) -> Tensor:
        return torch.sin(x @ first) @ second

    def cost(x: Tensor) -> Tensor:
        return torch.nn.functional.cross_entropy(net(x), y, reduction="none")

    x, (eps, steps, decay) = torch.rand(20, 12, generator=draw).double(), (0.3, 6, 0.25)
    y, wide = net(x).argmax(1), inputopt.Frozen(net, bounds=(-9.0, 9.0))
    found = A.NIFGSM("linf", eps, steps=steps, decay=decay, stop_on_success=False)(wide, x, y)
    z, total, alpha, points = x, torch.zeros_like(x), eps / steps, []
    for _ in range(steps):
        ahead = (z + alpha * decay * total).clone().requires_grad_()
        (grad,) = torch.autograd.grad(cost(ahead).sum(), ahead)
        points.append(ahead.detach())
        total = decay * total + grad / grad.abs().mean(1, keepdim=True)
        z = (z + alpha * total.sign()).clamp(x - eps, x + eps)
    seen = torch.stack([*points, z])
    best = seen[torch.stack([cost(point) for point in seen]).argmax(0), torch.arange(20)]
    assert int(((found.x - best).abs().amax(1) < 1e-9).sum()) >= 18
