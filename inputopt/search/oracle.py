"""The oracle: asks the network about the inputs, and for the derivative by them when the loop wants it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from inputopt.nets.frozen import Frozen
from inputopt.nets.redirect import Redirected
from inputopt.search.canvas import Canvas, pixels
from inputopt.search.goals import Goal
from inputopt.search.objectives import LOGITS, Objective
from inputopt.search.problem import Evaluation, Problem, take
from inputopt.search.transforms import Transform, unchanged

Pull = Callable[[Tensor], Tensor]


class Oracle(Protocol):
    """Judges z at step `index`; returns what was seen, and a function that finds d loss / dz if it is called.

    Any source of gradients can stand here. The derivative is a second call because the loop does not always want it:
    not at the last step, and not when everybody is done.
    """

    @property
    def samples(self) -> int:
        """How often each example is run in one call."""

    @property
    def backwards(self) -> int:
        """How many backwards of each sample a derivative takes."""

    def __call__(self, z: Tensor, problem: Problem, index: int) -> tuple[Evaluation, Pull]: ...


@dataclass(frozen=True)
class Backward:
    """The usual oracle: one forward through a frozen network, and one backward by autograd.

    Attributes:
        net: the network.
        objective: what to bring down.
        goal: when an example is done.
        transform: what happens to the inputs before the network sees them.
        canvas: what turns z into inputs.
        samples: how often to run each example, for networks that answer at random: what counts is the mean
            (expectation over transformations; Athalye et al., 2018).
        derives: whether a derivative may be asked for.
        backwards: how many a derivative takes.
    """

    net: Frozen
    objective: Objective
    goal: Goal
    transform: Transform = unchanged
    canvas: Canvas = pixels
    samples: int = 1
    derives: bool = True
    backwards: ClassVar[int] = 1

    def __call__(self, z: Tensor, problem: Problem, index: int) -> tuple[Evaluation, Pull]:
        variable = z.detach().requires_grad_(self.derives)
        with torch.set_grad_enabled(self.derives):
            x = self.canvas(variable, problem)
            shown = self.transform(x, problem, index)
            if self.objective.layers:
                layers = (*self.objective.layers, LOGITS) if self.objective.logits else self.objective.layers
                features = self.net.features(shown, layers)
                loss = self.objective(features, x, problem)
                outputs = features.get(LOGITS, loss.new_empty(len(z), 0))
            else:
                outputs, loss = self._judged(shown, x, problem)
        success = self.goal(outputs.detach(), problem)
        seen = Evaluation(x.detach(), outputs.detach(), loss.detach(), success)
        return seen, lambda going: self.net.gradient(loss[going], variable, self.samples)

    def _judged(self, shown: Tensor, x: Tensor, problem: Problem) -> tuple[Tensor, Tensor]:
        """Logits and loss, both averaged over the samples, which run as one batch."""
        if self.samples == 1:
            outputs = self.net(shown)
            return outputs, self.objective(outputs, x, problem)
        rows = torch.arange(len(x), device=x.device).repeat(self.samples)
        every = self.net(shown[rows])
        loss = self.objective(every, x[rows], take(problem, rows)).reshape(self.samples, -1).mean(0)
        return every.reshape(self.samples, len(x), -1).mean(0), loss


@dataclass(frozen=True)
class Unjudged:
    """An oracle whose network never sees the point that the last step leads to, of a search that keeps the latest.

    There the loop asks for no derivative any more, and what the network says of it decides nothing.

    Attributes:
        oracle: asked before.
        steps: how many there are.
    """

    oracle: Oracle
    steps: int

    @property
    def samples(self) -> int:
        """As the oracle asked."""
        return self.oracle.samples

    @property
    def backwards(self) -> int:
        """As the oracle asked."""
        return self.oracle.backwards

    def __call__(self, z: Tensor, problem: Problem, index: int) -> tuple[Evaluation, Pull]:
        """As the oracle asked; at the end z alone, without outputs, and with a loss that is not a number."""
        if index < self.steps:
            return self.oracle(z, problem, index)
        unknown = z.new_full((len(z),), torch.nan)
        seen = Evaluation(z, z.new_empty(len(z), 0), unknown, torch.zeros_like(unknown, dtype=torch.bool))
        return seen, lambda going: torch.full_like(z[going], torch.nan)


Change = Callable[[Pull, Callable[[], Pull], Tensor], Tensor]
"""(the derivative, a way to ask for it once more, which examples want it) -> what becomes of it."""


@dataclass(frozen=True)
class Changed:
    """An oracle whose derivative is changed before anybody sees it; what it costs is what the oracle asked costs.

    Attributes:
        oracle: asked first.
        change: what becomes of its derivative.
    """

    oracle: Oracle
    change: Change

    @property
    def samples(self) -> int:
        """As the oracle asked."""
        return self.oracle.samples

    @property
    def backwards(self) -> int:
        """As the oracle asked; asking again is not counted."""
        return self.oracle.backwards

    def __call__(self, z: Tensor, problem: Problem, index: int) -> tuple[Evaluation, Pull]:
        """As the oracle asked, but for the derivative."""
        seen, pull = self.oracle(z, problem, index)
        return seen, lambda going: self.change(pull, lambda: self.oracle(z, problem, index)[1], going)


def finished(oracle: Oracle, finish: Callable[[Tensor], Tensor]) -> Changed:
    """With a function of the derivative instead, such as `smooth(1.0).function`."""
    return Changed(oracle, lambda pull, again, going: finish(pull(going)))


def awake(oracle: Oracle) -> Changed:
    """Finds a way where there is none: for an example whose derivative is zero everywhere, it asks again with
    rectifiers that let derivatives through.
    """

    def redirected(pull: Pull, again: Callable[[], Pull], going: Tensor) -> Tensor:
        grad = pull(going)
        dead = going & (grad.flatten(1).abs().amax(1) == 0)  # `any` takes many times as long
        if not bool(dead.any()):
            return grad
        other = again()
        with Redirected():
            return grad + other(dead)

    return Changed(oracle, redirected)
