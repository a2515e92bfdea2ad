"""Attacks on a network with a reject class, for which a rejected input is not fooled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import torch
from torch import Tensor

from inputopt.attacks.attack import run_in_batches
from inputopt.attacks.pgd import PGD
from inputopt.evaluation.remedies.attack_network import AttackNetwork, traits_of
from inputopt.evaluation.state import EvaluationState
from inputopt.evaluation.threat import Threat
from inputopt.search.goals import Goal
from inputopt.search.objectives.logits import log_odds, others_first
from inputopt.search.objectives.objective import Objective
from inputopt.search.problem import Problem
from inputopt.search.rows import take
from inputopt.wilson_interval import accuracy_text

Value = Callable[[Tensor, Problem, int], Tensor]

TARGETS = 3
"""Likeliest classes that are targeted, after an untargeted attack."""

STEPS = 40
"""Steps of each attack."""

AT_ONCE = 256
"""Inputs in one forward."""


@dataclass(frozen=True)
class Rejection:
    """Robustness where a rejected input counts as withstood.

    Attributes:
        number: the reject class.
        robust: whether each input is classified correctly or rejected after every attack, bool [B].
    """

    number: int
    robust: Tensor

    def __str__(self) -> str:
        share = accuracy_text(float(self.robust.double().mean()), len(self.robust))
        return (
            f"Attacks that avoid class {self.number} leave {share} of the inputs correctly classified or rejected: the "
            "accuracy if a rejection counts as withstood."
        )


def reject_class_of(label: Tensor, classes: int) -> int:
    """The class that is the label of none; the last one if there are several."""
    seen = torch.zeros(classes, dtype=torch.bool, device=label.device)
    seen[label] = True
    return int((~seen).nonzero()[-1, 0])


def attack_despite_rejection(threat: Threat, networks: Sequence[AttackNetwork], state: EvaluationState) -> Rejection:
    """Attack every input with success defined as a wrong class other than the reject class.

    Images that other attacks have found count too, if they are in such a class.

    Args:
        threat: the network, the inputs and how they may change.
        networks: the networks that attacks run on.
        state: the state after all other attacks.
    """
    problem = threat.problem
    number = reject_class_of(problem.label, threat.traits.classes)
    goal = Goal(lambda outputs, part: ~_protected(outputs, part, number).gather(1, outputs.argmax(1)[:, None])[:, 0])
    logits = _logits(threat, problem.x0)
    losses = [Objective(partial(_by_outputs, value, number)) for value in (_confident, _accepted)]
    robust = ~goal(logits, problem) & ~goal(_logits(threat, state.x), problem)
    for network in networks:
        if threat.progress is not None:
            threat.progress(f"{network.name}: PGD that avoids class {number}", int(robust.sum()))
        for targets, loss in product(_targets(logits, problem, number), losses):
            rows = robust.nonzero()[:, 0]
            if not len(rows):
                break
            part = take(replace(problem, target=targets), rows)
            part = replace(part, example=torch.arange(len(rows), device=rows.device))
            attack = PGD(norm=threat.norm, steps=STEPS, levels=threat.levels, eot_samples=network.eot_samples)
            traits = traits_of(network, threat.traits)
            try:
                found = run_in_batches(
                    attack, network.net, part, traits, threat.seed, None, loss, goal, check_batch=False
                )
            except (TypeError, ValueError, RuntimeError):  # no derivative
                break
            fooled = found.success if threat.traits.stochastic else goal(_logits(threat, found.x), part)
            robust = robust.index_fill(0, rows[fooled], False)
    return Rejection(number, robust)


@torch.no_grad()
def _logits(threat: Threat, x: Tensor) -> Tensor:
    """The network's own logits of inputs [B, ...]; one by one if they depend on the batch."""
    size = 1 if threat.traits.batch_dependent else AT_ONCE
    return torch.cat([threat.net(part) for part in torch.split(x, size)])


def _targets(logits: Tensor, problem: Problem, number: int) -> list[Tensor | None]:
    """No target, then each example's likeliest wrong classes, [B] each."""
    ranked = others_first(logits, problem.label, logits.shape[1] - 1)
    kept = ranked[ranked != number].reshape(len(ranked), -1) if logits.shape[1] > 2 else ranked[:, :0]
    return [None, *kept[:, :TARGETS].unbind(1)]


def _by_outputs(value: Value, number: int, outputs: Tensor, x: Tensor, problem: Problem) -> Tensor:
    return value(outputs, problem, number)


def _protected(outputs: Tensor, problem: Problem, number: int) -> Tensor:
    """Which classes are no success, bool [B, n]: the label and the reject class."""
    mask = torch.zeros_like(outputs, dtype=torch.bool).scatter(1, problem.label[:, None], True)
    mask[:, number] = True
    return mask


def _confident(outputs: Tensor, problem: Problem, number: int) -> Tensor:
    """The log-odds of the label against the target, or of the highest wrong class, without the reject class, [B].

    It falls further where another class is predicted already, since a detector rejects what is not certain.
    """
    rest = outputs.index_fill(1, torch.tensor(number, device=outputs.device), -torch.inf)
    if problem.target is not None:
        return log_odds(rest, problem.target, -1.0)
    return log_odds(rest, problem.label)


def _accepted(outputs: Tensor, problem: Problem, number: int) -> Tensor:
    """As `_confident`, plus how far the reject class leads the classes that are successes, [B]."""
    protected = _protected(outputs, problem, number)
    lead = outputs[:, number] - outputs.masked_fill(protected, -torch.inf).amax(1)
    return _confident(outputs, problem, number) + lead.clamp(min=0)
