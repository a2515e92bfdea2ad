"""Base class of attacks at a fixed distance, and the argument checks and the batching that all attacks share."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from inputopt import checks
from inputopt.attacks.batches import in_batches, renumbered
from inputopt.attacks.config import AttackConfig, checked_by, flag, lengths, optional, setting
from inputopt.attacks.reevaluation import is_batch_independent, reevaluate_on_fresh_draws, reevaluate_one_by_one
from inputopt.attacks.regions import ball_region
from inputopt.attacks.run import SEARCHING, AttackRun, check_levels
from inputopt.attacks.user_functions import GoalLike, LossLike, goal_of, objective_of
from inputopt.nets.default_modes import default_modes
from inputopt.nets.frozen import Frozen, frozen
from inputopt.search.canvases.canvas import Canvas
from inputopt.search.eps_range import check_eps, eps_or_default
from inputopt.search.goals import Goal
from inputopt.search.inputs import InputoptWarning, Inputs, check_problem
from inputopt.search.loop import Watch
from inputopt.search.network_draws import keyed, unseeded
from inputopt.search.network_traits import PROBABILITIES, NetworkTraits
from inputopt.search.norms import NormName, find_norm
from inputopt.search.objectives.objective import Objective
from inputopt.search.problem import Problem
from inputopt.search.query_counter import QueryCounter
from inputopt.search.result import Result, scatter
from inputopt.search.result_origin import provenance, settings_of
from inputopt.search.rows import take

Model = Frozen | nn.Module | Callable[[Tensor], Any]


@dataclass(frozen=True)
class Attack(AttackConfig):
    """Settings of an attack at a fixed distance; calling it perturbs inputs.

    Attributes:
        norm: "l0", "l1", "l2" or "linf".
        eps: radius of the ball: a number, one per example [B], or in Linf one per element, [B, ...] or [...]. Default:
            0.1 in Linf, 0.5 in L2, 12 in L1 and 24 in L0 (`search.eps_range.DEFAULT_EPS`), for inputs in [0, 1].
        stop_on_success: drop an example as soon as it succeeds; if false, the loss is minimised up to the last step,
            as transfer attacks and adversarial training need.
        levels, mask, eot_samples, transform: as for `AttackConfig`.
    """

    takes_loss: ClassVar[bool] = True
    """Whether the attack accepts a user-supplied loss."""
    gradient_free: ClassVar[bool] = False
    """Whether the attack uses the model's outputs only."""

    norm: NormName = "linf"
    eps: float | Tensor = setting(None, optional(lengths))
    stop_on_success: bool = field(default=True, kw_only=True, metadata=checked_by(flag))

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "eps", eps_or_default(self.eps, self.norm))

    @default_modes()
    def __call__(
        self,
        model: Model,
        x: Inputs,
        y: Any = None,
        target: Any = None,
        loss: LossLike | None = None,
        goal: GoalLike | None = None,
        seed: int = 0,
        ids: Any = None,
        watch: Watch | None = None,
    ) -> Result:
        """Perturb each input by at most eps so that it is misclassified, or classified as the target.

        Computed in float64 if the network or x is float64, else in float32, on the network's device.

        Args:
            model: a network, frozen or not; if not, its inputs are assumed to lie in [0, 1].
            x: inputs [B, ...] within the bounds, a floating-point tensor or array.
            y: labels [B] of any integer dtype, or names as for target; default: the network's predictions.
            target: target classes, a number or [B], or the names of the network's classes, "daisy";
                default: untargeted. Examples whose label is their target are skipped.
            loss: loss to minimise instead of the attack's own: (outputs, x, problem) -> [B].
            goal: success criterion instead of a wrong class or the target: (outputs, problem) -> bool [B].
            seed: random seed; each example's random numbers depend on it and on the example's id.
            ids: int64 [B], which key the random numbers of each example; default: the position in the batch.
            watch: callback called at every step.

        Returns:
            The result; `distance` is in the attack's norm, and where `success` is false, `x` is the best failure. An
            input that meets the goal already is a success where the search starts, which may be a random point of the
            ball: x itself is only evaluated by attacks that start there.

        Raises:
            ValueError, TypeError: an invalid argument, before any computation.
        """
        net, seed = frozen(model), checks.seed(seed)
        if loss is not None and not self.takes_loss:
            raise ValueError(
                f"{type(self).__name__} uses differences of logits and does not accept a loss; use PGD or APGD."
            )
        problem, traits = check_arguments(self, net, x, y, target, ids, goal)
        check_eps(self.eps, find_norm(self.norm), net, problem.x0, self.levels)
        problem = replace(problem, region=ball_region(net, problem, find_norm(self.norm), self.eps, self.mask))
        objective, wanted, meters = objective_of(loss), goal_of(goal), list[QueryCounter]()
        found = run_in_batches(self, net, problem, traits, seed, watch, objective, wanted, meters=meters)
        warn_of_zero_gradients(found, meters)
        return recorded(found, self, net, seed, target=target is not None, loss=loss, goal=goal)


