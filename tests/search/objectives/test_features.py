import pytest
import torch
from contracts import assert_same, drawn, problem_of
from torch import nn

import inputopt
from inputopt.search.channel_axes.layout import network_geometry
from inputopt.search.goals import never
from inputopt.search.objectives.features import (
    Channel,
    Class,
    Direction,
    Layer,
    LogProbability,
    Neuron,
    objective_from_plain,
    plain_of_one,
)
from inputopt.search.objectives.matching import activation_distance, along_activations, diversity, gram, style_distance
from inputopt.search.objectives.objective import Objective
from inputopt.search.objectives.total_variation import total_variation
from inputopt.search.oracles import Autograd, with_relu_redirect
from inputopt.search.problem import Problem

PROBLEM = problem_of((2, 3, 4))
SEEN = {"a": drawn(5, 6, 3, 4), "b": drawn(5, 6, seed=1)}
LOGITS = drawn(5, 6, seed=2)


def of(objective, seen=None):
    return objective(SEEN if seen is None else seen, PROBLEM.x0, PROBLEM)


def test_each_objective_is_the_number_it_names():
    assert_same(of(Neuron("a", 2, 1, 3, axis=1)), SEEN["a"][:, 2, 1, 3])
    assert_same(of(Neuron("a", 2, axis=1)), SEEN["a"][:, 2, 1, 2])  # the middle of 3 x 4
    assert_same(of(Neuron("b", 4)), SEEN["b"][:, 4])
    assert_same(of(Channel("a", 5, axis=1)), SEEN["a"][:, 5].mean((1, 2)), 1e-12)
    assert_same(of(Channel("b", 5)), SEEN["b"][:, 5])
    assert_same(of(Layer("a")), SEEN["a"].square().mean((1, 2, 3)), 1e-12)
    assert_same(of(Class(3), LOGITS), LOGITS[:, 3])
    assert_same(of(LogProbability(3), LOGITS), LOGITS.softmax(1)[:, 3].log(), 1e-12)
    assert_same(of(LogProbability(3, 4.0), LOGITS), 4 * (LOGITS / 4).softmax(1)[:, 3].log(), 1e-12)
    along = torch.tensor([3.0, 0, 0, 4, 0, 0], dtype=torch.float64)
    assert_same(of(Direction("a", along, axis=1)), (0.6 * SEEN["a"][:, 0] + 0.8 * SEEN["a"][:, 3]).mean((1, 2)), 1e-12)
    assert_same(of(Direction("b", along)), 0.6 * SEEN["b"][:, 0] + 0.8 * SEEN["b"][:, 3], 1e-12)


def test_a_class_of_imagenet_can_be_given_by_name():
    logits = drawn(5, 1000, seed=2)
    assert_same(of(Class("daisy"), logits), logits[:, 985])
    assert_same(of(LogProbability("daisy"), logits), of(LogProbability(985), logits))
    assert Class(["daisy", 291]).plain == Class([985, 291]).plain == ["Class", [985, 291]]
    assert LogProbability(["lion"], 2.0).plain == ["LogProbability", [291], 2.0]
    with pytest.raises(ValueError, match="network has 6 classes"):
        of(Class("daisy"), LOGITS)
    with pytest.raises(ValueError, match="network has 6 classes"):
        of(LogProbability("daisy"), LOGITS)
    with pytest.raises(ValueError, match="'daisy'"):
        Class("daysy")


def test_one_of_several_is_about_the_example_with_that_label():
    several = [2, 0, 5, 1, 3, 4]  # the labels are 0, 1, 2, 1, 5
    for make in (lambda c: Channel("a", c, axis=1), lambda c: Neuron("a", c, 0, 0, axis=1), lambda c: Class(c)):
        outputs = LOGITS if make(0).logits else SEEN
        whole = make(several)(outputs, PROBLEM.x0, PROBLEM)
        for row, label in enumerate(PROBLEM.label.tolist()):
            assert_same(whole[row], make(several[label])(outputs, PROBLEM.x0, PROBLEM)[row], 1e-12)
        assert make(several).count == 6
    vectors = drawn(6, 6, seed=5)
    whole = of(Direction("a", vectors, axis=1))
    for row, label in enumerate(PROBLEM.label.tolist()):
        assert_same(whole[row], of(Direction("a", vectors[label], axis=1))[row], 1e-12)


def test_a_warm_belief_goes_on_pushing_others_down_where_a_plain_one_is_sure():
    sure = torch.tensor([[12.0, 0, -8]], requires_grad=True)
    one = Problem(torch.zeros(1, 1), torch.tensor([0]), torch.tensor([0]))
    plain, warm = (
        torch.autograd.grad(LogProbability(0, temperature)(sure, one.x0, one).sum(), sure)[0]
        for temperature in (1.0, 4.0)
    )
    assert float(plain.abs().max()) < 1e-4
    assert float(warm[0, 1]) < -0.04  # e^-3 to 1
    assert float(warm[0, 0]) > 0.04


