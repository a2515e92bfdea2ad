"""Objectives of visualisation: a neuron, a channel, a layer, a direction in one, a class. Larger is more of it.

Where several are given, they are for a batch: example i shows the one of number `problem.label[i]`.
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
    """One neuron's activation: a channel of a layer at one place, the middle if none is given.

    Args:
        layer: a module's name.
        channel: which, or several, one a picture.
        y, x: the row and the column, of a layer whose places are rows and columns, [B, C, H, W] or [B, H, W, C]. Tokens
            [B, N, C] are taken for squares of one size that cover the image, row by row, behind those that were
            concatenated to them (class tokens); where they are no such grid, say `place`.
        place: instead, the number of the place, along all axes of places, class tokens included.
        axis: which axis of the layer's output [B, ...] holds its channels; found where it is not given.

    Raises:
        ValueError, TypeError: numbers that make no sense; in a search, a channel or place that there is not.
    """
    channels = _numbers("channel", channel)
    for what, number in (("y", y), ("x", x), ("place", place)):
        if number is not None:
            checks.whole(what, number, least=0)
    if place is not None and (y is not None or x is not None):
        raise ValueError("Say a neuron's place either by y and x or by place, not by both.")

    def value(seen: Tensor, image: Tensor, problem: Problem, known: Layout | None) -> Tensor:
        found = _picked(seen, channels, layer, problem)
        if found.ndim == 1 and (y, x, place) != (None, None, None):
            raise ValueError(f"Layer {layer!r} has no places, only channels; leave y, x and place out.")
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
    """Places [B, N] as [B, rows, columns], without those that are not the image's."""
    before, after = (0, 0) if known is None else (known.before, known.after)
    own = found[:, before : found.shape[1] - after]
    grid = grid_of(own.shape[1], *image.shape[2:]) if image.ndim == 4 else None
    if grid is None:
        raise ValueError(
            f"The {own.shape[1]} places of {layer!r} are no grid of rows and columns over inputs "
            f"{list(image.shape[1:])}; say which one by place=, 0 to {found.shape[1] - 1}."
        )
    return own.reshape(len(own), *grid)


def Channel(layer: str, channel: int | Sequence[int], *, axis: int | None = None) -> Objective:
    """A channel's mean activation over all places of a layer; in a layer [B, C] that of one neuron.

    Channels are on axis 1 of what a convolution puts out, [B, C, H, W], and on the last axis of tokens [B, N, C] and of
    images with the channels last, [B, H, W, C]. Which it is, is found by following the network's operations; `axis`
    says it where that is not possible. Class tokens count as places.

    Raises:
        ValueError, TypeError: not a number of a channel; in a search, a channel that there is not.
    """
    channels = _numbers("channel", channel)

    def value(seen: Tensor, image: Tensor, problem: Problem, known: Layout | None) -> Tensor:
        found = _picked(seen, channels, layer, problem)
        return found.reshape(len(found), -1).mean(1)

    return _of_layer(value, layer, len(channels), ["Channel", layer, _plain(channel, channels)], axis)


def Layer(layer: str) -> Objective:
    """The mean square activation of a layer: whatever it sees, more of it, as in a dream."""
    energy = layer_energy([_name(layer)])
    return Objective(energy.value, (layer,), logits=False, plain=["Layer", layer])


def Direction(layer: str, direction: Any, *, axis: int | None = None) -> Objective:
    """The activation of a layer along a direction [C], put to length 1, or along several [n, C]; its mean over places.

    `axis` says which axis of the layer's output holds its channels, as for `Channel`.

    Raises:
        ValueError: a direction of length 0, or of another shape.
    """
    given = direction if isinstance(direction, Tensor) else np.asarray(direction)  # a list keeps all its digits so
    vectors = checks.tensor("direction", given, torch.float64, torch.device("cpu"))
    vectors = vectors if vectors.ndim == 2 else vectors[None]
    if vectors.ndim != 2 or not bool(vectors.any(1).all()):
        raise ValueError("direction must be numbers [C], or [n, C] for n pictures, and not all of them 0.")
    unit = vectors / vectors.norm(dim=1, keepdim=True)

    def value(seen: Tensor, image: Tensor, problem: Problem, known: Layout | None) -> Tensor:
        mean = seen.flatten(2).mean(2) if seen.ndim > 2 else seen
        if mean.shape[1] != unit.shape[1]:
            raise ValueError(
                f"Layer {layer!r} has {mean.shape[1]} channels, so direction cannot have {unit.shape[1]} numbers."
            )
        own = unit.to(mean)[problem.label if len(unit) > 1 else torch.zeros_like(problem.label)]
        return (mean * own).sum(1)

    plain = vectors.tolist() if len(vectors) > 1 else vectors[0].tolist()
    return _of_layer(value, layer, len(vectors), ["Direction", layer, plain], axis)


def Class(number: int | Sequence[int]) -> Objective:
    """The logit of a class."""
    numbers = _numbers("class", number)

    def value(outputs: Tensor, _: Tensor, problem: Problem) -> Tensor:
        return _picked(outputs, numbers, "the output", problem)

    return Objective(value, count=len(numbers), plain=["Class", _plain(number, numbers)])


def LogProbability(number: int | Sequence[int], temperature: float = 1.0) -> Objective:
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

    plain = ["LogProbability", _plain(number, numbers)]
    # at temperature 1 it is left out
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
SEVERAL = {"Neuron": 2, "Channel": 2, "Direction": 2, "Class": 1, "LogProbability": 1}
"""Where in its plain form each says what it is about, and may give several."""


def rebuilt(plain: Any) -> Objective:
    """The objective whose `plain` this is; a dict at the end of a plain form holds what is said by keyword.

    Raises:
        ValueError: no objective of features has such a form.
    """
    match plain:
        case ["+", first, second]:
            return rebuilt(first) + rebuilt(second)
        case ["*", first, factor]:
            return rebuilt(first) * factor
        case [str(name), *given, dict(keywords)]:
            return FEATURES[checks.one_of("objective", name, FEATURES)](*given, **keywords)
        case [str(name), *given]:
            return FEATURES[checks.one_of("objective", name, FEATURES)](*given)
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


Value = Callable[[Tensor, Tensor, Problem, Layout | None], Tensor]
"""(a layer's output [B, C, ...], the image, the problem, the layout if it is known) -> [B]."""


def _of_layer(
    value: Value, layer: str, count: int, plain: list[Any], axis: int | None, keywords: Mapping[str, Any] | None = None
) -> Objective:
    """An objective that looks at the channels of one layer."""
    stated = axis_of(_name(layer), axis)
    said = {**(keywords or {}), **({} if stated is None else {"axis": stated})}

    def made(place: int | None, known: Layout | None) -> Objective:
        def seen(outputs: dict[str, Tensor], x: Tensor, problem: Problem) -> Tensor:
            return value(channels_second(outputs[layer], layer, place), x, problem, known)

        return Objective(seen, (layer,), logits=False, count=count, plain=[*plain, said] if said else plain)

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
        raise ValueError(f"{what} must name at least one.")
    return tuple(checks.whole(what, number, least=0) for number in several)


def _plain(given: Any, numbers: tuple[int, ...]) -> int | list[int]:
    """One number as it is, several as a list."""
    return numbers[0] if isinstance(given, Integral) else list(numbers)


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
