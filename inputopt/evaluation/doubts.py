"""Reasons to doubt a robustness figure, looked for before and after the attacks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from inputopt.evaluation.report import AttackRow
from inputopt.evaluation.state import EvaluationState
from inputopt.nets.frozen import Frozen
from inputopt.search.network_traits import PROBABILITIES, NetworkTraits
from inputopt.search.objectives.logits import margin
from inputopt.search.problem import Problem
from inputopt.search.rows import take

LOOKED_AT = 128  # examples

NEIGHBOURS = "The model's answer to an input depends on its neighbours in the batch: each final image was judged alone."


def indicators_before(net: Frozen, problem: Problem, known: NetworkTraits, eot_samples: int) -> list[str]:
    """What the network itself gives reason to doubt: unsteady answers, probabilities, gradients that vanish."""
    found = []
    if known.random:
        more = "" if eot_samples > 1 else " Attack it with eot_samples=20 or so: single gradients lead astray."
        found.append(f"The model answers at random: all figures are means over fresh draws.{more}")
    if known.stateful:
        found.append(
            "The model's answers change from call to call, by a state of its own or at random: all figures are means "
            "over further calls, and cannot be had again exactly."
        )
    if known.probabilities:
        found.append(PROBABILITIES)
    if known.classes < 4:
        found.append(f"The model has {known.classes} classes: DLR is not defined, differences of logits are used.")
    share = _vanishing(net, take(problem, torch.arange(min(LOOKED_AT, len(problem.x0)), device=problem.x0.device)))
    if share > 0:
        found.append(
            f"The gradient is exactly zero at {100 * share:.1f} % of the inputs: attacks by it are blind there."
        )
    return found


def indicators_after(
    rows: Sequence[AttackRow], standing: EvaluationState, unanswered: Tensor, changed: int
) -> list[str]:
    """What the attacks met gives reason to doubt.

    Args:
        rows: of the attacks.
        standing: after the last of them.
        unanswered: which inputs got logits that are not finite before any attack, bool [B].
        changed: how many images that had fooled the network did not when judged again.
    """
    found = []
    fooled = [len(row.fooled) for row in rows if row.backwards == 0 and row.forwards]
    if sum(fooled):
        found.append(f"A search without gradients fooled {sum(fooled)} more: the gradients hide something.")
    if bool(unanswered.any()):
        found.append(
            f"The model's logits are NaN or infinite for {100 * float(unanswered.double().mean()):.1f} % of the inputs:"
            " they count as wrong, and were not attacked."
        )
    met = standing.nonfinite & ~unanswered
    if bool(met.any()):
        found.append(
            f"The attacks met logits or gradients that are NaN or infinite at {100 * float(met.double().mean()):.1f} % "
            "of the inputs; no such point counts as fooled."
        )
    if changed:
        found.append(f"{changed} images fooled the model in an attack but not when judged again: they count as robust.")
    return found


def _vanishing(net: Frozen, problem: Problem) -> float:
    variable = problem.x0.detach().requires_grad_()
    with torch.enable_grad():
        loss = margin(net(variable), variable, problem)
    if not loss.requires_grad:
        return 1.0
    grad = net.gradient(loss, variable)
    return float((grad.flatten(1).abs().amax(1) == 0).double().mean())
