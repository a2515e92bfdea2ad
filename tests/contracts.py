"""The contract: one table of small named checks, and what they compare with.

A check takes one direction, step, goal, objective or recipe, and asserts. `test_contracts.py` applies every check of a
kind to everything of that kind.
"""

import copy
import functools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from model_state import state_of
from torch import Tensor, nn

import inputopt
from inputopt.pictures.fitted_cppn import FittedCPPN
from inputopt.search.problem import Evaluation, Problem, Region
from inputopt.search.projections import Box
from inputopt.search.rows import take
from inputopt.zoo.digits import Digits, load_digits

SHAPES = [(12,), (3, 4), (1, 3, 4)]
DTYPES = [torch.float32, torch.float64]
ROWS = 5
CLASSES = 6
BOX = Box(-0.75, 0.5)


# ---------------------------------------------------------------------------------------------------- what is compared
def leaves(tree: Any) -> Iterator[Tensor]:
    """Every tensor in nested tuples, dicts and dataclasses."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, dict):
        yield from leaves(tuple(tree.values()))
    elif isinstance(tree, (tuple, list)):
        for value in tree:
            yield from leaves(value)
    elif is_dataclass(tree):
        yield from leaves(tuple(getattr(tree, field.name) for field in fields(tree)))


def assert_same(left: Any, right: Any, within: float = 0.0) -> None:
    """The same tensors in both trees, exactly or within that much."""
    ours, theirs = list(leaves(left)), list(leaves(right))
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=within, equal_nan=True)


def assert_pure(function: Callable[..., Any], *arguments: Any) -> Any:
    """The same arguments give the same result twice, and are not written to; returns the result."""
    before = copy.deepcopy(arguments)
    first = function(*arguments)
    kept = copy.deepcopy(first)
    assert_same(function(*arguments), kept)
    assert_same(first, kept)
    assert_same(arguments, before)
    return first


def assert_rows_alone(function: Callable[..., Tensor], *arguments: Any) -> None:
    """Any choice of rows, in any order, gives those rows of the whole."""
    whole = function(*arguments)
    for chosen in ([1], [3, 0], [4, 3, 2, 1, 0]):
        rows = torch.tensor(chosen)
        assert_same(function(*(_rows_of(value, rows) for value in arguments)), whole[rows], 1e-12)


def _rows_of(tree: Any, rows: Tensor) -> Any:
    return {name: take(value, rows) for name, value in tree.items()} if isinstance(tree, dict) else take(tree, rows)


fingerprint = state_of
"""All of a module that a careless library might change."""


def chance_state() -> tuple[Any, ...]:
    """The state of every global generator."""
    kind, keys, *rest = np.random.get_state()
    return random.getstate(), kind, keys.tobytes(), *rest, torch.get_rng_state().numpy().tobytes()


# ----------------------------------------------------------------------------------------------------- what is searched
def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def small_net(dtype: torch.dtype = torch.float64, seed: int = 0) -> inputopt.MLP:
    """A network of 12 inputs and 6 classes, as sure of itself as a trained one."""
    net = inputopt.MLP([12, 16, CLASSES], "tanh", "identity", seed=seed).to(dtype)
    with torch.no_grad():
        net.weights[-1].mul_(4)
    return net


def known_inputs(dtype: torch.dtype = torch.float64, count: int = ROWS) -> tuple[Tensor, Tensor]:
    """Inputs [count, 12] in [0, 1], and the classes that `small_net` sees in them."""
    x = torch.rand(count, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)
    with torch.no_grad():
        return x, small_net(dtype)(x).argmax(1)


@functools.cache
def digits() -> Digits:
    """The digits, read once."""
    return load_digits()


@functools.cache
def digits_net() -> nn.Module:
    """The shipped perceptron, read once."""
    return inputopt.load("digits-mlp")


def problem_of(shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> Problem:
    """Examples inside `BOX`, with a target, a distance (in L0 of one element) and a box of their own."""
    x0 = 0.4 * drawn(ROWS, *shape, seed=2, dtype=dtype).tanh()
    label = torch.tensor([0, 1, 2, 1, 5])
    eps = torch.full((ROWS,), 1.5, dtype=dtype)
    region = Region(eps, x0 - 0.5, x0 + 0.5)
    return Problem(x0, label, torch.arange(ROWS), (label + 2) % CLASSES, region)


def seen_at(problem: Problem, seed: int) -> Evaluation:
    """What some network might have said of the examples."""
    dtype = problem.x0.dtype
    outputs, loss = drawn(ROWS, CLASSES, seed=seed, dtype=dtype), drawn(ROWS, seed=seed + 1, dtype=dtype)
    grad = drawn(*problem.x0.shape, seed=seed + 2, dtype=dtype)
    return Evaluation(problem.x0, outputs, loss, loss < 0, grad)


# ----------------------------------------------------------------------------------------------------------- directions
def _walk(direction: Any, *grads: Tensor) -> Tensor:
    state = direction.init(grads[0])
    for grad in grads:
        found, state = direction.update(grad, state)
    return found


def direction_is_pure(direction: Any) -> None:
    """Twice the same, and neither the gradient nor the state is written to."""
    for shape in SHAPES:
        state = assert_pure(direction.init, drawn(ROWS, *shape))
        _, state = direction.update(drawn(ROWS, *shape, seed=1), state)
        assert_pure(direction.update, drawn(ROWS, *shape, seed=2), state)


def direction_keeps_dtype_and_shape(direction: Any) -> None:
    """The direction is finite, and like the gradient."""
    for shape in SHAPES:
        for dtype in DTYPES:
            grad = drawn(ROWS, *shape, dtype=dtype)
            found = _walk(direction, grad, grad)
            assert (found.dtype, found.shape, found.device) == (grad.dtype, grad.shape, grad.device)
            assert torch.isfinite(found).all()


def direction_treats_rows_alone(direction: Any) -> None:
    """Each example's direction depends on its own gradients only."""
    grads = [drawn(ROWS, 3, 4, seed=seed) for seed in range(3)]
    assert_rows_alone(lambda *grads: _walk(direction, *grads), *grads)


