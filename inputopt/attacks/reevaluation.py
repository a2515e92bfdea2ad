"""Re-evaluation of attack results on stochastic and batch-dependent networks."""

from __future__ import annotations

from dataclasses import replace

import torch

from inputopt.attacks.run import JUDGING, AttackRun
from inputopt.search.network_traits import same_logits_alone
from inputopt.search.result import Result

JUDGED_ON = 20
"""Number of fresh random draws on which the final inputs are evaluated if the network is stochastic."""

CHECKED = 3
"""Number of successes per batch that are evaluated one at a time."""


def reevaluate_on_fresh_draws(run: AttackRun, found: Result) -> Result:
    """Re-evaluate a stochastic network's result on fresh draws: success in more than half of them is a success."""
    goal = run.goal_of(run.problem)
    rate = run.share_of_draws(found.x, run.problem, goal, JUDGED_ON, JUDGING)
    run.meter.forward(run.problem.example, JUDGED_ON)
    return replace(found, success=rate > 0.5, success_rate=rate)


@torch.no_grad()
def is_batch_independent(run: AttackRun, found: Result) -> bool:
    """Whether a few successes have the same logits when evaluated alone as in the batch of the search."""
    successes = found.success.nonzero()[:, 0]
    if len(found.x) == 1 or found.logits.shape[1] == 0:
        return True
    return same_logits_alone(run.net, found.x[successes], found.logits[successes], CHECKED)


@torch.no_grad()
def reevaluate_one_by_one(run: AttackRun, found: Result) -> Result:
    """Re-evaluate a batch-dependent network's result one input at a time."""
    logits = torch.cat([run.net(row) for row in torch.split(found.x, 1)])
    run.meter.forward(run.problem.example)
    highest = logits.amax(1)
    success = run.goal_of(run.problem)(logits, run.problem) & ((highest - highest) == 0)
    return replace(
        found, logits=logits, prediction=logits.argmax(1), success=success, success_rate=success.to(found.loss.dtype)
    )
