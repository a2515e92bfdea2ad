"""Minimal distances by attacks along repaired gradients, verified on the model itself."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from inputopt.attacks.attack import run_in_batches
from inputopt.attacks.batches import logits_in_batches
from inputopt.attacks.minimal_norm.minimal_norm_attack import MinimalNormAttack
from inputopt.attacks.regions import ball_region
from inputopt.evaluation.remedies.attack_network import AttackNetwork, traits_of
from inputopt.evaluation.remedies.choice import attack_networks
from inputopt.evaluation.remedies.trials import rows_of_trial
from inputopt.evaluation.threat import Threat
from inputopt.search.norms import find_norm


def repaired_distances(threat: Threat, attack: MinimalNormAttack) -> tuple[Tensor, Tensor]:
    """Run a minimal-norm attack on every network whose repaired gradient leads within the threat's ball.

    Args:
        threat: the network, the inputs and the ball in which repairs are compared.
        attack: the attack, in the threat's norm.

    Returns:
        The nearest inputs that the model itself misclassifies, [B, ...], and their distances [B]; infinite where there
        is none.
    """
    problem = threat.problem
    size = find_norm(threat.norm).size
    nearest = problem.x0.clone()
    distance = torch.full(problem.x0.shape[:1], torch.inf, dtype=problem.x0.dtype, device=problem.x0.device)
    correct = logits_in_batches(threat.net, problem).argmax(1) == problem.label
    for network in attack_networks(threat, rows_of_trial(correct)) if bool(correct.any()) else []:
        x = _nearest(network, threat, attack)
        if x is None:
            continue
        fooled = logits_in_batches(threat.net, replace(problem, x0=x)).argmax(1) != problem.label
        found = torch.where(fooled, size(x - problem.x0), torch.inf)
        nearer = found < distance
        nearest = torch.where(nearer.reshape(-1, *(1,) * (x.ndim - 1)), x, nearest)
        distance = torch.minimum(found, distance)
    return nearest, distance


def _nearest(network: AttackNetwork, threat: Threat, attack: MinimalNormAttack) -> Tensor | None:
    """The points that the attack finds on an attack network, [B, ...]; None if the network fails."""
    if network.canvas is not None:  # its points are not inputs
        return None
    region = ball_region(threat.net, threat.problem, find_norm(threat.norm), torch.inf, None)
    attack = replace(attack, eot_samples=max(attack.eot_samples, network.eot_samples))
    try:
        return run_in_batches(
            attack,
            network.net,
            replace(threat.problem, region=region),
            traits_of(network, threat.traits),
            threat.seed,
            None,
            check_batch=False,
        ).x
    except (TypeError, ValueError, RuntimeError):  # as in `attack_on`
        return None