def direction_state_can_be_cut(direction: Any) -> None:
    """Rows of the state go on as they would have in the whole: the state is batch-first."""
    one, two, rows = drawn(ROWS, 12, seed=1), drawn(ROWS, 12, seed=2), torch.tensor([4, 1])
    _, state = direction.update(one, direction.init(one))
    assert_same(direction.update(two[rows], take(state, rows))[0], direction.update(two, state)[0][rows], 1e-12)


def direction_leaves_zero_alone(direction: Any) -> None:
    """A gradient of zero gives no direction, and no NaN."""
    assert bool((_walk(direction, torch.zeros(ROWS, 12)) == 0).all())


# ---------------------------------------------------------------------------------------------------------------- steps
def _begun(problem: Problem) -> Tensor:
    """Where the steps begin: near x0, and not there, as some steps lead back to it."""
    return BOX(problem.x0 + 0.1 * problem.x0.cos(), problem)


def _go(step: Any, problem: Problem, *seens: Evaluation) -> Tensor:
    z = _begun(problem)
    state = step.init(z, problem)
    for seen in seens:
        z, state = step.update(z, seen, state, problem, BOX)
    return z


def step_is_pure(step: Any) -> None:
    """Twice the same, and no argument is written to."""
    for shape in SHAPES:
        problem = problem_of(shape)
        state = assert_pure(step.init, problem.x0, problem)
        z, state = assert_pure(step.update, problem.x0, seen_at(problem, 3), state, problem, BOX)
        assert_pure(step.update, z, seen_at(problem, 7), state, problem, BOX)


