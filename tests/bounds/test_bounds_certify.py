"""`certify`: soundness on points inside certified balls, what is refused, and what the result says."""

import itertools

import pytest
import torch
from bounded_networks import images, small_mlp, square, user_cnn
from contracts import digits
from torch import nn

import inputopt
from inputopt.search.norms import find_norm


def points_inside(x, norm, eps, draw):
    """Random points of the balls, half of them on the boundary."""
    ids, radius = torch.arange(len(x)), torch.full((len(x),), eps)
    if draw % 2:
        corner = torch.where(torch.rand(x.shape, generator=torch.Generator().manual_seed(draw)) < 0.5, -1.0, 1.0)
        change = eps * corner / find_norm(norm).size(corner).reshape(-1, *(1,) * (x.ndim - 1))
    else:
        change = find_norm(norm).sample(x, radius, 1.0, 0, ids, draw)
    return (x + change).clamp(0, 1)


def margin(logits, y):
    others = logits.scatter(1, y[:, None], -torch.inf)
    return logits.gather(1, y[:, None])[:, 0] - others.amax(1)


CASES = {
    "digits, linf": lambda: (inputopt.load("digits-mlp"), digits().held_x[::40], "linf", 0.03),
    "digits, l2": lambda: (inputopt.load("digits-mlp"), digits().held_x[::100], "l2", 0.4),
    "cnn, linf": lambda: (user_cnn(), images(12), "linf", 0.05),
    "cnn, l1": lambda: (user_cnn(), images(12), "l1", 0.5),
    "gelu, linf": lambda: (small_mlp("gelu"), square(20), "linf", 0.1),
}


@pytest.mark.parametrize("case", CASES)
def test_no_point_of_a_certified_ball_has_a_smaller_margin(case):
    net, x, norm, eps = CASES[case]()
    y = net(x).argmax(1)
    found = inputopt.certify(net, x, y, norm, eps, budget=600)
    sure = found.certified
    assert 0.2 < found.accuracy <= 1
    assert sure.tolist() == (found.lower > 0).tolist()
    with torch.no_grad():
        for draw in range(60):
            assert bool((margin(net(points_inside(x, norm, eps, draw)), y) >= found.lower - 1e-5).all())
        attacked = inputopt.attacks.PGD(norm, eps, steps=40, stop_on_success=False)(net, x, y)
        assert not bool((attacked.success & sure).any())
        assert bool((margin(net(attacked.x), y) >= found.lower - 1e-5).all())


def test_stages_come_in_order_and_more_work_proves_more():
    net, x, y = inputopt.load("digits-mlp"), digits().held_x[::20], digits().held_y[::20]
    found = [inputopt.certify(net, x, y, eps=0.03, budget=budget) for budget in (0, 100, 3000)]
    assert [set(each.method) - {"none"} for each in found] == [
        {"interval", "crown"},
        {"interval", "crown", "alpha-crown"} & set(found[1].method),
        set(found[2].method) - {"none"},
    ]
    for less, more in itertools.pairwise(found):
        assert bool((more.lower >= less.lower - 1e-12).all())
    assert "branch and bound" in found[2].method
    assert found[2].accuracy > found[0].accuracy
    assert all((name == "none") == (not sure) for name, sure in zip(found[2].method, found[2].certified, strict=True))


def test_a_misclassified_input_is_not_certified():
    net, x = inputopt.load("digits-mlp"), digits().held_x[::50]
    wrong = (net(x).argmax(1) + 1) % 10
    found = inputopt.certify(net, x, wrong, eps=1e-6)
    assert not bool(found.certified.any())
    assert set(found.method) == {"none"}
    assert bool((found.lower < 0).all())


def test_the_bounds_of_the_inputs_count():
    net = inputopt.MLP([1, 2], weights=[[[1.0], [0.0]]], biases=[[0.05, 0.0]], activation="identity")
    x = torch.tensor([[0.0]])  # only below the bounds would the margin be negative
    assert inputopt.certify(net, x, [0], eps=0.1).lower.item() == pytest.approx(0.05, abs=1e-5)
    wide = inputopt.Frozen(net, bounds=(-1, 1))
    assert inputopt.certify(wide, x, [0], eps=0.1).lower.item() == pytest.approx(-0.05, abs=1e-5)


