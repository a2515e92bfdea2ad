"""Up the cost from a recognised image, until the network no longer knows it, though a person still would."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from inputopt import checks
from inputopt.nets.ambient import ambient
from inputopt.nets.frozen import Frozen, frozen
from inputopt.pictures.fool import by_width
from inputopt.search.bounds import lengths
from inputopt.search.goals import wrong
from inputopt.search.inputs import check_problem
from inputopt.search.loop import Watch, optimise
from inputopt.search.objectives.logits import cross_entropy
from inputopt.search.oracles import Autograd
from inputopt.search.projections import in_box
from inputopt.search.result import Result
from inputopt.search.steps.step import Descend


@ambient()
def ascend(
    model: Frozen | nn.Module | Callable[[Tensor], Tensor],
    x: Tensor,
    y: Any = None,
    *,
    steps: int = 1_000,
    rate: float = 0.001,
    watch: Watch | None = None,
) -> Result:
    """Ascend the cost of the labels `y` in small steps until each image is seen as something else.

    Args:
        model: a network, frozen or not; if not, its inputs are taken to lie in [0, 1].
        x: images [B, ...] in the bounds.
        y: their classes, [B]; the network's own answers if not given, which `label` says. An image that is not
            recognised to begin with is returned as it is, at distance 0.
        steps: how many steps at most.
        rate: the length of a step, as the mean change of a pixel in parts of the bounds' width (of `Frozen.unit`, where
            they are infinite).
        watch: shown every step.

    Returns:
        `distance` is the L2 distance from `x`.

    Raises:
        ValueError, TypeError: inputs and labels that do not fit the model.
    """
    net = frozen(model)
    checks.whole("steps", steps)
    checks.positive("rate", rate)
    problem, _ = check_problem(net, x, y)
    return optimise(
        Autograd(net, -cross_entropy, wrong),
        Descend(by_width(lengths(net, problem.x0)), rate * problem.x0[0].numel() ** 0.5),
        in_box,
        problem,
        problem.x0,
        steps=steps,
        watch=watch,
    )