def step_stays_feasible(step: Any) -> None:
    """Something has moved, is inside the set, and of the dtype and shape that went in."""
    for dtype in DTYPES:
        for shape in SHAPES:
            problem = problem_of(shape, dtype)
            z = _go(step, problem, *(seen_at(problem, seed) for seed in range(4)))
            assert (z.dtype, z.shape, z.device) == (dtype, problem.x0.shape, problem.x0.device)
            assert bool(((z >= BOX.low) & (z <= BOX.high)).all())
            assert bool((z != _begun(problem)).any())


def step_treats_rows_alone(step: Any) -> None:
    """Each example's way depends on what was seen of it only."""
    problem = problem_of((3, 4))
    seens = [seen_at(problem, seed) for seed in range(3)]
    assert_rows_alone(lambda problem, *seens: _go(step, problem, *seens), problem, *seens)


def step_state_can_be_cut(step: Any) -> None:
    """Rows of the state go on as they would have in the whole."""
    problem, rows = problem_of((12,)), torch.tensor([4, 1])
    z, state = step.update(problem.x0, seen_at(problem, 1), step.init(problem.x0, problem), problem, BOX)
    whole, _ = step.update(z, seen_at(problem, 2), state, problem, BOX)
    part, _ = step.update(z[rows], take(seen_at(problem, 2), rows), take(state, rows), take(problem, rows), BOX)
    assert_same(part, whole[rows], 1e-12)


# ------------------------------------------------------------------------------------------------- goals and objectives
def goal_answers_each_example(goal: Any) -> None:
    """A bool an example, the same twice, from its own row only, in either dtype; ~ turns every answer round."""
    for dtype in DTYPES:
        outputs, problem = drawn(ROWS, CLASSES, dtype=dtype), problem_of((12,), dtype)
        found = assert_pure(goal, outputs, problem)
        assert (found.dtype, found.shape) == (torch.bool, (ROWS,))
        assert_rows_alone(goal, outputs, problem)
        assert_same((~goal)(outputs, problem), ~found)


def _said(objective: Any, dtype: torch.dtype) -> Any:
    if objective.layers:
        return {name: drawn(ROWS, 3, 2, 2, seed=8 + index, dtype=dtype) for index, name in enumerate(objective.layers)}
    return drawn(ROWS, CLASSES, dtype=dtype)


def objective_is_a_number_an_example(objective: Any) -> None:
    """Finite, [B], the same twice, from its own row only, in the dtype that went in."""
    for dtype in DTYPES:
        outputs, problem = _said(objective, dtype), problem_of((1, 3, 4), dtype)
        found = assert_pure(objective, outputs, problem.x0, problem)
        assert (found.dtype, found.shape) == (dtype, (ROWS,))
        assert torch.isfinite(found).all()
    if not objective.together:
        assert_rows_alone(objective, outputs, problem.x0, problem)


def objective_has_a_gradient_of_its_own(objective: Any) -> None:
    """Each number's derivative is not zero, the central difference, and zero in the other rows."""
    problem, outputs = problem_of((12,)), _said(objective, torch.float64)
    problem = replace(problem, x0=problem_of((1, 3, 4)).x0)
    parts = list(leaves(outputs)) if objective.layers or objective.logits else [problem.x0]  # or of the input alone
    for part in parts:
        part.requires_grad_()
    for row in range(ROWS):
        grads = torch.autograd.grad(objective(outputs, problem.x0, problem)[row], parts)
        moved = [set(grad.flatten(1).any(1).nonzero()[:, 0].tolist()) for grad in grads]
        assert set.union(*moved) == ({row} if not objective.together else set(range(ROWS)))
    assert torch.autograd.gradcheck(lambda *_: objective(outputs, problem.x0, problem), tuple(parts))


# ---------------------------------------------------------------------------------------------- canvases and transforms
SIZES = [(3, 8, 8), (3, 7, 9), (1, 6, 5), (2, 1, 4), (1, 3, 1), (3, 5, 2)]
IDS = torch.arange(ROWS)


