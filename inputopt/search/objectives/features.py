"""Feature visualisation objectives: neuron, channel, layer, direction, class logit and log-probability.

They are to be maximised. If an objective is for several pictures, example i is for picture `problem.label[i]`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inputopt import checks
from inputopt.nets.class_names import by_name, of_imagenet
from inputopt.nets.class_probabilities import log_probabilities, looks_like_probabilities
from inputopt.search.channel_axes.layout import Layout, NetworkGeometry, axis_of, channels_second, grid_of
from inputopt.search.objectives.layer_energy import layer_energy
from inputopt.search.objectives.matching import diversity
from inputopt.search.objectives.objective import Objective
from inputopt.search.objectives.total_variation import total_variation
from inputopt.search.problem import Problem


def Neuron(
    layer: str,
    channel: int | Sequence[int],
    y: int | None = None,
    x: int | None = None,
    *,
    place: int | None = None,
    axis: int | None = None,
) -> Objective:
    """Activation of one neuron: a channel of a layer at one position, by default the centre.

    Args:
        layer: name of a module.
        channel: channel index, or a sequence of them, one for each picture.
        y, x: row and column, for layers [B, C, H, W] or [B, H, W, C]. Tokens [B, N, C] are taken as a grid of square
            patches in row-major order that covers the image, after removing concatenated ones (class tokens); if they
            are no such grid, use `place`.
        place: alternative to y and x: flat index of the position over all non-channel axes, class tokens included.
        axis: channel axis of the layer's output [B, ...]; found automatically if not given.

    Raises:
        ValueError, TypeError: invalid arguments; in a search, a channel or position that does not exist.
    """
    channels = _numbers("channel", channel)
    for what, number in (("y", y), ("x", x), ("place", place)):
        if number is not None:
            checks.whole(what, number, least=0)
    if place is not None and (y is not None or x is not None):
        raise ValueError("Give a neuron's position either as y and x or as place, not as both.")

    def value(seen: Tensor, image: Tensor, problem: Problem, known: Layout | None) -> Tensor:
        found = _selected(seen, channels, layer, problem)
        if found.ndim == 1 and (y, x, place) != (None, None, None):
            raise ValueError(f"Layer {layer!r} has no positions, only channels; omit y, x and place.")
        if found.ndim == 1:
            return found
        if place is not None:
            flat = found.flatten(1)
            return flat[:, _within("place", place, flat.shape[1], layer)]
        found = _as_grid(found, image, layer, known) if found.ndim == 2 else found
        row, column = (
            _within(what, size // 2 if number is None else number, size, layer)
            for what, number, size in zip("yx", (y, x), found.shape[-2:], strict=True)
        )
        return found[..., row, column].reshape(len(found), -1).mean(1)

    more = {} if place is None else {"place": int(place)}
    return _of_layer(value, layer, len(channels), ["Neuron", layer, _plain(channel, channels), y, x], axis, more)


def _as_grid(found: Tensor, image: Tensor, layer: str, known: Layout | None) -> Tensor:
    """Reshape token positions [B, N] to [B, rows, columns], without tokens that are not image patches."""
    before, after = (0, 0) if known is None else (known.before, known.after)
    patches = found[:, before : found.shape[1] - after]
    grid = grid_of(patches.shape[1], *image.shape[2:]) if image.ndim == 4 else None
    if grid is None:
        raise ValueError(
            f"The {patches.shape[1]} positions of {layer!r} do not form a grid of rows and columns over inputs "
            f"{list(image.shape[1:])}; choose one with place=, 0 to {found.shape[1] - 1}."
        )
    return patches.reshape(len(patches), *grid)


def Channel(layer: str, channel: int | Sequence[int], *, axis: int | None = None) -> Objective:
    """Mean activation of a channel over all positions of a layer; in a layer [B, C], the activation of one neuron.

    Channels are on axis 1 of the output of convolutions, [B, C, H, W], and on the last axis of tokens [B, N, C] and of
    channels-last images [B, H, W, C]. The axis is found by following the network's operations; `axis` gives it where
    that is not possible. Class tokens count as positions.

    Raises:
        ValueError, TypeError: not a channel index; in a search, a channel that does not exist.
    """
    channels = _numbers("channel", channel)

    def value(seen: Tensor, image: Tensor, problem: Problem, known: Layout | None) -> Tensor:
        found = _selected(seen, channels, layer, problem)
        return found.reshape(len(found), -1).mean(1)

    return _of_layer(value, layer, len(channels), ["Channel", layer, _plain(channel, channels)], axis)


def Layer(layer: str) -> Objective:
    """The mean square activation of a layer: the objective of DeepDream."""
    energy = layer_energy([_name(layer)])
    return Objective(energy.value, (layer,), logits=False, plain=["Layer", layer])


def Direction(layer: str, direction: Any, *, axis: int | None = None) -> Objective:
    """Projection of a layer's mean activation over positions on a direction [C], or on several [n, C], of unit norm.

    Directions are normalised to norm 1. `axis` is the channel axis of the layer's output, as for `Channel`.

    Raises:
        ValueError: a direction of norm 0, or of another shape.
    """
    given = direction if isinstance(direction, Tensor) else np.asarray(direction)  # lists keep float64 precision
    vectors = checks.tensor("direction", given, torch.float64, torch.device("cpu"))
    vectors = vectors if vectors.ndim == 2 else vectors[None]
    if vectors.ndim != 2 or not bool(vectors.any(1).all()):
        raise ValueError("direction must be a non-zero vector [C], or [n, C] for n pictures.")
    unit = vectors / vectors.norm(dim=1, keepdim=True)

    def value(seen: Tensor, image: Tensor, problem: Problem, known: Layout | None) -> Tensor:
        mean = seen.flatten(2).mean(2) if seen.ndim > 2 else seen
        if mean.shape[1] != unit.shape[1]:
            raise ValueError(
                f"Layer {layer!r} has {mean.shape[1]} channels, but direction has {unit.shape[1]} elements."
            )
        directions = unit.to(mean)[problem.label if len(unit) > 1 else torch.zeros_like(problem.label)]
        return (mean * directions).sum(1)

    plain = vectors.tolist() if len(vectors) > 1 else vectors[0].tolist()
    return _of_layer(value, layer, len(vectors), ["Direction", layer, plain], axis)


def Class(number: int | str | Sequence[int | str]) -> Objective:
    """The logit of a class.

    Args:
        number: the class, or several, one for each picture: its index, or for ImageNet networks its name, "daisy".

    Raises:
        ValueError, TypeError: not a class; in a search, a class that does not exist, or a name for a network that has
            other classes than ImageNet's.
        ModuleNotFoundError: the package with the names is not installed.
    """
    given, named = by_name(number)
    numbers = _numbers("class", given)

    def value(outputs: Tensor, _: Tensor, problem: Problem) -> Tensor:
        return _selected(of_imagenet(outputs, named), numbers, "the output", problem)

    return Objective(value, count=len(numbers), plain=["Class", _plain(given, numbers)])


def LogProbability(number: int | str | Sequence[int | str], temperature: float = 1.0) -> Objective:
    """The log-probability of a class; unlike its logit, it decreases as other logits increase.

    Args:
        number: the class, or several, one for each picture, as for `Class`.
        temperature: divides the logits, and multiplies the log-probability. At 1 the objective saturates once the
            class has probability near 1; at higher values, competing classes are still lowered long after. Only in
            short searches did other networks recognise the pictures better.

    Raises:
        ValueError, TypeError, ModuleNotFoundError: as for `Class`, or a temperature that is not above 0.
    """
    given, named = by_name(number)
    numbers = _numbers("class", given)
    checks.positive("temperature", temperature)

    def value(outputs: Tensor, _: Tensor, problem: Problem) -> Tensor:
        logits = of_imagenet(outputs, named)
        if looks_like_probabilities(logits):
            logits = log_probabilities(logits)
        scaled = logits / temperature
        return temperature * _selected(scaled.log_softmax(1), numbers, "the output", problem)

    plain = ["LogProbability", _plain(given, numbers)]
    # the default temperature is left out
    return Objective(value, count=len(numbers), plain=plain if temperature == 1 else [*plain, temperature])


FEATURES: dict[str, Callable[..., Objective]] = {
    "Neuron": Neuron,
    "Channel": Channel,
    "Layer": Layer,
    "Direction": Direction,
    "Class": Class,
    "LogProbability": LogProbability,
    "diversity": diversity,
    "total_variation": total_variation,
}
LIST_ENTRY = {"Neuron": 2, "Channel": 2, "Direction": 2, "Class": 1, "LogProbability": 1}
"""Index, in each plain form, of the entry that may be a list with one item for each picture."""


def objective_from_plain(plain: Any) -> Objective:
    """Rebuild an objective from its `plain`; a dict at the end of a plain form holds keyword arguments.

    Raises:
        ValueError: not a plain form of any objective in `FEATURES`.
    """
    match plain:
        case ["+", first, second]:
            return objective_from_plain(first) + objective_from_plain(second)
        case ["*", first, factor]:
            return objective_from_plain(first) * factor
        case [str(name), *given, dict(keywords)]:
            return FEATURES[checks.one_of("objective", name, FEATURES)](*given, **keywords)
        case [str(name), *given]:
            return FEATURES[checks.one_of("objective", name, FEATURES)](*given)
    raise ValueError(f"{plain!r} does not describe a known objective; make the picture again.")


def plain_of_one(plain: Any, number: int) -> Any:
    """The plain form of picture `number`, from the plain form for several pictures."""
    if plain is None:
        return None
    name, *rest = plain
    if name == "+":
        return [name, *(plain_of_one(part, number) for part in rest)]
    if name == "*":
        return [name, plain_of_one(rest[0], number), rest[1]]
    place = LIST_ENTRY.get(name)
    if place is None or not isinstance(plain[place], list):
        return plain
    several = name != "Direction" or isinstance(plain[place][0], list)
    return [*plain[:place], plain[place][number], *plain[place + 1 :]] if several else plain


Value = Callable[[Tensor, Tensor, Problem, Layout | None], Tensor]
"""(layer output [B, C, ...], image, problem, layout if known) -> value [B]."""


def _of_layer(
    value: Value, layer: str, count: int, plain: list[Any], axis: int | None, keywords: Mapping[str, Any] | None = None
) -> Objective:
    """Objective of the channels of one layer."""
    stated = axis_of(_name(layer), axis)
    options = {**(keywords or {}), **({} if stated is None else {"axis": stated})}

    def made(place: int | None, known: Layout | None) -> Objective:
        def seen(outputs: dict[str, Tensor], x: Tensor, problem: Problem) -> Tensor:
            return value(channels_second(outputs[layer], layer, place), x, problem, known)

        return Objective(seen, (layer,), logits=False, count=count, plain=[*plain, options] if options else plain)

    def bound(to: NetworkGeometry) -> Objective:
        known = to.layout(layer, stated)
        return made(known.axis, known)

    return replace(made(stated, None), bind=bound)


def _name(layer: str) -> str:
    if not isinstance(layer, str):
        raise TypeError(f"layer must be the name of a module, not {type(layer).__name__}.")
    return layer


def _numbers(what: str, given: int | Sequence[int]) -> tuple[int, ...]:
    listed: Any = given.tolist() if isinstance(given, (np.ndarray, Tensor)) else given
    several: Sequence[Any] = listed if isinstance(listed, (list, tuple, range)) else [listed]
    if not several:
        raise ValueError(f"{what} must hold at least one index.")
    return tuple(checks.whole(what, number, least=0) for number in several)


def _plain(given: Any, numbers: tuple[int, ...]) -> int | list[int]:
    """A single number unchanged, several as a list."""
    return numbers[0] if isinstance(given, Integral) else list(numbers)


def _selected(activations: Tensor, numbers: tuple[int, ...], layer: str, problem: Problem) -> Tensor:
    """Select the channel of each example, [B, ...]."""
    _within("channel" if layer != "the output" else "class", max(numbers), activations.shape[1], layer)
    if len(numbers) == 1:
        return activations[:, numbers[0]]
    chosen = torch.tensor(numbers, device=activations.device)[problem.label]
    return activations[torch.arange(len(chosen), device=chosen.device), chosen]


def _within(what: str, place: int, size: int, layer: str) -> int:
    if place >= size:
        raise ValueError(f"{what} must be at most {size - 1} in {layer}, not {place}.")
    return place
