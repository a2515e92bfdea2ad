"""Bounds against exact answers and against each other: intervals <= CROWN <= optimised slopes <= exact."""

import pytest
import torch
from bounded_networks import grid_margins, images, small_mlp, square, user_cnn
from torch import nn

import inputopt
from inputopt.bounds import crown, windows
from inputopt.bounds.ball import ball_of
from inputopt.bounds.branch_and_bound import branch_and_bound
from inputopt.bounds.certify import proven, work_of
from inputopt.bounds.crown import linear_bounds
from inputopt.bounds.interval import Interval, margin_matrix, propagate
from inputopt.bounds.optimised_slopes import evaluated, optimised, rows_of
from inputopt.bounds.relaxations import ELU, GELU, SIGMOID, SILU, SOFTPLUS, TANH, TANH_GELU, relu_lines, smooth_lines
from inputopt.bounds.rounding import rounding_of
from inputopt.bounds.tracing import graph_of
from inputopt.nets.activations import ACTIVATIONS
from inputopt.search.norms import find_norm

SMOOTH = (SIGMOID, TANH, SILU, GELU, TANH_GELU, ELU, SOFTPLUS)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def margins_by_method(net, x, y, norm, eps, budget=300):
    """The least margins by intervals, CROWN and optimised slopes, [B] each."""
    frozen = inputopt.Frozen(net)
    graph, ball = graph_of(frozen, x), ball_of(frozen, x, norm, eps)
    rounding = rounding_of(graph, ball)
    rows, example = (
        margin_matrix(y, graph.classes, torch.float64).flatten(0, 1),
        torch.arange(len(x)).repeat_interleave(2),
    )
    with torch.no_grad():
        low = propagate(graph, ball.box)[-1]
        interval = (rows.clamp_min(0) * low.low[example] + rows.clamp_max(0) * low.high[example]).sum(1)
        sloped = rows_of(graph, rows, example, ball, linear_bounds(graph, ball, rounding))
        plain = evaluated(graph, sloped)
        best = evaluated(graph, optimised(graph.to(torch.float32), sloped, 20))
    return [value.reshape(-1, 2).amin(1) for value in (interval, plain, best)]


# ------------------------------------------------------------------------------------------------------ one activation
@pytest.mark.parametrize("kind", SMOOTH, ids=lambda kind: kind.name)
def test_the_constants_of_an_activation_are_bounds(kind):
    z = torch.linspace(-30, 30, 600_001, dtype=torch.float64)
    step = float(z[1] - z[0])
    value = kind.function(z)
    first, second = value.diff() / step, value.diff(n=2).abs() / step**2
    assert float(first.abs().max()) <= kind.derivative + 1e-9
    assert float(second.max()) <= kind.curvature + 1e-4
    assert float(second[z[1:-1].abs() >= 10].max()) <= kind.tail + 1e-5  # differences cannot tell less from rounding
    if kind.lowest is not None:
        assert kind.lowest[1] == pytest.approx(float(value.min()), abs=1e-8)
        assert kind.lowest[1] <= float(value.min()) + 1e-12
    else:
        assert bool((value.diff() >= 0).all())


@pytest.mark.parametrize("kind", SMOOTH, ids=lambda kind: kind.name)
def test_lines_stay_on_their_sides(kind):
    ends = (torch.rand(400, 2, generator=generator(), dtype=torch.float64) - 0.5) * 30
    ends[:100] *= 0.01
    ends[100:120] *= 100
    low, high = ends.amin(1), ends.amax(1)
    given = [
        (torch.rand(400, generator=generator(side), dtype=torch.float64) - 0.2) * kind.derivative for side in (1, 2)
    ]
    z = low[:, None] + (high - low)[:, None] * torch.linspace(0, 1, 999, dtype=torch.float64)
    value = kind.function(z)
    for slopes in (None, tuple(given)):
        below, above = smooth_lines(kind, low, high, slopes)
        assert bool((below.slope[:, None] * z + below.offset[:, None] <= value).all())
        assert bool((above.slope[:, None] * z + above.offset[:, None] >= value).all())
    least, most = kind.range(low, high)
    assert bool(((least[:, None] <= value) & (value <= most[:, None])).all())
    assert bool((most - least <= value.amax(1) - value.amin(1) + 1e-3 * (1 + high - low)).all())


