"""The network of the Learn tab: a plan, its training in steps, its curves, and the document's figures beside it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from inputopt import checks
from inputopt.derivatives.gradient_methods import gradients
from inputopt.derivatives.network_numbers import Numbers, numbers_at
from inputopt.document.figures import Figure, figures
from inputopt.document.networks import EXAMPLES, LEARNING_RATE, Example
from inputopt.nets.costs import CostName, find_cost
from inputopt.nets.mlp import MLP
from inputopt.training.history import named_numbers
from inputopt.training.train import Progress, train

MOST_LAYERS, MOST_NEURONS = 6, 32
"""Bounds of a network that is drawn and trained here."""

MOST_STEPS = 1_000_000
Pairs = tuple[tuple[float, ...], ...]

_CORNERS: Pairs = ((0, 0), (0, 1), (1, 0), (1, 1))
TASKS: dict[str, tuple[Pairs, Pairs]] = {
    "XOR": (_CORNERS, ((0,), (1,), (1,), (0,))),
    "half adder": (_CORNERS, ((0, 0), (0, 1), (0, 1), (1, 0))),
    "majority of three": (
        tuple((a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)),
        tuple((float(a + b + c > 1),) for a in (0, 1) for b in (0, 1) for c in (0, 1)),
    ),
}
"""Training sets (inputs, targets) of networks that the document does not have."""


@dataclass(frozen=True)
class Plan:
    """What to train: hidden layer sizes, names of activation and cost, and the inputs and targets of `preset`.

    Raises:
        ValueError, TypeError: an unknown name, or a network that is too large.
    """

    preset: str
    hidden: tuple[int, ...] = ()
    activation: str = "sigmoid"
    cost: CostName = "mse"
    rate: float = LEARNING_RATE
    seed: int = 0

    def __post_init__(self) -> None:
        checks.one_of("network", self.preset, (*EXAMPLES, *TASKS))
        checks.positive("learning rate", self.rate)
        if len(self.hidden) >= MOST_LAYERS or any(size > MOST_NEURONS for size in self.hidden):
            raise ValueError(
                f"Give at most {MOST_LAYERS - 1} hidden layers of at most {MOST_NEURONS} neurons each, so that the "
                "network can be drawn."
            )
        find_cost(self.cost, self.output)

    @property
    def data(self) -> tuple[Pairs, Pairs]:
        """Inputs and targets."""
        example = EXAMPLES.get(self.preset)
        return TASKS[self.preset] if example is None else (example.inputs, example.targets)

    @property
    def output(self) -> str:
        """Activation of the last layer; cross-entropy is defined here on sigmoid outputs."""
        return "sigmoid" if self.cost == "cross_entropy" else self.activation

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of inputs, then of neurons per layer."""
        inputs, targets = self.data
        return (len(inputs[0]), *self.hidden, len(targets[0]))

    @property
    def example(self) -> Example | None:
        """The document's network, if the layer sizes are those of one; its weights are then used."""
        example = EXAMPLES.get(self.preset)
        return example if example is not None and example.sizes == self.sizes else None

    @property
    def as_printed(self) -> bool:
        """Whether the document prints figures for exactly this plan."""
        return self.example is not None and (self.activation, self.cost, self.rate) == ("sigmoid", "mse", LEARNING_RATE)

    def network(self) -> MLP:
        """The untrained network."""
        if self.example is None:
            return MLP(self.sizes, self.activation, self.output, seed=self.seed)
        drawn = self.example.network()
        weights, biases = ([each.detach() for each in part] for part in (drawn.weights, drawn.biases))
        net = MLP(self.sizes, self.activation, self.output, weights=weights, biases=biases)
        for bias in net.biases:
            bias.requires_grad_(not self.example.hold_biases)
        return net


def plan_of(preset: str) -> Plan:
    """The plan of a preset: the document's own settings, or for other tasks one hidden layer and cross-entropy."""
    example = EXAMPLES.get(preset)
    if example is not None:
        return Plan(preset, example.sizes[1:-1])
    return replace(Plan(preset, (3,), "tanh"), cost="cross_entropy", rate=0.5)


def hidden_sizes(text: str) -> tuple[int, ...]:
    """Parse the sizes of hidden layers.

    Raises:
        ValueError: not whole numbers separated by commas.

    >>> hidden_sizes("4, 3"), hidden_sizes(" ")
    ((4, 3), ())
    """
    parts = [part for part in re.split(r"[,\s]+", text.strip()) if part]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ValueError(f"Hidden layers must be whole numbers separated by commas, such as 3, 2, not {text[:40]!r}.")
    return tuple(map(int, parts))