def _painted(canvas: Any, z: Tensor) -> Tensor:
    return canvas(z, problem_of((12,)))


def canvas_starts_inside_the_bounds(make: Callable[..., Any]) -> None:
    """From the start on, every size and kind of number gives images of that shape inside the bounds, seeded by id."""
    for shape in SIZES:
        for low, high in ((0.0, 1.0), (-2.0, 0.5)):
            canvas = make(shape, low, high)
            for dtype in DTYPES:
                z = canvas.start(3, IDS).to(dtype)
                x = assert_pure(_painted, canvas, z)
                assert (x.shape, x.dtype) == ((ROWS, *shape), dtype)
                assert low <= float(x.min()) <= float(x.max()) <= high
            assert_same(canvas.start(3, IDS[[4, 1]]), canvas.start(3, IDS)[[4, 1]])
            assert not torch.equal(canvas.start(4, IDS), canvas.start(3, IDS))


def canvas_paints_rows_alone(make: Callable[..., Any]) -> None:
    """Each image, and its derivative, is its own z's."""
    canvas = make((3, 7, 6), 0.0, 1.0)
    z = canvas.start(0, IDS).double()
    assert_rows_alone(lambda z: _painted(canvas, z), z)
    z.requires_grad_()
    for row in range(ROWS):
        (grad,) = torch.autograd.grad(_painted(canvas, z)[row].square().sum(), z)
        assert torch.isfinite(grad).all()
        assert grad.flatten(1).any(1).nonzero()[:, 0].tolist() == [row]


def canvas_derives_as_it_paints(make: Callable[..., Any]) -> None:
    """The derivative is the central difference, at odd and even sizes."""
    for shape in ((1, 4, 4), (3, 3, 5)):
        canvas = make(shape, 0.0, 1.0)
        z = canvas.start(0, IDS[:1]).double().requires_grad_()
        assert torch.autograd.gradcheck(lambda z, canvas=canvas: _painted(canvas, z), (z,))


def canvas_comes_back_to_what_it_can_paint(make: Callable[..., Any]) -> None:
    """An image that came from the canvas is encoded as something that paints it again.

    A formula is found by a search, which may end at another one: up to 0.023 of the bounds' width apart in a pixel.
    """
    for shape in SIZES if not isinstance(make(SIZES[0], 0.0, 1.0), FittedCPPN) else SIZES[1:2]:  # a search each
        canvas = make(shape, -1.0, 2.0)
        x = _painted(canvas, canvas.start(1, IDS).double())
        assert_same(_painted(canvas, canvas.encode(x)), x, 3 * 0.04 if isinstance(canvas, FittedCPPN) else 1e-9)


def transform_draws_for_each_example(make: Callable[[int], Any]) -> None:
    """The same twice, by the example's id only, and another at the next step or with another seed."""
    transform, x, problem = make(0), drawn(ROWS, 3, 9, 8), problem_of((12,))
    found = assert_pure(transform, x, problem, 2)
    assert (found.shape, found.dtype) == (x.shape, x.dtype)
    assert transform(x.float(), problem, 2).dtype == torch.float32
    assert_rows_alone(lambda x, problem: transform(x, problem, 2), x, problem)
    for other in (transform(x, problem, 3), make(1)(x, problem, 2)):
        assert bool((other != found).flatten(1).any(1).all())
    equal = transform(x[:1].expand_as(x), problem, 2)
    assert len({image.numpy().tobytes() for image in equal}) == ROWS  # no draw shared by the batch


def transform_derives_as_it_moves(make: Callable[[int], Any]) -> None:
    """The derivative is the central difference."""
    x, problem = drawn(2, 2, 4, 5).requires_grad_(), take(problem_of((12,)), torch.tensor([1, 2]))
    assert torch.autograd.gradcheck(lambda x: make(0)(x, problem, 1), (x,))