def test_lines_of_relu_touch_it():
    low, high = torch.tensor([-1.0, -3.0, 0.5, -2.0]).double(), torch.tensor([3.0, 1.0, 2.0, -1.0]).double()
    below, above = relu_lines(low, high)
    assert below.slope.tolist() == [1, 0, 1, 0]
    assert torch.allclose(above.slope * low + above.offset, low.clamp_min(0))
    assert torch.allclose(above.slope * high + above.offset, high.clamp_min(0))


# --------------------------------------------------------------------------------------------------- the set of inputs
@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("eps", [0.02, 0.4, 3.0])
def test_the_minimum_over_ball_and_box_is_exact(norm, eps):
    x = torch.rand(40, 30, generator=generator(3))
    x[:, :8] = x[:, :8].round()  # at the bounds, as pixels are
    slope = torch.randn(40, 30, generator=generator(4), dtype=torch.float64)
    slope[0] = 0
    ball = ball_of(inputopt.Frozen(nn.Linear(30, 2)), x, norm, eps)
    found = ball.least(slope, torch.arange(40))
    low, high = -x.double(), 1 - x.double()
    radius = torch.full((40,), eps, dtype=torch.float64)
    change = least_l2(slope, eps, low, high) if norm == "l2" else find_norm(norm).lowest(slope, radius, low, high, 1.0)
    reached = (slope * (x + change)).sum(1)
    assert bool((found <= reached + 1e-9).all())
    assert torch.allclose(found, reached, atol=1e-6)


def least_l2(slope, eps, low, high):
    """The change of least <slope, change>, by bisection on the multiplier of the ball."""
    small, large = torch.full((len(slope), 1), 1e-9).double(), torch.full((len(slope), 1), 1e6).double()
    for _ in range(100):
        middle = (small * large).sqrt()
        change = (-slope / middle).clamp(low, high)
        outside = change.norm(dim=1, keepdim=True) > eps
        small, large = torch.where(outside, middle, small), torch.where(outside, large, middle)
    return (-slope / large).clamp(low, high)


def test_the_gradient_of_the_minimum_is_where_it_is_attained():
    x = torch.rand(5, 30, generator=generator(3))
    for norm in ("linf", "l2", "l1"):
        ball = ball_of(inputopt.Frozen(nn.Linear(30, 2)), x, norm, 0.4)
        slope = torch.randn(5, 30, generator=generator(4), dtype=torch.float64, requires_grad=True)
        value = ball.least(slope, torch.arange(5))
        (place,) = torch.autograd.grad(value.sum(), slope)
        assert torch.allclose((slope * place).sum(1), value, atol=1e-6)
        assert bool((place >= -1e-9).all())
        assert bool((place <= 1 + 1e-9).all())


# ---------------------------------------------------------------------------------------------------------- the order
@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "sigmoid", "tanh", "elu", "gelu", "silu", "softplus"])
def test_each_method_is_tighter_than_the_one_before_and_never_than_the_truth(activation, norm):
    assert activation in ACTIVATIONS
    net, x = small_mlp(activation), square(6)
    y = net(x).argmax(1)
    interval, plain, best = margins_by_method(net, x, y, norm, 0.15)
    exact = grid_margins(net, x, y, norm, 0.15)
    assert bool((interval <= plain + 1e-9).all())
    assert bool((plain <= best + 1e-9).all())
    assert bool((best <= exact + 1e-9).all())
    assert float((plain - interval).mean()) > 0.1  # on the whole it is much tighter


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_a_linear_model_is_exact(norm):
    net = inputopt.MLP([30, 4], "identity", seed=5)
    x = torch.rand(20, 30, generator=generator(6)) * 0.2 + 0.4  # the ball does not reach the bounds
    y = net(x).argmax(1)
    found = inputopt.certify(net, x, y, norm, eps=0.1, budget=0)
    weight, bias = (value.detach().double() for value in (net.weights[0], net.biases[0]))
    logits = x.double() @ weight.T + bias
    dual = {"linf": 1.0, "l2": 2.0, "l1": float("inf")}[norm]
    margins = logits.gather(1, y[:, None]) - logits - 0.1 * (weight[y][:, None] - weight).norm(dual, dim=2)
    margins = margins.scatter(1, y[:, None], torch.inf).amin(1)
    assert torch.allclose(found.lower, margins, atol=1e-5)  # the allowance for the network's own float32
    assert bool((found.lower <= margins).all())
    assert found.certified.tolist() == (margins > 1e-5).tolist()