def test_objectives_add_up_across_layers_and_logits():
    both = 2 * Channel("a", 1, axis=1) - Layer("b")
    assert both.layers == ("a", "b")
    assert not both.logits
    assert_same(of(both), 2 * of(Channel("a", 1, axis=1)) - of(Layer("b")), 1e-12)
    mixed = both + 0.5 * Class(4)
    assert mixed.logits
    assert_same(of(mixed, SEEN | {"": LOGITS}), of(both) + 0.5 * LOGITS[:, 4], 1e-12)
    smooth = Class(1) - 3 * total_variation()
    assert smooth.layers == ()
    assert_same(of(smooth, LOGITS), LOGITS[:, 1] - 3 * of(total_variation()), 1e-12)
    assert not (Channel("a", 1) - total_variation()).logits  # nothing behind the layer is run


def test_an_objective_can_be_rebuilt_from_plain_values():
    objective = -2 * (Channel("a", [1, 2, 5, 0, 1, 2], axis=-3) + 0.5 * Direction("b", [1.0, 2, 3, 4, 5, 6])) + Layer(
        "a"
    )
    assert_same(of(objective_from_plain(objective.plain)), of(objective))
    for row, label in enumerate(PROBLEM.label.tolist()):
        alone = objective_from_plain(plain_of_one(objective.plain, label))
        assert alone.count == 1
        assert_same(of(alone)[row], of(objective)[row], 1e-12)
    soft = LogProbability([3, 2, 1, 0, 4, 5], 4.0)
    assert_same(of(objective_from_plain(soft.plain), LOGITS), of(soft, LOGITS), 1e-12)
    assert_same(
        of(objective_from_plain(plain_of_one(soft.plain, 2)), LOGITS), of(LogProbability(1, 4.0), LOGITS), 1e-12
    )
    assert LogProbability(3).plain == ["LogProbability", 3]
    assert (Channel("a", 1) + activation_distance({"a": SEEN["a"][:1]})).plain is None
    with pytest.raises(ValueError, match="did you mean 'Channel'"):
        objective_from_plain(["Chanel", "a", 1])


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: Channel("a", 1.5), TypeError, "channel"),
        (lambda: Channel("a", -1), ValueError, "channel"),
        (lambda: Channel("a", []), ValueError, "channel"),
        (lambda: Channel(3, 1), TypeError, "layer"),
        (lambda: Neuron("a", 1, y=-1), ValueError, "y"),
        (lambda: Class("3"), TypeError, "class"),
        (lambda: LogProbability(3, 0.0), ValueError, "temperature"),
        (lambda: Direction("a", [0.0, 0.0]), ValueError, "direction"),
        (lambda: Direction("a", [float("nan")]), ValueError, "finite"),
        (lambda: Layer("a") * Layer("a"), TypeError, "number"),
        (lambda: Channel("a", [1, 2]) + Channel("a", [1, 2, 3]), ValueError, "2 and 3 pictures"),
        (lambda: activation_distance({"a": torch.zeros(1, 4)}), ValueError, "all 0"),
        (lambda: of(Channel("a", 6, axis=1)), ValueError, "at most 5"),
        (lambda: of(Neuron("a", 1, y=3, axis=1)), ValueError, "at most 2"),
        (lambda: of(Class(6), LOGITS), ValueError, "at most 5"),
        (lambda: of(Channel("a", 1)), ValueError, r"\[B, 6, 3, 4\].*axis="),
        (lambda: of(Channel("a", 1, axis=4)), ValueError, "axis must be 1 to 3"),
        (lambda: Channel("a", 1, axis=1.0), TypeError, "axis"),
        (lambda: Neuron("a", 1, 0, 0, place=3), ValueError, "not as both"),
        (lambda: of(Neuron("b", 1, place=0)), ValueError, "no positions"),
        (lambda: of(Neuron("a", 1, place=12, axis=1)), ValueError, "at most 11"),
        (
            lambda: of(Neuron("a", 1, axis=1), {"a": SEEN["a"].flatten(2)[..., :7]}),
            ValueError,
            "not form a grid.*place=",
        ),
        (lambda: of(Direction("a", [1.0, 2.0], axis=1)), ValueError, "6 channels"),
        (lambda: of(activation_distance({"a": torch.ones(1, 6, 2, 2)})), ValueError, "shape"),
    ],
)
def test_objectives_refuse(make, kind, words):
    with pytest.raises(kind, match=words):
        make()


# ------------------------------------------------------------------------------------------------------------ comparing
def test_a_distance_is_0_at_the_goal_and_1_without_any_activation():
    goal = SEEN["a"][[0, 1, 2, 3, 4, 4]]
    own = {"a": goal[PROBLEM.label]}
    for distance in (activation_distance({"a": goal}), style_distance({"a": goal}, axis=1)):
        assert_same(of(distance, own), torch.zeros(5, dtype=torch.float64), 1e-12)
        assert_same(of(distance, {"a": 0 * goal[:5]}), torch.ones(5, dtype=torch.float64), 1e-12)
        assert float(of(distance).max()) > 0.1


