"""Base class of attacks at a fixed distance, and the argument checks and regions shared by all attacks."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from inputopt import checks
from inputopt.attacks.batches import alone, in_batches
from inputopt.attacks.config import AttackConfig, checked_by, flag, lengths, setting
from inputopt.attacks.reevaluation import judged_alone, judged_on_fresh_draws, same_alone
from inputopt.attacks.run import SEARCHING, AttackRun, check_levels
from inputopt.attacks.user_functions import Aim, Loss, goal_of, objective_of
from inputopt.nets.ambient import ambient
from inputopt.nets.frozen import Frozen, frozen
from inputopt.search.goals import Goal
from inputopt.search.inputs import InputoptWarning, check_problem
from inputopt.search.loop import Watch
from inputopt.search.network_draws import keyed, unseeded
from inputopt.search.network_traits import PROBABILITIES, NetworkTraits
from inputopt.search.norms import Norm, find_norm
from inputopt.search.objectives.objective import Objective
from inputopt.search.problem import Problem, Region
from inputopt.search.result import Result, scatter
from inputopt.search.rows import per_example, take

Model = Frozen | nn.Module | Callable[[Tensor], Any]


@dataclass(frozen=True)
class Attack(AttackConfig):
    """Settings of an attack at a fixed distance; calling it perturbs inputs.

    Attributes:
        norm: "l0", "l1", "l2" or "linf".
        eps: radius of the ball: a number, one per example [B], or in Linf one per element, [B, ...] or [...].
        stop_on_success: drop an example as soon as it succeeds; if false, the loss is minimised up to the last step,
            as transfer attacks and adversarial training need.
        levels, mask, eot_samples, transform: as for `AttackConfig`.
    """

    takes_loss: ClassVar[bool] = True
    """Whether the attack accepts a user-supplied loss."""

    norm: str = "linf"
    eps: float | Tensor = setting(0.1, lengths)
    stop_on_success: bool = field(default=True, kw_only=True, metadata=checked_by(flag))

    @ambient()
    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Any = None,
        target: Any = None,
        loss: Loss | None = None,
        goal: Aim | None = None,
        seed: int = 0,
        ids: Any = None,
        watch: Watch | None = None,
    ) -> Result:
        """Perturb each input by at most eps so that it is misclassified, or classified as the target.

        Computed in float64 if the network or x is float64, else in float32, on the network's device.

        Args:
            model: a network, frozen or not; if not, its inputs are assumed to lie in [0, 1].
            x: inputs [B, ...] within the bounds, a floating-point tensor or array.
            y: labels [B] of any integer dtype; default: the network's predictions.
            target: target classes, a number or [B]; default: untargeted. Examples whose label is their target are
                skipped.
            loss: loss to minimise instead of the attack's own: (outputs, x, problem) -> [B].
            goal: success criterion instead of a wrong class or the target: (outputs, problem) -> bool [B].
            seed: random seed; each example's random numbers depend on it and on the example's id.
            ids: int64 [B], which key the random numbers of each example; default: the position in the batch.
            watch: callback called at every step.

        Returns:
            The result; `distance` is in the attack's norm, and where `success` is false, `x` is the best failure.

        Raises:
            ValueError, TypeError: an invalid argument, before any computation.
        """
        net, seed = frozen(model), checks.seed(seed)
        if loss is not None and not self.takes_loss:
            raise ValueError(f"{type(self).__name__} goes by differences of logits; give a loss to PGD or APGD.")
        problem, traits = checked(self, net, x, y, target, ids, goal)
        problem = replace(problem, region=bounded(net, problem, find_norm(self.norm), self.eps, self.mask))
        return called(self, net, problem, traits, seed, watch, objective_of(loss), goal_of(goal))


def checked(
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


def called(
    attack: AttackConfig,
    net: Frozen,
    problem: Problem,
    known: NetworkTraits,
    seed: int,
    watch: Watch | None,
    loss: Objective | None = None,
    goal: Goal | None = None,
    start: Tensor | None = None,
    check_alone: bool = True,
) -> Result:
    """Run an attack batch by batch; unless there is a goal, examples whose label is their target are skipped.

    `check_alone`: whether to evaluate a few successes one at a time, in case the network's output depends on the batch.
    """

    varies = known.varies or attack.transform is not None
    draws = keyed(seed, SEARCHING) if known.varies else unseeded

    def attack_batch(part: Problem, rows: Tensor) -> Result:
        with draws(0):
            return attack_and_check(part, rows)

    def attack_and_check(part: Problem, rows: Tensor) -> Result:
        begin = None if start is None else start[rows]
        run = AttackRun(attack, net, part, rows, len(problem.x0), seed, varies, watch, loss, goal, begin)
        found = attack._search(run)
        if varies:
            found = judged_on_fresh_draws(run, found)
        elif known.batch_dependent or (check_alone and not same_alone(run, found)):
            found = judged_alone(run, found)
        forwards, backwards = run.meter.totals(part.example)
        nonfinite = found.nonfinite | run.meter.nonfinite(part.example)
        return replace(found, forwards=forwards, backwards=backwards, nonfinite=nonfinite, label=part.label)

    skipped = torch.zeros_like(problem.label, dtype=torch.bool)
    if problem.target is None or goal is not None:
        return in_batches(net, problem, attack_batch, attack.rows)
    skipped = problem.label == problem.target
    if not bool(skipped.any()):
        return in_batches(net, problem, attack_batch, attack.rows)
    return _search_unskipped(skipped, net, problem, attack_batch, attack)


def _search_unskipped(skipped: Tensor, net: Frozen, problem: Problem, search: Any, attack: AttackConfig) -> Result:
    """Search the examples whose label is not their target; the others are returned unperturbed."""
    count = int(skipped.sum())
    warnings.warn(
        f"{count} of {len(skipped)} examples have their target as their label: they are skipped, and unsuccessful.",
        InputoptWarning,
        stacklevel=5,
    )
    rows = (~skipped).nonzero()[:, 0]
    unperturbed = _unperturbed(net, problem, skipped)
    if not len(rows):
        return unperturbed
    found = in_batches(net, take(problem, rows), lambda part, places: search(alone(part), rows[places]), attack.rows)
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


def bounded(net: Frozen, problem: Problem, norm: Norm, eps: float | Tensor, mask: Tensor | None) -> Region:
    """The ball and box of each example.

    Args:
        net: the network.
        problem: the examples, within the network's bounds.
        norm: norm of the ball.
        eps: radius: a number, one per example, or in Linf one per element; infinity for no ball.
        mask: which elements may change, broadcast with x0; None for all.

    Raises:
        ValueError: an eps or a mask that does not fit the inputs.
    """
    x, region = problem.x0, problem.region
    distance = torch.as_tensor(eps, dtype=x.dtype, device=x.device)
    if distance.ndim and distance.shape != (len(x),):
        return _bounded_per_element(region, x, norm, distance, mask)
    distance = distance.expand(len(x)).clone()
    low, high = norm.box(x, distance, region.low, region.high)
    return _masked(Region(distance, low, high, unit=region.unit), x, mask)


def _bounded_per_element(region: Region, x: Tensor, norm: Norm, eps: Tensor, mask: Tensor | None) -> Region:
    """The box for one eps per element (Linf only)."""
    try:
        each = eps.expand(x.shape)
    except RuntimeError as error:
        raise ValueError(
            f"eps must be a number, {len(x)} of them, one an input, or numbers of the inputs' shape "
            f"{list(x.shape[1:])}, not of shape {list(eps.shape)}."
        ) from error
    if not norm.is_box:
        raise ValueError(f"eps for each number is for linf; in {norm.name} give a number or one for each input.")
    low, high = norm.box(x, each, region.low, region.high)
    return _masked(Region(each.flatten(1).amax(1), low, high, unit=region.unit), x, mask)


def _masked(region: Region, x: Tensor, mask: Tensor | None) -> Region:
    if mask is None:
        return region
    try:
        may_change = mask.to(x.device).expand(x.shape)
    except RuntimeError as error:
        raise ValueError(
            f"mask must be bool and broadcast with the inputs {list(x.shape)}, not of shape {list(mask.shape)}."
        ) from error
    low, high = torch.where(may_change, region.low, x), torch.where(may_change, region.high, x)
    return replace(region, low=low, high=high, mask=may_change)


def widened(region: Region, problem: Problem, width: float, norm: Norm, net: Frozen) -> Region:
    """The region with its ball enlarged by the factor `width`; the mask still applies."""
    return resized(problem, region.eps * width, norm, net)


def resized(problem: Problem, eps: Tensor, norm: Norm, net: Frozen) -> Region:
    """The region with balls of radius `eps` [B] around the same examples; the mask still applies."""
    x, region = problem.x0, problem.region
    if not norm.is_box:
        return replace(region, eps=eps)
    low, high = (bound.expand(x.shape) for bound in net.box(x))
    low, high = norm.box(x, eps, torch.minimum(low, x), torch.maximum(high, x))
    if region.mask is not None:
        low, high = torch.where(region.mask, low, x), torch.where(region.mask, high, x)
    return replace(region, eps=eps, low=low, high=high)


__all__ = ["Attack", "bounded", "called", "checked", "per_example", "resized", "widened"]