def warn_of_zero_gradients(found: Result, meters: Sequence[QueryCounter]) -> None:
    """Warn if some examples were not fooled and no gradient of the attack had an element that led anywhere."""
    flat = [meter.only_zero_gradients for meter in meters if meter.has_gradients]
    if not flat or not all(flat) or bool(found.success.all()):
        return
    kind = "NaN or infinite" if bool(found.nonfinite[~found.success].all()) else "zero"
    warnings.warn(
        f"Every gradient of this attack was {kind}, so it could not search, and its failures say nothing about the "
        "network; use evaluate with adapt=True (`inputopt evaluate MODEL --adapt`), or a gradient-free attack such as "
        "Square.",
        InputoptWarning,
        stacklevel=4,
    )


def recorded(found: Result, attack: AttackConfig, net: Frozen, seed: int, **call: Any) -> Result:
    """The result with a record of the attack, and of the arguments of its call that were given."""
    given = {name: value for name, value in call.items() if value}
    settings = {**settings_of(attack), **given}
    return replace(found, made_by=provenance(type(attack).__name__, net, attack.norm, seed, settings))


def check_arguments(
    attack: AttackConfig, net: Frozen, x: Any, y: Any, target: Any, ids: Any, goal: Any = None
) -> tuple[Problem, NetworkTraits]:
    """Check the arguments of an attack's call; return the problem and the network's traits.

    Warns if the model seems to return probabilities.
    """
    problem, traits = check_problem(net, x, y, ids, target)
    check_levels(attack.levels, net, problem.x0, find_norm(attack.norm))
    if traits.probabilities and goal is None:
        warnings.warn(PROBABILITIES, InputoptWarning, stacklevel=4)
    return problem, traits


def run_in_batches(
    attack: AttackConfig,
    net: Frozen,
    problem: Problem,
    traits: NetworkTraits,
    seed: int,
    watch: Watch | None,
    loss: Objective | None = None,
    goal: Goal | None = None,
    start: Tensor | None = None,
    check_batch: bool = True,
    canvas: Canvas | None = None,
    meters: list[QueryCounter] | None = None,
) -> Result:
    """Run an attack batch by batch; without a goal, examples whose label is their target are skipped.

    `check_batch`: whether to detect logits that depend on the batch, by evaluating a few successes one at a time;
    `canvas`: instead of that of the attack's levels; `meters`: a list that the counter of each batch is added to.
    """
    stochastic = traits.stochastic or attack.transform is not None
    draws = keyed(seed, SEARCHING) if traits.stochastic else unseeded

    def attack_batch(part: Problem, positions: Tensor) -> Result:
        """Search one batch, and evaluate its final inputs again where one forward is not conclusive."""
        own_start = None if start is None else start[positions]
        run = AttackRun(
            attack,
            net,
            part,
            positions,
            len(problem.x0),
            seed,
            stochastic,
            watch,
            loss,
            goal,
            own_start,
            traits.scores,
            canvas,
        )
        if meters is not None:
            meters.append(run.meter)
        with draws(0):
            found = attack._search(run)
            if stochastic:
                found = reevaluate_on_fresh_draws(run, found)
            elif traits.batch_dependent or (check_batch and not is_batch_independent(run, found)):
                found = reevaluate_one_by_one(run, found)
        forwards, backwards = run.meter.totals(part.example)
        nonfinite = found.nonfinite | run.meter.nonfinite(part.example)
        return replace(found, forwards=forwards, backwards=backwards, nonfinite=nonfinite, label=part.label)

    if problem.target is not None and goal is None:
        skipped = problem.label == problem.target
        if bool(skipped.any()):
            return _search_unskipped(skipped, net, problem, attack_batch, attack)
    return in_batches(net, problem, attack_batch, attack.rows_per_example)


def _search_unskipped(skipped: Tensor, net: Frozen, problem: Problem, search: Any, attack: AttackConfig) -> Result:
    """Search the examples whose label is not their target; the others are returned unperturbed."""
    count = int(skipped.sum())
    warnings.warn(
        f"{count} of {len(skipped)} examples have a target equal to their label: they are skipped and count as "
        "unsuccessful.",
        InputoptWarning,
        stacklevel=5,
    )
    rows = (~skipped).nonzero()[:, 0]
    unperturbed = _unperturbed(net, problem, skipped)
    if not len(rows):
        return unperturbed
    found = in_batches(
        net,
        take(problem, rows),
        lambda part, positions: search(renumbered(part), rows[positions]),
        attack.rows_per_example,
    )
    return scatter(unperturbed, rows, found, lambda new, old: torch.ones_like(new.success))


@torch.no_grad()
def _unperturbed(net: Frozen, problem: Problem, skipped: Tensor) -> Result:
    """The unperturbed inputs as an unsuccessful result."""
    logits = torch.cat([net(part) for part in torch.split(problem.x0, 512)])
    count, zero = torch.zeros_like(problem.label), torch.zeros(len(logits), dtype=logits.dtype, device=logits.device)
    false = torch.zeros_like(skipped)
    return Result(
        problem.x0, false, zero, logits.argmax(1), logits, zero, count, count, false, problem.label, skipped, zero
    )
