"""Objectives of visualisation: a neuron, a channel, a layer, a direction in one, a class. Larger is more of it.

Where several are given, they are for a batch: example i shows the one of number `problem.label[i]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from inputopt import checks
from inputopt.search.likeness import diversity, total_variation
from inputopt.search.objectives import Objective, layer_energy
from inputopt.search.problem import Problem


def Neuron(layer: str, channel: int | Sequence[int], y: int | None = None, x: int | None = None) -> Objective:
    """One neuron's activation: a channel of a layer [B, C, H, W] in row `y` and column `x`, the middle if not given."""
    channels = _numbers("channel", channel)
    for what, place in (("y", y), ("x", x)):
        if place is not None:
            checks.whole(what, place, least=0)

    def value(outputs: dict[str, Tensor], _: Tensor, problem: Problem) -> Tensor:
        found = _picked(outputs[layer], channels, layer, problem)
        if found.ndim == 1:
            return found
        row, column = (
            _within(what, size // 2 if place is None else place, size, layer)
            for what, place, size in zip("yx", (y, x), found.shape[-2:], strict=True)
        )
        return found[..., row, column].reshape(len(found), -1).mean(1)

    return _objective(value, layer, channels, ["Neuron", layer, channel, y, x])


def Channel(layer: str, channel: int | Sequence[int]) -> Objective:
    """A channel's mean activation over a layer [B, C, ...]; in a layer [B, C] that of one neuron."""
    channels = _numbers("channel", channel)

    def value(outputs: dict[str, Tensor], _: Tensor, problem: Problem) -> Tensor:
        found = _picked(outputs[layer], channels, layer, problem)
        return found.reshape(len(found), -1).mean(1)

    return _objective(value, layer, channels, ["Channel", layer, channel])


def Layer(layer: str) -> Objective:
    """The mean square activation of a layer: whatever it sees, more of it, as in a dream."""
    energy = layer_energy([layer])
    return _objective(energy.value, layer, (0,), ["Layer", layer])


def Direction(layer: str, direction: Any) -> Objective:
    """The mean activation of a layer [B, C, ...] along a direction [C], whose length is put to 1, or several [n, C].

    Raises:
        ValueError: a direction of length 0, or of another shape.
    """
    vectors = torch.as_tensor(direction).detach().double()
    vectors = checks.finite("direction", vectors if vectors.ndim == 2 else vectors[None])
    if vectors.ndim != 2 or not bool(vectors.any(1).all()):
        raise ValueError("direction must be numbers [C], or [n, C] for n pictures, and not all of them 0.")
    unit = vectors / vectors.norm(dim=1, keepdim=True)

    def value(outputs: dict[str, Tensor], _: Tensor, problem: Problem) -> Tensor:
        mean = outputs[layer].flatten(2).mean(2) if outputs[layer].ndim > 2 else outputs[layer]
        if mean.shape[1] != unit.shape[1]:
            raise ValueError(
                f"Layer {layer!r} has {mean.shape[1]} channels, so direction cannot have {unit.shape[1]} numbers."
            )
        own = unit.to(mean)[problem.label if len(unit) > 1 else torch.zeros_like(problem.label)]
        return (mean * own).sum(1)

    plain = vectors.tolist() if len(vectors) > 1 else vectors[0].tolist()
    return _objective(value, layer, range(len(vectors)), ["Direction", layer, plain])


def Class(number: int | Sequence[int]) -> Objective:
    """The logit of a class."""
    numbers = _numbers("class", number)

    def value(outputs: Tensor, _: Tensor, problem: Problem) -> Tensor:
        return _picked(outputs, numbers, "the output", problem)

    return Objective(value, count=len(numbers), plain=["Class", number if isinstance(number, int) else list(number)])


def Belief(number: int | Sequence[int], temperature: float = 1.0) -> Objective:
    """The log-probability of a class: unlike its logit, it also falls as other classes rise.

    Args:
        number: the class, or several, one a picture.
        temperature: the logits are divided by it, and the log-probability then multiplied. At 1 nothing is left to
            gain once the network is sure; at more, every class that comes near is pushed down long after. That other
            networks read the picture better was seen in short searches only.

    Raises:
        ValueError, TypeError: no class, or a temperature that is not above 0.
    """
    numbers = _numbers("class", number)
    checks.positive("temperature", temperature)

    def value(outputs: Tensor, _: Tensor, problem: Problem) -> Tensor:
        return temperature * _picked((outputs / temperature).log_softmax(1), numbers, "the output", problem)

    plain = ["Belief", number if isinstance(number, int) else list(number)]
    # a plain Belief says what it always said, so that recipes of old pictures stay what they are
    return Objective(value, count=len(numbers), plain=plain if temperature == 1 else [*plain, temperature])


FEATURES = {
    "Neuron": Neuron,
    "Channel": Channel,
    "Layer": Layer,
    "Direction": Direction,
    "Class": Class,
    "Belief": Belief,
}
SEVERAL = {"Neuron": 2, "Channel": 2, "Direction": 2, "Class": 1, "Belief": 1}
"""Where in its plain form each says what it is about, and may give several."""


def rebuilt(plain: Any) -> Objective:
    """The objective whose `plain` this is.

    Raises:
        ValueError: no objective of features has such a form.
    """
    match plain:
        case ["+", first, second]:
            return rebuilt(first) + rebuilt(second)
        case ["*", first, factor]:
            return rebuilt(first) * factor
        case ["diversity", str(layer)]:
            return diversity(layer)
        case ["total_variation"]:
            return total_variation()
        case [str(name), *rest]:
            return FEATURES[checks.one_of("objective", name, FEATURES)](*rest)  # type: ignore[operator]
    raise ValueError(f"{plain!r} does not say which objective it was; make the picture anew.")


def only(plain: Any, number: int) -> Any:
    """Of a plain form for several pictures, that of one."""
    if plain is None:
        return None
    name, *rest = plain
    if name == "+":
        return [name, *(only(part, number) for part in rest)]
    if name == "*":
        return [name, only(rest[0], number), rest[1]]
    place = SEVERAL.get(name)
    if place is None or not isinstance(plain[place], list):
        return plain
    several = name != "Direction" or isinstance(plain[place][0], list)
    return [*plain[:place], plain[place][number], *plain[place + 1 :]] if several else plain


def _objective(value: Any, layer: str, several: Sequence[int], plain: list[Any]) -> Objective:
    if not isinstance(layer, str):
        raise TypeError(f"layer must be the name of a module, not {type(layer).__name__}.")
    listed = [list(part) if isinstance(part, (range, tuple)) else part for part in plain]
    return Objective(value, (layer,), logits=False, count=len(several), plain=listed)


def _numbers(what: str, given: int | Sequence[int]) -> tuple[int, ...]:
    several: Sequence[Any] = given if isinstance(given, (list, tuple, range)) else [given]
    if not several:
        raise ValueError(f"{what} must name at least one.")
    return tuple(checks.whole(what, number, least=0) for number in several)


def _picked(activations: Tensor, numbers: tuple[int, ...], layer: str, problem: Problem) -> Tensor:
    """Of each example its channel, [B, ...]."""
    _within("channel" if layer != "the output" else "class", max(numbers), activations.shape[1], layer)
    if len(numbers) == 1:
        return activations[:, numbers[0]]
    chosen = torch.tensor(numbers, device=activations.device)[problem.label]
    return activations[torch.arange(len(chosen), device=chosen.device), chosen]


def _within(what: str, place: int, size: int, layer: str) -> int:
    if place >= size:
        raise ValueError(f"{what} must be at most {size - 1} in {layer}, not {place}.")
    return place