@dataclass
class Learner:
    """A network in training: the plan, the network, and the points of the curves.

    Attributes:
        index: number of updates made.
        at: number of updates at each point of the curves, [S].
        errors, costs: mean error and cost at each point, [S].
        norms: L2 norm of each layer's weight and bias gradient at each point, [S][L].
        derived: the numbers that the document prints some of, by the names in its figures.
    """

    plan: Plan
    net: MLP = field(init=False)
    index: int = 0
    at: list[int] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    norms: list[tuple[float, ...]] = field(default_factory=list)
    derived: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.net = self.plan.network()
        self._record(0)
        self._derive("first")

    def train(self, steps: int, watch: Callable[[Progress], None] | None = None) -> str:
        """Make updates on all examples; return why training stopped.

        Args:
            steps: number of updates.
            watch: called at about 50 points; a KeyboardInterrupt that it raises stops training.

        Raises:
            ValueError: too many steps, or the network's cost is not finite.
        """
        checks.whole("steps", steps)
        if steps > MOST_STEPS:
            raise ValueError(f"Give at most {MOST_STEPS:,} steps at once, not {steps:,}.")
        stopped = "all steps done"
        for until in self._pieces(steps):
            done, stopped = self._train(until - self.index, watch)
            self.index += done
            self._record(self.index)
            if stopped != "all steps done":
                break
            self._derive_if_printed()
        return stopped

    def _pieces(self, steps: int) -> list[int]:
        """Indices to train to one after the other: those that the document prints figures at, and the end."""
        end = self.index + steps
        example = self.plan.example
        printed = () if example is None else (1, example.trainings - 1, example.trainings)
        return sorted({*(each for each in printed if self.index < each < end), end})

    def _train(self, steps: int, watch: Callable[[Progress], None] | None) -> tuple[int, str]:
        start = self.index

        def progress(now: Progress) -> None:
            self._record(start + now.index)
            if watch is not None:
                watch(replace(now, index=start + now.index))

        inputs, targets = self.plan.data
        history = train(
            self.net,
            inputs,
            targets,
            cost=self.plan.cost,
            learning_rate=self.plan.rate,
            steps=steps,
            method="backprop",
            progress=progress,
        )
        return history.trainings, history.stopped

    def _record(self, index: int) -> None:
        """Add a point to the curves."""
        if self.at and index <= self.at[-1]:
            return
        inputs, targets = self.plan.data
        found = gradients(self.net, inputs, targets, cost=self.plan.cost)
        pairs = zip(found.weights, found.biases, strict=True)
        self.norms.append(tuple(float((w.square().sum() + b.square().sum()).sqrt()) for w, b in pairs))
        error, cost = self._error_and_cost()
        self.errors.append(error)
        self.costs.append(cost)
        self.at.append(index)

    @torch.no_grad()
    def _error_and_cost(self) -> tuple[float, float]:
        """Mean error and cost of all examples, in the rounding of `train`, whose digits the document prints."""
        cost = find_cost(self.plan.cost, self.plan.output)
        inputs, targets = (torch.tensor(each, dtype=torch.float32) for each in self.plan.data)
        outputs = self.net(inputs)
        errors = cost.error(outputs, targets)
        value = cost.torch(self.net.logits(inputs), targets) if cost.of_error is None else cost.of_error(errors).mean()
        return float(errors.mean()), float(value)

    def _derive_if_printed(self) -> None:
        if self.plan.example is None:
            return
        if self.index == 1:
            self._derive("second")
        if self.index == self.plan.example.trainings - 1:
            self._derive("last")
        if self.index == self.plan.example.trainings:
            with torch.no_grad():
                outputs = self.net(torch.tensor(self.plan.data[0], dtype=torch.float32))[0]
            self.derived |= {f"last output [{place}]": float(value) for place, value in enumerate(outputs)}

    def _derive(self, when: str) -> None:
        """Collect the numbers of the current weights under the names of the document's figures."""
        inputs, targets = self.plan.data
        found = gradients(self.net, inputs, targets, cost=self.plan.cost)
        named = {
            "weight": self.net.weights,
            "bias": self.net.biases,
            "dCost/dWeight": found.weights,
            "dCost/dBias": found.biases,
            "neuron error": found.neuron_errors,
            "dCost/dInput": [found.inputs.flatten(1).mean(0)],
        }
        for what, values in named.items():
            self.derived |= named_numbers(f"{when} {what}", [each.detach().numpy() for each in values])
        error, cost = self._error_and_cost()
        self.derived |= {f"{when} error": error, f"{when} cost": cost}

    def figures(self) -> list[tuple[Figure, float | None]]:
        """The document's figures of this network, each with the derived value, or None before it is reached."""
        if not self.plan.as_printed:
            return []
        return [(each, self.derived.get(each.figure)) for each in figures() if each.example == self.plan.preset]

    def numbers(self, inputs: tuple[float, ...], example: int) -> Numbers:
        """All numbers of the network at an input [n_0], with the target of training example `example`."""
        target = self.plan.data[1][example]
        return numbers_at(self.net, [inputs], [target], self.plan.cost)[0]

    def move_input(self, inputs: tuple[float, ...], example: int) -> tuple[float, ...]:
        """One step of gradient descent on the input [n_0], with fixed weights, inside [0, 1]."""
        gradient = self.numbers(inputs, example).input_gradient
        moved = np.clip(np.array(inputs) - self.plan.rate * gradient, 0, 1)
        return tuple(float(value) for value in moved)