# -------------------------------------------------------------------------------------------------------------- oracles
@dataclass(frozen=True)
class Asked:
    """An oracle, and what it is asked.

    Attributes:
        oracle: made anew for each check.
        net: what it runs, which counts on its own.
        problem, z: examples, and where they are.
        exact: whether what it gives is the derivative of the loss.
    """

    oracle: Any
    net: inputopt.Frozen
    problem: Problem
    z: Tensor
    exact: bool = True

    def __call__(self, rows: Tensor | None = None, z: Tensor | None = None) -> tuple[Evaluation, Any]:
        z, rows = self.z if z is None else z, torch.arange(ROWS) if rows is None else rows
        return self.oracle(z[rows], take(self.problem, rows), 1)


def oracle_judges_each_row(asked: Asked) -> None:
    """The same twice, detached, batch-first and finite; nothing given is written to, and no row sees another."""
    before = copy.deepcopy((asked.z, asked.problem))
    seen, vjp = asked()
    grad = vjp(None)
    assert (seen.loss.shape, seen.success.shape, seen.success.dtype) == ((ROWS,), (ROWS,), torch.bool)
    assert (grad.shape, grad.dtype) == (asked.z.shape, asked.z.dtype)
    assert bool(torch.isfinite(grad).all() & torch.isfinite(seen.loss).all())
    assert not any(value.requires_grad for value in leaves((seen, grad)))
    again, vjp = asked()
    assert_same((again, vjp(None)), (seen, grad))
    for rows in (torch.tensor([1]), torch.tensor([3, 0]), torch.tensor([4, 3, 2, 1, 0])):
        alone, vjp = asked(rows)
        assert_same((alone, vjp(None)), (take(seen, rows), grad[rows]), 1e-12)
    assert_same((asked.z, asked.problem), before)


def oracle_derives_the_rows_asked_for(asked: Asked) -> None:
    """Rows by position come in their order, and those of a mask in the batch's."""
    whole = asked()[1](None)
    for active in (torch.tensor([4, 1]), torch.tensor([2]), torch.tensor([True, False, True, True, False])):
        assert_same(asked()[1](active), whole[active], 1e-12)


def oracle_counts_what_it_runs(asked: Asked) -> None:
    """For each example, as often as the network ran it; a derivative that nobody asks for is not counted."""
    asked()[1](None)
    forwards, backwards = asked.oracle.meter.totals(asked.problem.example)
    assert (int(forwards.sum()), int(backwards.sum())) == (asked.net.forwards, asked.net.backwards)
    asked()
    more, same = asked.oracle.meter.totals(asked.problem.example)
    assert int(more.sum()) == asked.net.forwards > int(forwards.sum())
    if asked.exact:  # some derive as they judge
        assert_same(same, backwards)


def oracle_derives_its_loss(asked: Asked) -> None:
    """The derivative is the central difference along any line."""
    if not asked.exact:
        return
    grad, step = asked()[1](None), 1e-5 * drawn(*asked.z.shape, seed=9)
    ahead, behind = (asked(z=asked.z + sign * step)[0].loss for sign in (1, -1))
    assert_same((ahead - behind) / 2, (grad * step).flatten(1).sum(1), 1e-9)


# -------------------------------------------------------------------------------------------------------------- recipes
@dataclass(frozen=True)
class Recipe:
    """A recipe as a function of (network, shape of an example, seed, rows).

    Attributes:
        run: what is called; anything with an `.x`.
        cuts: the choices of rows that it can be asked for; none for a recipe that makes one picture.
        seeded: whether another seed should give another result.
        looks: whether it sees a shape as an image, so that the same numbers in another shape are another task.
        tolerance: of numbers in float64, between batches.
    """

    run: Callable[[Any, tuple[int, ...], int, list[int]], Any]
    cuts: tuple[list[int], ...]
    seeded: bool
    looks: bool = False
    tolerance: float = 1e-9

    def __call__(self, net: Any, shape: tuple[int, ...] = (1, 3, 4), seed: int = 0) -> Any:
        return self.run(net, shape, seed, list(range(ROWS)))


