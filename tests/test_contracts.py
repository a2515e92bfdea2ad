"""Every direction, step, goal, objective and recipe passes every contract check of its kind, and none is missing."""

import importlib
import inspect
import pkgutil
from dataclasses import dataclass, replace
from functools import partial
from typing import get_type_hints

import attack_table
import pytest
import torch
from attack_table import EPS
from contracts import CHECKS, Asked, Recipe, assert_same, drawn, known_inputs, problem_of, small_net

import inputopt
import inputopt.search
from inputopt.attacks.attack import Attack
from inputopt.attacks.minimal_norm import sigma_zero
from inputopt.attacks.minimal_norm.minimal_norm_attack import MinimalNormAttack
from inputopt.attacks.run import AttackRun
from inputopt.nets.frozen import frozen
from inputopt.pictures.fitted_cppn import FittedCPPN
from inputopt.pictures.map_elites import MapElites
from inputopt.search import goals, norms, oracles, transforms
from inputopt.search.canvases import colours, cppn, fourier, maco, natural
from inputopt.search.objectives import (
    dlr,
    features,
    guide,
    layer_energy,
    logits,
    matching,
    objective,
    probability_scores,
    total_variation,
)
from inputopt.search.steps import bisection, directions, step


def fool(net, shape, seed, rows):
    return inputopt.fool(net, 2, shape, count=len(rows), seed=seed, confidence=0.9, steps=30)


def ascend(net, shape, seed, rows):
    x, y = known_inputs(frozen(net).dtype)
    x, y = x[rows].reshape(-1, *shape), y[rows]
    found = inputopt.ascend(net, x, y, steps=300)
    assert_same((x.flatten(1), y), tuple(value[rows] for value in known_inputs(x.dtype)))  # not written to
    return found


def dream(net, shape, seed, rows):
    x, _ = known_inputs(frozen(net).dtype)
    photo = x[0].reshape(1, 3, 4)
    found = inputopt.dream(net, photo, ["layers.0"], octaves=1, steps=4, jitter=1, seed=seed)
    assert_same(photo.flatten(), known_inputs(x.dtype)[0][0])  # not written to
    return found


def visualize(net, shape, seed, rows):
    settings = {"size": (3, 4), "steps": 4, "colours": 1, "seed": seed}
    numbers = [[0, 3, 1, 4, 2][row] for row in rows]
    found = inputopt.visualize(net, inputopt.Channel("layers.0", numbers) + inputopt.Class(1), **settings)
    x = torch.stack([picture.x for picture in (found if isinstance(found, list) else [found])])
    return Several(x.reshape(-1, *shape))


def recalled(name):
    def run(net, shape, seed, rows):
        x, _ = known_inputs(frozen(net).dtype)
        photo = x[0].reshape(1, 3, 4)
        settings = {"augment": 0.5} if name == "accentuate" else {}
        found = getattr(inputopt, name)(net, photo, ["layers.0"], steps=4, seed=seed, **settings)
        assert_same(photo.flatten(), known_inputs(x.dtype)[0][0])  # not written to
        return found

    return run


def evolve_images(net, shape, seed, rows):
    rules = MapElites(population=8, seed=seed)
    return inputopt.evolve_images(net, [1, 4], (1, 3, 4), 3, seed, confidence=0.999, rules=rules, hidden=3, depth=1)


@dataclass(frozen=True)
class Several:
    """The pictures of one call."""

    x: torch.Tensor


def chained(seed):
    steps = transforms.jitter(2, seed), transforms.scale(0.8, 1.3, seed), transforms.rotate(9, seed)
    return transforms.chained(*steps, transforms.noise(0.1, seed))


def on_images(direction):
    """A direction of images, on inputs of any rank: they are seen as images of one row."""

    def update(grad):
        return direction.function(grad.reshape(len(grad), 1, 1, -1)).reshape(grad.shape)

    return directions.Stateless(update)


ASKING = {
    "atlas",
    "attribution_sheet",
    "average",
    "objective_sheet",
    "pairs_sheet",
    "read_photo",
    "saliency",
    "spurious",
    "zoom",
}
"""Functions that find no input in the bounds; their own tests ask of them what they promise."""