def test_intervals_are_exact_for_one_operation():
    net, x = inputopt.MLP([30, 4], "identity", seed=5), torch.rand(3, 30, generator=generator(6))
    low, high = (x - 0.1).double(), (x + 0.2).double()
    bounds = propagate(graph_of(inputopt.Frozen(net), x), Interval(low, high))[-1]
    weight = net.weights[0].detach().double()
    corner = torch.where(weight > 0, low[:, None], high[:, None])
    assert torch.allclose(bounds.low, (weight * corner).sum(2) + net.biases[0].detach().double())


# ------------------------------------------------------------------------------------------------------------ windows
def test_windows_pass_batch_norms_padding_dilation_and_smooth_activations(monkeypatch):
    torch.manual_seed(0)
    net = nn.Sequential(
        *(
            nn.Conv2d(1, 2, 3, padding=2, dilation=2),
            nn.BatchNorm2d(2),
            nn.Tanh(),
            nn.Conv2d(2, 3, 3, stride=2, padding=1),
        ),
        *(nn.Sigmoid(), nn.Flatten(), nn.Linear(48, 3)),
    ).eval()
    net[1].running_mean.copy_(torch.tensor([0.3, -0.2]))
    x = torch.rand(2, 1, 8, 8, generator=generator(1))
    frozen = inputopt.Frozen(net, mean=0.4, std=0.3)
    graph, ball = graph_of(frozen, x), ball_of(frozen, x, "l2", 0.3)
    local = [index for index, node in enumerate(graph.nodes) if windows.is_local(node)]
    assert [windows.reach(graph, index)[0] for index in local] == [0, 0]
    found = linear_bounds(graph, ball, rounding_of(graph, ball))
    monkeypatch.setattr(crown, "is_local", lambda node: False)
    whole = linear_bounds(graph, ball, rounding_of(graph, ball))
    for node, bounds in found.intervals.items():
        assert torch.allclose(bounds.low, whole.intervals[node].low, atol=1e-7)
        assert torch.allclose(bounds.high, whole.intervals[node].high, atol=1e-7)


# ---------------------------------------------------------------------------------------------------- branch and bound
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_branch_and_bound_on_signs_comes_near_the_truth_and_never_above(norm):
    net, x = small_mlp("relu"), square(12)
    y = net(x).argmax(1)
    exact = grid_margins(net, x, y, norm, 0.2)
    frozen = inputopt.Frozen(net)
    graph, ball = graph_of(frozen, x), ball_of(frozen, x, norm, 0.2)
    fast = graph.to(torch.float32)
    rows = margin_matrix(y, 3, torch.float64).flatten(0, 1)
    example = torch.arange(12).repeat_interleave(2)
    with torch.no_grad():
        sloped = optimised(
            fast, rows_of(graph, rows, example, ball, linear_bounds(graph, ball, rounding_of(graph, ball))), 12
        )
        before = evaluated(graph, sloped)
        goal = exact[example] - 0.02  # proven if the bound exceeds this
        found, spent = branch_and_bound(
            graph, fast, sloped, before, goal, torch.zeros(24).double(), torch.full((24,), 20_000)
        )
    least = found.reshape(-1, 2).amin(1)
    assert bool((found >= before).all())
    assert bool((least <= exact + 1e-6).all())
    assert bool((least >= exact - 0.021).all())
    assert int(spent.max()) <= 20_000


def test_a_network_of_few_inputs_is_split_there():
    for activation in ("tanh", "relu"):
        net, x = small_mlp(activation), square(12)
        y = net(x).argmax(1)
        exact = grid_margins(net, x, y, "linf", 0.35)
        found = inputopt.certify(net, x, y, "linf", 0.35, budget=4000)
        clear = exact.abs() > 0.05
        assert found.certified[clear].tolist() == (exact[clear] > 0).tolist()
        assert bool((found.lower <= exact + 1e-9).all())
        assert "branch and bound" in found.method


def test_results_do_not_depend_on_the_batch():
    net, x = user_cnn(), images(5)
    frozen = inputopt.Frozen(net)
    y = frozen(x).argmax(1)
    graph = graph_of(frozen, x)
    work = work_of(frozen, graph, ball_of(frozen, x, "linf", 0.06), x, y)
    together = proven(work, 500)
    for row in range(5):
        alone = proven(work.take(torch.tensor([row])), 500)
        assert torch.allclose(alone.value[0], together.value[row], atol=1e-6)
        assert alone.method[0] == together.method[row]
