"""Minimal distances by attacks along repaired gradients, verified on the model itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from inputopt.attacks.attack import recorded, run_in_batches
from inputopt.attacks.batches import logits_in_batches
from inputopt.attacks.minimal_norm.minimal_norm_attack import MinimalNormAttack
from inputopt.attacks.regions import ball_region
from inputopt.evaluation.remedies.attack_network import AttackNetwork, traits_of
from inputopt.evaluation.remedies.choice import attack_networks
from inputopt.evaluation.remedies.trials import rows_of_trial
from inputopt.evaluation.threat import Threat
from inputopt.nets.frozen import Frozen
from inputopt.search.eps_range import DEFAULT_EPS
from inputopt.search.inputs import Inputs, box_of, check_problem
from inputopt.search.norms import find_norm
from inputopt.search.problem import Region
from inputopt.search.result import Result, best_of, nearer


def repaired_distances(threat: Threat, attack: MinimalNormAttack) -> Result | None:
    """Run a minimal-norm attack on every network whose repaired gradient leads within the threat's ball.

    Args:
        threat: the network, the inputs and the ball in which repairs are compared.
        attack: the attack, in the threat's norm.

    Returns:
        The nearest inputs found that the model itself misclassifies; None if there is nothing to repair.
    """
    correct = logits_in_batches(threat.net, threat.problem).argmax(1) == threat.problem.label
    best: Result | None = None
    for network in attack_networks(threat, rows_of_trial(correct)) if bool(correct.any()) else []:
        found = _nearest(network, threat, attack)
        if found is not None:
            judged = _judged(found, threat)
            best = judged if best is None else best_of(best, judged, nearer)
    return best


REPAIRED = "{}, repaired gradients"
"""Name of the second run of an attack, from the attack's name."""

COMPARING = (1.0, 3.0)
"""Repairs are compared in balls of so many times the norm's default radius, until one helps: in the smaller one few
inputs can be fooled, and in the larger one a network's own gradient may fool all."""


def along_repaired_gradients(
    attack: MinimalNormAttack, net: Frozen, x: Inputs, y: Any, seed: int, ids: Any
) -> Result | None:
    """The result of the attack along repaired gradients; None if no repair leads further than the network's own."""
    problem, traits = check_problem(net, x, y, ids)
    norm, unit = find_norm(attack.norm), 1 if attack.norm == "l0" else net.unit
    for times in COMPARING:
        region = ball_region(net, problem, norm, times * unit * DEFAULT_EPS[attack.norm], None)
        part = replace(problem, region=region)
        threat = Threat(net, part, traits, attack.norm, seed, attack.levels, attack.eot_samples)
        found = repaired_distances(threat, attack)
        if found is not None:
            return recorded(found, attack, net, seed, gradients="repaired")
    return None


def _judged(found: Result, threat: Threat) -> Result:
    """The points of a result as the model itself classifies them; the distance of others is infinite."""
    problem = threat.problem
    logits = logits_in_batches(threat.net, replace(problem, x0=found.x))
    prediction = logits.argmax(1)
    wrong = prediction != problem.label
    distance = torch.where(wrong, find_norm(threat.norm).size(found.x - problem.x0), torch.inf)
    rate = wrong.to(found.success_rate)
    return replace(found, success=wrong, distance=distance, prediction=prediction, logits=logits, success_rate=rate)


def _nearest(network: AttackNetwork, threat: Threat, attack: MinimalNormAttack) -> Result | None:
    """What the attack finds on an attack network; None if the network fails."""
    if network.canvas is not None:  # its points are not inputs
        return None
    x0 = threat.problem.x0
    low, high = box_of(threat.net, x0, x0.dtype)  # the region of the threat is within its ball
    region = Region(Region.everywhere(x0).eps, low, high, unit=threat.net.unit)
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
        )
    except (TypeError, ValueError, RuntimeError):  # as in `attack_on`
        return None