def attack(name, norm, row):
    """An attack in one norm, as the recipes are called; its rows keep their ids wherever they are."""

    def run(net, shape, seed, rows):
        x, y = known_inputs(frozen(net).dtype)
        x, y = x[rows].reshape(-1, *shape), y[rows]
        found = row.made(name, norm, EPS[norm])(net, x, y, seed=seed, ids=rows)
        assert_same((x.flatten(1), y), tuple(value[rows] for value in known_inputs(x.dtype)))  # not written to
        assert_within(found, x, norm)
        return found

    return Recipe(run, cuts=([3, 1], [4, 3, 2, 1, 0]), seeded=row.seeded, looks=row.gradient_free)


def assert_within(found, x, norm):
    """Inside the ball exactly as measured, and `distance` is the measure."""
    moved = (found.x - x).flatten(1).abs()
    sizes = {"l0": (moved > 0).sum(1), "l1": moved.sum(1), "l2": moved.norm(dim=1), "linf": moved.amax(1)}
    size = sizes[norm] if norm in sizes else norms.find_norm(norm).size(found.x - x)
    assert float(size.max()) <= float(torch.tensor(EPS[norm], dtype=x.dtype))
    assert_same(found.distance, size.to(x.dtype), 1e-6)


def nearest_attack(name, norm, row):
    """A minimal-norm attack in one norm, likewise."""

    def run(net, shape, seed, rows):
        x, y = known_inputs(frozen(net).dtype)
        x, y = x[rows].reshape(-1, *shape), y[rows]
        found = row.made(name, norm, EPS[norm])(net, x, y, seed=seed, ids=rows)
        assert_same((x.flatten(1), y), tuple(value[rows] for value in known_inputs(x.dtype)))  # not written to
        size = norms.find_norm(norm).size(found.x - x)
        assert_same(found.distance, torch.where(found.success, size, torch.inf), 1e-6)
        assert bool(found.success.any())
        return found

    # FMN amplifies how some processors round a product by the size of the batch: by ten orders of magnitude in 20 steps
    tolerance = 1e-4 if name == "FMN" else 1e-9
    return Recipe(run, cuts=([3, 1], [4, 3, 2, 1, 0]), seeded=row.seeded, tolerance=tolerance)


def a_run():
    """An attack on a batch."""
    return AttackRun(inputopt.attacks.PGD("l2"), inputopt.Frozen(small_net()), problem_of((12,)), torch.arange(5))


def asked(wrap=lambda oracle: oracle, exact=True):
    """An oracle around the usual one, on inputs that are read as other classes here and there."""
    net = inputopt.Frozen(small_net(), bounds=(-1, 1))
    problem = problem_of((12,))
    plain = oracles.Autograd(net, logits.margin, goals.wrong)
    return Asked(wrap(plain), net, problem, problem.x0 + 0.1 * problem.x0.cos(), exact)


def judged_again(x, problem, index):
    """What a second draw might say."""
    return x.flatten(1).sum(1) > 0


def nearest():
    this = asked(exact=False)
    return replace(this, oracle=oracles.NearestBoundary(this.net, goals.wrong, norms.L2, classes=3))


def tiled():
    """The loss counts what tiles overlap in twice, and the derivative leaves it out."""
    torch.manual_seed(0)
    net = inputopt.Frozen(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.Tanh()).double())
    problem = problem_of((3, 9, 8))
    oracle = oracles.Tiled(oracles.Autograd(net, layer_energy.layer_energy(["1"]), goals.never), tile=4, seed=0)
    return Asked(oracle, net, problem, problem.x0, exact=False)


