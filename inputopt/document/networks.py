"""The document's worked networks: initial weights, training examples and numbers of updates."""

from __future__ import annotations

from dataclasses import dataclass, replace

from inputopt.nets.mlp import MLP

LEARNING_RATE = 0.5
Numbers = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Example:
    """One worked network: exact initial weights and biases per layer, training examples, and number of updates."""

    title: str
    sizes: tuple[int, ...]
    weights: tuple[Numbers, ...]
    biases: Numbers
    inputs: Numbers
    targets: Numbers
    trainings: int
    hold_biases: bool = False

    def network(self) -> MLP:
        """The untrained network."""
        net = MLP(self.sizes, weights=self.weights, biases=self.biases)
        for bias in net.biases:
            bias.requires_grad_(not self.hold_biases)
        return net


_NEURON = Example("one neuron", (1, 1), (((0.3,),),), ((0.5,),), ((1,),), ((0,),), 10_000)
_TWO_NEURONS = Example("two neurons", (2, 2), (((0.2, 0.8), (0.6, 0.4)),), ((0.5, 0.1),), ((0, 1),), ((1, 0),), 20_000)
_HIDDEN_LAYER = Example(
    "a hidden layer",
    (2, 2, 2),
    (((0.15, 0.20), (0.25, 0.30)), ((0.40, 0.45), (0.50, 0.55))),
    ((0.35, 0.35), (0.6, 0.6)),
    ((0.05, 0.10),),
    ((0.01, 0.99),),
    5_000,
)

EXAMPLES = {
    "1": _NEURON,
    "2": replace(_NEURON, title="a NOT gate", inputs=((1,), (0,)), targets=((0,), (1,)), trainings=100_000),
    "3a": _TWO_NEURONS,
    "3b": replace(
        _TWO_NEURONS,
        title="OR and AND",
        inputs=((0, 0), (0, 1), (1, 0), (1, 1)),
        targets=((0, 0), (1, 0), (1, 0), (1, 1)),
        trainings=520_000,
    ),
    "4": _HIDDEN_LAYER,
    "4 held": replace(_HIDDEN_LAYER, title="a hidden layer, fixed biases", trainings=10_000, hold_biases=True),
}
