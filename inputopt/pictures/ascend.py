"""Gradient ascent from correctly classified images to misclassified ones that a person would still recognise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from inputopt import checks
from inputopt.nets.default_modes import default_modes
from inputopt.nets.frozen import Frozen, frozen
from inputopt.pictures.fool import by_width
from inputopt.search.bounds import lengths
from inputopt.search.goals import confident_adversarial, wrong
from inputopt.search.inputs import Inputs, check_problem
from inputopt.search.loop import Watch, optimise
from inputopt.search.objectives.logits import cross_entropy
from inputopt.search.oracles import Autograd
from inputopt.search.projections import in_box
from inputopt.search.result import Result
from inputopt.search.result_origin import provenance
from inputopt.search.steps.step import GradientStep


@default_modes()
def ascend(
    model: Frozen | nn.Module | Callable[[Tensor], Tensor],
    x: Inputs,
    y: Any = None,
    *,
    steps: int = 1_000,
    rate: float = 0.001,
    confidence: float | None = None,
    watch: Watch | None = None,
) -> Result:
    """Ascend the cross-entropy of the labels `y` in small steps until each image is misclassified.

    Args:
        model: a network, frozen or not; if not, its inputs are taken to lie in [0, 1].
        x: images [B, ...] in the bounds.
        y: labels [B]; the model's predictions if not given, reported in the result's `label`. An image that is a
            success to begin with is returned unchanged, at distance 0.
        steps: maximum number of steps.
        rate: step length, as the root-mean-square change of a pixel in units of the bounds' width (of `Frozen.unit`
            where they are infinite).
        confidence: probability of another class at which an image counts as success, as in `fool`; if not given, any
            probability with which another class is predicted.
        watch: called at every step.

    Returns:
        The result, whose `distance` is the L2 distance from `x`.

    Raises:
        ValueError, TypeError: the inputs or labels do not fit the model, or an invalid setting.
    """
    net = frozen(model)
    checks.whole("steps", steps)
    checks.positive("rate", rate)
    if confidence is not None:
        checks.probability("confidence", confidence)
    problem, traits = check_problem(net, x, y)
    goal = wrong if confidence is None else confident_adversarial(confidence, traits.scores)
    found = optimise(
        Autograd(net, -cross_entropy, goal),
        GradientStep(by_width(lengths(net, problem.x0)), rate * problem.x0[0].numel() ** 0.5),
        in_box,
        problem,
        problem.x0,
        steps=steps,
        watch=watch,
    )
    settings = {"steps": steps, "rate": rate, "confidence": confidence}
    return replace(found, made_by=provenance("ascend", net, "l2", None, settings))