# made when checked, so that one that cannot be made fails alone
TABLE = {
    "direction": {
        "Stateless": lambda: directions.Stateless(torch.sign),
        "sign": lambda: directions.sign,
        "unit": lambda: directions.unit,
        "smooth": lambda: on_images(directions.smooth(0.7)),
        "over_mean": lambda: directions.over_mean,
        "over_largest": lambda: directions.over_largest,
        "steepest": lambda: directions.steepest(norms.L1),
        "ascent": lambda: directions.ascent(norms.L1),
        "Momentum": lambda: directions.Momentum(0.9),
        "Adam": lambda: directions.Adam(),
        "Chain": lambda: directions.Chain((directions.over_mean, directions.Momentum(0.5))),
        "chain": lambda: directions.chain(directions.Momentum(0.5), directions.unit),
    },
    "step": {
        "GradientStep": lambda: step.GradientStep(directions.chain(directions.Momentum(0.9), directions.sign), 0.3),
        "Stride": lambda: step.Stride(0.3, -0.75, 0.5),
        "BisectionStep": lambda: bisection.BisectionStep(norms.L1),
        **attack_table.steps(a_run()),
    },
    "goal": {
        "recognised": lambda: goals.recognised,
        "wrong": lambda: goals.wrong,
        "never": lambda: goals.never,
        "reached": lambda: goals.reached,
        "ahead_by": lambda: goals.ahead_by(0.1),
        "is_class": lambda: goals.is_class(1),
        "confident": lambda: goals.confident(0.4),
        "confidently_wrong": lambda: goals.confidently_wrong(0.4),
        "unrecognised": lambda: goals.unrecognised(0.4),
    },
    "objective": {
        "cross_entropy": lambda: logits.cross_entropy,
        "attack_cross_entropy": lambda: logits.attack_cross_entropy,
        "margin": lambda: logits.margin,
        "logit_difference": lambda: logits.logit_difference,
        "target_output": lambda: logits.target_output,
        "dlr": lambda: dlr.dlr,
        "relative_margin": lambda: dlr.relative_margin,
        "hinge": lambda: logits.hinge(10.0),
        "smooth_count": lambda: sigma_zero.smooth_count(0.001),
        "layer_energy": lambda: layer_energy.layer_energy(["hidden", "deep"]),
        "channel_energy": lambda: layer_energy.channel_energy("hidden", [0, 2], axis=1),
        "on_scores": lambda: probability_scores.on_scores(logits.margin, lambda outputs: outputs * 4.0),
        "guided": lambda: guide.guided({"hidden": drawn(1, 3, 4), "deep": drawn(1, 3, 2, 2, seed=1)}, axis=1),
        "Neuron": lambda: features.Neuron("hidden", 2, place=1, axis=1),
        "Channel": lambda: features.Channel("hidden", [0, 2, 1, 1, 0, 2], axis=1),
        "Layer": lambda: features.Layer("hidden"),
        "Direction": lambda: features.Direction("hidden", [0.3, -1.0, 2.0], axis=1),
        "Class": lambda: features.Class([3, 2, 1, 0, 4, 5]),
        "LogProbability": lambda: features.LogProbability([3, 2, 1, 0, 4, 5]),
        "objective_from_plain": lambda: features.objective_from_plain(
            ["*", ["Channel", "hidden", 1, {"axis": 1}], 2.0]
        ),
        "activation_distance": lambda: matching.activation_distance({"hidden": drawn(6, 3, 2, 2, seed=9)}),
        "along_activations": lambda: matching.along_activations({"hidden": drawn(1, 3, 2, 2, seed=9)}),
        "style_distance": lambda: matching.style_distance(
            {"hidden": drawn(6, 3, 2, 2, seed=9), "deep": drawn(1, 3, 2, 2)}, axis={"hidden": 1, "deep": 1}
        ),
        "diversity": lambda: matching.diversity("hidden", axis=1),
        "total_variation": lambda: total_variation.total_variation(),
    },
    "canvas": {
        "Fourier": lambda: lambda shape, low, high: fourier.Fourier(shape, colours.Squash(low, high)),
        "Natural": lambda: lambda shape, low, high: natural.Natural(fourier.Fourier(shape, colours.Squash(low, high))),
        "MACO": lambda: lambda shape, low, high: maco.MACO(shape, colours.Squash(low, high)),
        "CPPN": lambda: lambda shape, low, high: FittedCPPN(cppn.CPPN(shape, colours.Squash(low, high))),
    },
    "oracle": {
        "Autograd": asked,
        "NearestBoundary": nearest,
        "Tiled": tiled,
        "WrappedOracle": lambda: asked(
            lambda oracle: oracles.WrappedOracle(oracle, lambda oracle, *task: oracle(*task))
        ),
        "finished": lambda: asked(lambda oracle: oracles.finished(oracle, torch.sign), exact=False),
        "with_relu_redirect": lambda: asked(oracles.with_relu_redirect),
        "skipping_evaluation": lambda: asked(lambda oracle: oracles.skipping_evaluation(oracle, 2)),
        "confirmed": lambda: asked(lambda oracle: oracles.confirmed(oracle, judged_again)),
    },
    "transform": {
        "jitter": lambda: lambda seed: transforms.jitter(3, seed),
        "shift": lambda: lambda seed: transforms.shift(0.3, seed),
        "tint": lambda: lambda seed: transforms.tint(0.2, seed),
        "noise": lambda: lambda seed: transforms.noise(0.1, seed),
        # with a turn, since a mirror alone has but two ways to show an image
        "mirror": lambda: lambda seed: transforms.chained(transforms.mirror(seed), transforms.rotate(15, seed)),
        "scale": lambda: lambda seed: transforms.scale(0.8, 1.3, seed),
        "rotate": lambda: lambda seed: transforms.rotate(15, seed),
        "crop": lambda: lambda seed: transforms.crop(0.5, seed),
        "chained": lambda: chained,
    },
    "recipe": {
        "fool": lambda: Recipe(fool, cuts=([0], [0, 1, 2]), seeded=True),
        "ascend": lambda: Recipe(ascend, cuts=([3, 1], [4, 3, 2, 1, 0]), seeded=False),
        "dream": lambda: Recipe(dream, cuts=(), seeded=True),
        "visualize": lambda: Recipe(visualize, cuts=([3, 1], [4, 3, 2, 1, 0]), seeded=True, looks=True),
        "invert": lambda: Recipe(recalled("invert"), cuts=(), seeded=True),
        "accentuate": lambda: Recipe(recalled("accentuate"), cuts=(), seeded=True),
        "evolve_images": lambda: Recipe(evolve_images, cuts=(), seeded=True),
    },
    "attack": {
        f"{name}-{norm}": partial(attack if row.fixed_distance else nearest_attack, name, norm, row)
        for name, row in attack_table.ROWS.items()
        for norm in row.norms
    },
}


