"""Reasons to doubt a robustness figure, looked for before and after the attacks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from inputopt.evaluation.report import AttackRow
from inputopt.nets.frozen import Frozen
from inputopt.search.inputs import PROBABILITIES, looks_like_probabilities
from inputopt.search.objectives import margin
from inputopt.search.problem import Problem

LOOKED_AT = 128  # examples


def doubts_before(net: Frozen, problem: Problem) -> list[str]:
    """What the network itself gives reason to doubt: random answers, probabilities, gradients that vanish."""
    x, label = problem.x0[:LOOKED_AT], problem.label[:LOOKED_AT]
    with torch.no_grad():
        logits, again = net(x), net(x)
    found = []
    if not torch.equal(logits, again):
        found.append("The model answers at random: run attacks with samples=20 or so, and trust single answers little.")
    if looks_like_probabilities(logits):
        found.append(PROBABILITIES)
    if logits.shape[1] < 4:
        found.append(f"The model has {logits.shape[1]} classes: DLR is not defined, differences of logits are used.")
    share = _vanishing(net, x, label, problem)
    if share > 0:
        found.append(
            f"The gradient is exactly zero at {100 * share:.1f} % of the inputs: attacks by it are blind there."
        )
    return found


def doubts_after(rows: Sequence[AttackRow]) -> list[str]:
    """What the attacks' success gives reason to doubt."""
    fooled = [len(row.fooled) for row in rows if row.backwards == 0 and row.forwards]
    if sum(fooled):
        return [f"A search without gradients fooled {sum(fooled)} more: the gradients hide something."]
    return []


def _vanishing(net: Frozen, x: Tensor, label: Tensor, problem: Problem) -> float:
    variable = x.detach().requires_grad_()
    with torch.enable_grad():
        loss = margin(net(variable), variable, Problem(x, label, problem.ids[: len(x)]))
    if not loss.requires_grad:
        return 1.0
    grad = net.gradient(loss, variable)
    return float((grad.flatten(1).abs().amax(1) == 0).double().mean())
