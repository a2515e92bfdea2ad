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


Ask = Callable[[Oracle, Tensor, Problem, int], tuple[Evaluation, Pull]]
"""(the oracle asked, z, problem, index) -> what is answered in its place."""


@dataclass(frozen=True)
class Changed:
    """An oracle whose answers are changed before anybody sees them; what it costs is what the oracle asked costs.

    Attributes:
        oracle: asked.
        ask: how it is asked, and what becomes of its answer.
    """

    oracle: Oracle
    ask: Ask

    @property
    def samples(self) -> int:
        """As the oracle asked."""
        return self.oracle.samples

    @property
    def backwards(self) -> int:
        """As the oracle asked; asking again is not counted."""
        return self.oracle.backwards

    def __call__(self, z: Tensor, problem: Problem, index: int) -> tuple[Evaluation, Pull]:
        """What `ask` answers."""
        return self.ask(self.oracle, z, problem, index)


def finished(oracle: Oracle, finish: Callable[[Tensor], Tensor]) -> Changed:
    """With a function of the derivative instead, such as `smooth(1.0).function`."""

    def ask(oracle: Oracle, z: Tensor, problem: Problem, index: int) -> tuple[Evaluation, Pull]:
        seen, pull = oracle(z, problem, index)
        return seen, lambda going: finish(pull(going))

    return Changed(oracle, ask)


def awake(oracle: Oracle) -> Changed:
    """Finds a way where there is none: for an example whose derivative is zero everywhere, it asks again with
    rectifiers that let derivatives through.
    """

    def ask(oracle: Oracle, z: Tensor, problem: Problem, index: int) -> tuple[Evaluation, Pull]:
        seen, pull = oracle(z, problem, index)

        def redirected(going: Tensor) -> Tensor:
            grad = pull(going)
            dead = going & (grad.flatten(1).abs().amax(1) == 0)  # `any` takes many times as long
            if not bool(dead.any()):
                return grad
            _, other = oracle(z, problem, index)
            with Redirected():
                return grad + other(dead)

        return seen, redirected

    return Changed(oracle, ask)


def unjudged(oracle: Oracle, steps: int) -> Changed:
    """The network never sees the point that the last of so many steps leads to, in a search that keeps the latest.

    There the loop asks for no derivative any more, and what the network says of it decides nothing: there are no
    outputs, and the loss is not a number.
    """

    def ask(oracle: Oracle, z: Tensor, problem: Problem, index: int) -> tuple[Evaluation, Pull]:
        if index < steps:
            return oracle(z, problem, index)
        unknown = z.new_full((len(z),), torch.nan)
        seen = Evaluation(z, z.new_empty(len(z), 0), unknown, torch.zeros_like(unknown, dtype=torch.bool))
        return seen, lambda going: torch.full_like(z[going], torch.nan)

    return Changed(oracle, ask)