@pytest.mark.parametrize(
    ("check", "make"),
    [
        pytest.param(check, make, id=f"{name}-{check.__name__}")
        for kind, entries in TABLE.items()
        for name, make in entries.items()
        for check in CHECKS[kind]
    ],
)
def test_contract(check, make):
    check(make())


def public_names(package):
    """(name, value) of all that the modules of a package define for others."""
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        module = importlib.import_module(found.name)
        for name, value in vars(module).items():
            code = inspect.isclass(value) or inspect.isfunction(value)
            if not name.startswith("_") and not (code and value.__module__ != module.__name__):
                yield name, value


def classes_updated_with(argument):
    """The classes of the search whose `update` takes that argument; a protocol only says what they look like."""
    return tuple(
        value
        for _, value in (*public_names(inputopt.search), *public_names(inputopt.attacks))
        if inspect.isclass(value)
        and not getattr(value, "_is_protocol", False)
        and inspect.isfunction(getattr(value, "update", None))
        and argument in inspect.signature(value.update).parameters
    )


def discovered(kind):
    """The names of everything public of a kind: classes, their instances, and functions that make them."""
    if kind == "attack":
        exported = {name: getattr(inputopt.attacks, name) for name in inputopt.attacks.__all__}
        return {name for name, value in exported.items() if issubclass(value, Attack | MinimalNormAttack)}
    if kind == "recipe":
        exported = {name: getattr(inputopt, name) for name in inputopt.__all__}
        recipes = {name for name, value in exported.items() if inspect.isfunction(value)}
        made = {
            name
            for name in recipes
            if exported[name].__module__.startswith(("inputopt.pictures.", "inputopt.attribution."))
        }
        return made - ASKING
    if kind == "oracle":
        return set(oracles.__all__) - {"Oracle", "Vjp"}
    if kind == "canvas":
        classes = {name: vars(value) for name, value in public_names(inputopt.search) if inspect.isclass(value)}
        return {name for name, own in classes.items() if "start" in own and "__call__" in own}
    if kind == "transform":
        made = (transforms.Transform, transforms.Warp)
        return {
            name
            for name, value in vars(transforms).items()
            if inspect.isfunction(value) and name[0] != "_" and makes(value, made)
        }
    basic = {"goal": (goals.Goal,), "objective": (objective.Objective,)}
    kinds = basic[kind] if kind in basic else classes_updated_with({"direction": "grad", "step": "seen"}[kind])
    every = [*public_names(inputopt.search), *public_names(inputopt.attacks)]  # two modules may use one name
    made = {name for name, value in every if inspect.isfunction(value) and makes(value, kinds)}
    return made | {name for name, value in every if isinstance(value, kinds) or (kind not in basic and value in kinds)}


def makes(function, kinds):
    return get_type_hints(function).get("return") in kinds


@pytest.mark.parametrize("kind", CHECKS)
def test_nothing_public_is_missing_from_the_table(kind):
    assert discovered(kind) == {name.partition("-")[0] for name in TABLE[kind]}
