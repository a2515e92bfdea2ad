"""Short attacks that measure which of several attack networks leads to adversarial examples."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inputopt.attacks.attack import Attack, run_in_batches
from inputopt.attacks.pgd import PGD
from inputopt.evaluation.remedies.attack_network import AttackNetwork, traits_of
from inputopt.evaluation.remedies.remedy_stages import CROSS_ENTROPY
from inputopt.evaluation.threat import Threat
from inputopt.search.goals import wrong
from inputopt.search.objectives.objective import Objective
from inputopt.search.objectives.probability_scores import on_scores
from inputopt.search.result import Result
from inputopt.search.rows import take

TRIED = 32
"""Inputs of a trial, evenly spaced over those that are classified correctly."""

STEPS = 10
"""Steps of a trial."""


def rows_of_trial(correct: Tensor) -> Tensor:
    """Positions of at most `TRIED` of the inputs that are classified correctly, bool [B]."""
    rows = correct.nonzero()[:, 0]
    if len(rows) <= TRIED:
        return rows
    return rows[torch.linspace(0, len(rows) - 1, TRIED, device=rows.device).round().long()]


def attack_on(
    network: AttackNetwork,
    attack: Attack,
    threat: Threat,
    rows: Tensor,
    start: Tensor | None = None,
    loss: Objective | None = None,
    target: Tensor | None = None,
    seed: int | None = None,
) -> Result | None:
    """Run an attack on the inputs at positions `rows`, as if called on them alone; None if the network fails.

    Args:
        network: what to attack.
        attack: the attack.
        threat: network and inputs; any wrong class is a success.
        rows: positions of the inputs, int64 [R].
        start: starting points of all inputs, [B, ...], for attacks that use them.
        loss: loss instead of the attack's own.
        target: class of each of all inputs that the loss is to approach, int64 [B].
        seed: seed of the search instead of the threat's.
    """
    part = take(threat.problem, rows)
    part = replace(part, example=torch.arange(len(rows), device=rows.device))
    if target is not None:
        part = replace(part, target=target[rows])
    if network.eot_samples > attack.eot_samples:
        attack = replace(attack, eot_samples=network.eot_samples)
    traits = traits_of(network, threat.traits)
    try:
        return run_in_batches(
            attack,
            network.net,
            part,
            traits,
            threat.seed if seed is None else seed,
            None,
            None if loss is None else on_scores(loss, traits.scores),
            None if target is None else wrong,
            start=None if start is None else start[rows],
            check_batch=False,
            canvas=network.canvas,
        )
    except (TypeError, ValueError, RuntimeError):  # without a derivative, or the model refuses its own repaired tensors
        return None


@dataclass(frozen=True)
class Trial:
    """What a few steps on an attack network fooled.

    Attributes:
        network: the attack network.
        share: share of the inputs of the trial that were fooled, a mean over draws for a random network; -1 if the
            network cannot be used.
        fooled: which of them, bool [T].
        x: the inputs found, [T, ...]; the same for networks with the same gradient.
    """

    network: AttackNetwork
    share: float
    fooled: Tensor
    x: Tensor | None = None


def tried(network: AttackNetwork, threat: Threat, rows: Tensor) -> Trial:
    """Run a few steps of PGD on an attack network, on the inputs `rows`."""
    attack = PGD(norm=threat.norm, steps=STEPS, stop_on_success=not threat.traits.stochastic)
    found = attack_on(network, attack, threat, rows, loss=CROSS_ENTROPY if threat.traits.stochastic else None)
    if found is None:
        return Trial(network, -1.0, torch.zeros_like(rows, dtype=torch.bool))
    return Trial(network, float(found.success_rate.double().mean()), found.success, found.x)