def test_one_radius_for_each_input():
    net, x = small_mlp("relu"), square(4)
    eps = torch.tensor([0.01, 0.05, 0.1, 0.2])
    together = inputopt.certify(net, x, eps=eps, budget=0)
    alone = torch.cat([inputopt.certify(net, x[i : i + 1], eps=float(eps[i]), budget=0).lower for i in range(4)])
    assert torch.allclose(together.lower, alone, atol=1e-6)
    assert together.eps.tolist() == eps.double().tolist()


def test_a_float64_network_has_almost_no_allowance():
    net = inputopt.MLP([3, 2], weights=[[[1.0, 2.0, 4.0], [0.0, 0.0, 0.0]]], activation="identity").double()
    found = inputopt.certify(net, torch.full((1, 3), 0.5, dtype=torch.float64), [0], eps=0.125)
    assert found.lower.item() == pytest.approx(3.5 - 0.125 * 7, abs=1e-12)
    assert found.lower.item() < 3.5 - 0.125 * 7


class Noisy(nn.Module):
    def forward(self, x):
        return x + torch.randn_like(x)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda x: inputopt.certify(nn.Linear(2, 2), x, norm="l0", eps=1),
            "Bounds are computed in linf, l2, l1; in l0",
        ),
        (lambda x: inputopt.certify(nn.Linear(2, 2), x, norm="l3"), "Unknown norm 'l3'"),
        (lambda x: inputopt.certify(nn.Linear(2, 2), x, eps=-1), "eps must be a finite number above 0"),
        (lambda x: inputopt.certify(nn.Linear(2, 2), x, eps=[0.1, 0.2]), "eps must be a number above 0, or 1 of them"),
        (lambda x: inputopt.certify(nn.Linear(2, 2), x, budget=-1), "budget must be at least 0"),
        (lambda x: inputopt.certify(nn.Linear(2, 2), x + 5), "x must lie in the model's bounds"),
        (lambda x: inputopt.certify(Noisy(), x), "vary between calls"),
        (lambda x: inputopt.certify(nn.Sequential(nn.Linear(2, 3), nn.Softmax(1)), x), "operation softmax"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.full((1, 2), 0.5))


def test_the_result_shows_itself():
    found = inputopt.certify(small_mlp("relu"), square(3), eps=0.01)
    assert isinstance(found, inputopt.Certificate)
    assert repr(found) == (
        "<Certificate: certified 3 of 3, accuracy at least 100.0 % (95 % interval: 43.9 % to 100.0 %), in linf 0.01>"
    )


@pytest.mark.parametrize("budget", [1, 11, 12, 13])
def test_a_budget_near_one_round_of_slopes_is_spent_or_left(budget):
    net, x, y = inputopt.load("digits-mlp"), digits().held_x[::100], digits().held_y[::100]
    none, some = (inputopt.certify(net, x, y, eps=0.03, budget=each) for each in (0, budget))
    assert bool((some.lower >= none.lower).all())


def test_the_rounding_of_a_network_that_is_exact_at_the_input_is_allowed_for():
    """At a black image every product is 0; at its neighbours, large terms cancel but for their rounding errors."""

    hidden, last = nn.Linear(144, 3, bias=False), nn.Linear(3, 2)
    pair = (6400 * torch.randn(2, 144, generator=torch.Generator().manual_seed(0))).round() / 64
    hidden.weight.data = torch.stack([*pair, pair.sum(0)])
    last.weight.data, last.bias.data = torch.tensor([[1.0, 1, 0], [0, 0, 1]]), torch.tensor([2e-5, 0])
    net = nn.Sequential(nn.Flatten(), hidden, last)
    x, y = torch.zeros(1, 1, 12, 12), torch.zeros(1, dtype=torch.int64)
    points = 0.1 * torch.rand(200, 1, 12, 12, generator=torch.Generator().manual_seed(1))
    assert (net(points).argmax(1) != 0).any()
    assert not bool(inputopt.certify(net, x, y, eps=0.1).certified)
    assert bool(inputopt.certify(net.double(), x.double(), y, eps=0.1).certified)