def recipe_is_seeded(recipe: Recipe) -> None:
    """The same seed gives the same bits, another seed another result, and no global generator is touched or heard."""
    before = chance_state()
    first = recipe(small_net())
    assert chance_state() == before
    torch.manual_seed(99)
    assert_same(recipe(small_net()), first)
    assert recipe.seeded is not torch.equal(recipe(small_net(), seed=1).x, first.x)


def recipe_stays_in_bounds(recipe: Recipe) -> None:
    """Nothing leaves the bounds, and it is not a black image."""
    low, high = -0.5, 1.25
    x = recipe(inputopt.Frozen(small_net(), bounds=(low, high))).x
    assert low <= float(x.min()) < float(x.max()) <= high


def recipe_keeps_dtype_and_device(recipe: Recipe) -> None:
    """Results are of the dtype that the network and its inputs are of, detached, and where they are."""
    for value in leaves(recipe(small_net(torch.float32))):  # the other checks run in float64
        assert value.device.type == "cpu"
        assert not value.requires_grad
        assert value.dtype == torch.float32 or not value.is_floating_point()


def recipe_takes_any_rank(recipe: Recipe) -> None:
    """The shape of an example is only a shape: the numbers are the same."""
    found = {shape: recipe(small_net(), shape).x for shape in (SHAPES if recipe.cuts else [])}
    for shape, x in found.items():
        assert x.shape == (ROWS, *shape)
        if not recipe.looks:
            assert_same(x.flatten(1), found[SHAPES[0]], 1e-12)


def recipe_does_not_see_the_batch(recipe: Recipe) -> None:
    """A batch = some of it = permuted: counts exactly, numbers to 1e-9 in float64, or to the recipe's tolerance."""
    whole = recipe(small_net())
    for rows in recipe.cuts:
        assert_same(recipe.run(small_net(), (1, 3, 4), 0, rows), take(whole, torch.tensor(rows)), recipe.tolerance)


def recipe_leaves_the_model_alone(recipe: Recipe) -> None:
    """Modes, gradients, hooks, buffers and weights are what they were."""
    net = small_net().train()
    net(drawn(ROWS, 12)).square().sum().backward()
    before = fingerprint(net)
    recipe(net)
    assert fingerprint(net) == before


RECIPE_CHECKS = (
    recipe_is_seeded,
    recipe_stays_in_bounds,
    recipe_keeps_dtype_and_device,
    recipe_takes_any_rank,
    recipe_does_not_see_the_batch,
    recipe_leaves_the_model_alone,
)
CHECKS: dict[str, tuple[Callable[[Any], None], ...]] = {
    "direction": (
        direction_is_pure,
        direction_keeps_dtype_and_shape,
        direction_treats_rows_alone,
        direction_state_can_be_cut,
        direction_leaves_zero_alone,
    ),
    "step": (step_is_pure, step_stays_feasible, step_treats_rows_alone, step_state_can_be_cut),
    "goal": (goal_answers_each_example,),
    "objective": (objective_is_a_number_an_example, objective_has_a_gradient_of_its_own),
    "canvas": (
        canvas_starts_inside_the_bounds,
        canvas_paints_rows_alone,
        canvas_derives_as_it_paints,
        canvas_comes_back_to_what_it_can_paint,
    ),
    "oracle": (
        oracle_judges_each_row,
        oracle_derives_the_rows_asked_for,
        oracle_counts_what_it_runs,
        oracle_derives_its_loss,
    ),
    "transform": (transform_draws_for_each_example, transform_derives_as_it_moves),
    "recipe": RECIPE_CHECKS,
    "attack": RECIPE_CHECKS,
}