def test_a_style_does_not_see_where_and_activations_do():
    goal, moved = {"a": SEEN["a"][:1]}, {"a": SEEN["a"][:1].roll(1, 3).expand(5, -1, -1, -1)}
    assert float(of(style_distance(goal, axis=1), moved).max()) < 1e-12
    assert float(of(activation_distance(goal), moved).min()) > 0.1


def test_going_further_along_activations_pays_and_turning_away_does_not():
    goal = {"a": SEEN["a"][:1]}
    same = of(along_activations(goal), {"a": SEEN["a"][:1].expand(5, -1, -1, -1)})
    assert_same(same, torch.ones_like(same), 1e-12)
    assert_same(of(along_activations(goal), {"a": 3 * SEEN["a"][:1].expand(5, -1, -1, -1)}), 3 * same, 1e-12)
    assert float(of(along_activations(goal), {"a": SEEN["a"][1:2].expand(5, -1, -1, -1)}).max()) < 0.2


def test_the_gram_matrix_by_hand():
    x = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    assert_same(gram(x), torch.tensor([[[2.5, 5.5], [5.5, 12.5]]]))


def test_diversity_is_none_among_equals_and_full_alone():
    equal = {"a": SEEN["a"][:1].expand(5, -1, -1, -1)}
    assert_same(of(diversity("a", axis=1), equal), torch.zeros(5, dtype=torch.float64), 1e-12)
    assert_same(
        diversity("a", axis=1)({"a": SEEN["a"][:1]}, PROBLEM.x0[:1], PROBLEM), torch.ones(1, dtype=torch.float64)
    )
    apart = of(diversity("a", axis=1))
    assert float(apart.min()) > 0.05
    assert diversity("a").together


def test_total_variation_by_hand():
    x = torch.tensor([[[[0.0, 1.0], [0.0, 3.0]]]])
    assert_same(total_variation()(None, x, PROBLEM), torch.tensor([(1 + 3) / 2 + (0 + 2) / 2]))
    assert_same(total_variation()(None, x[..., :1, :1], PROBLEM), torch.zeros(1))


# -------------------------------------------------------------------------------------------------------- the oracle
def eye():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 3)).double()


def asked(objective, net=None, wrapped=lambda oracle: oracle, fill=None):
    x = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x = x if fill is None else torch.full_like(x, fill)
    label = torch.tensor([0, 1])
    frozen = inputopt.Frozen(net or eye())
    oracle = wrapped(Autograd(frozen, objective.bound(network_geometry(frozen, x[:1], objective.layers)), never))
    seen, vjp = oracle(x, Problem(x, label, label), 0)
    return x, seen, vjp(torch.tensor([True, True]))


def test_layers_and_logits_in_one_forward():
    net = eye()
    x, seen, grad = asked(Channel("1", 2) + 0.1 * Class(1), net)
    assert_same(seen.loss, net[:2](x)[:, 2].mean((1, 2)) + 0.1 * net(x)[:, 1], 1e-9)
    assert_same(seen.outputs, net(x), 1e-9)
    x.requires_grad_()
    loss = (net[:2](x)[:, 2].mean((1, 2)) + 0.1 * net(x)[:, 1]).sum()
    assert_same(grad, torch.autograd.grad(loss, x)[0], 1e-9)


def test_a_layer_alone_has_the_full_networks_gradient_and_runs_nothing_behind():
    net = eye()
    net[3].register_forward_hook(lambda *_: pytest.fail("the last layer was run"))
    x, seen, grad = asked(Neuron("1", 2, 3, 3), net)
    x.requires_grad_()
    assert_same(grad, torch.autograd.grad(net[:2](x)[:, 2, 3, 3].sum(), x)[0], 1e-9)
    assert seen.outputs.shape == (2, 0)


def test_where_every_unit_is_dead_the_way_to_life_is_shown():
    net = eye()
    with torch.no_grad():
        net[0].bias.fill_(-5.0)
    _, _, dead = asked(Channel("1", 2), net)
    assert not bool(dead.any())
    x, seen, grad = asked(Channel("1", 2), net, with_relu_redirect)
    assert_same(seen.loss, torch.zeros(2, dtype=torch.float64))
    x.requires_grad_()
    assert_same(grad, torch.autograd.grad(net[0](x)[:, 2].mean((1, 2)).sum(), x)[0], 1e-9)  # as without the ReLU


def test_where_a_unit_lives_its_derivative_is_its_own():
    net = eye()
    assert_same(asked(Channel("1", 2), net)[2], asked(Channel("1", 2), net, with_relu_redirect)[2])


def test_objectives_are_frozen_and_still_minimised_by_the_losses_of_attacks():
    assert Objective(lambda outputs, x, problem: outputs.sum(1))(LOGITS, PROBLEM.x0, PROBLEM).shape == (5,)
