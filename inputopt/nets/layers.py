"""Layers by name: what they put out, told apart by call where a module is called more than once in a forward.

"act" is what the module of that name puts out at its first call, as is "act:1"; "act:2" is its second call, "act:last"
its last. The names are those of `named_modules()`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from inputopt import checks
from inputopt.nets.inference.convolution import FewChannels

LAST = "last"

Seen = Callable[[str, int, Any], None]


@dataclass(frozen=True)
class Layer:
    """A module of a network.

    Attributes:
        name: as in `named_modules()`.
        kind: its class.
        shapes: of what it puts out for one example, for each call; None where that is not one tensor.
    """

    name: str
    kind: str
    shapes: tuple[tuple[int, ...] | None, ...]

    def calls(self) -> tuple[str, ...]:
        """What each of its calls is called.

        >>> Layer("act", "ReLU", ((3,), (3,), (3,))).calls()
        ('act:1', 'act:2', 'act:3 or act:last')
        """
        if len(self.shapes) < 2:
            return (self.name,) * len(self.shapes)
        calls = [f"{self.name}:{number}" for number in range(1, len(self.shapes) + 1)]
        return (*calls[:-1], f"{calls[-1]} or {self.name}:{LAST}")


def names(model: Any) -> list[str]:
    """The names of all modules inside; none for what is no module."""
    if not isinstance(model, nn.Module):
        return []
    return [name for name, _ in model.named_modules(remove_duplicate=False) if name]


def parsed(layer: str, known: Sequence[str]) -> tuple[str, int | None]:
    """The module's name and which of its calls is meant, the first is 1; None for the last.

    Raises:
        ValueError: no module is called so, which suggests the nearest, or no call.

    >>> parsed("act:last", ["act"])
    ('act', None)
    """
    name, colon, call = str(layer).partition(":")
    if layer == "":
        return "", 1  # the model itself
    checks.one_of("layer", name, known)
    if call == LAST:
        return name, None
    if colon and not (call.isdecimal() and int(call) > 0):
        raise ValueError(f"Unknown call {layer!r}; say {name}:1 for the first, {name}:2 or {name}:{LAST}.")
    return name, int(call or 1)


def captured(
    model: nn.Module, layers: Sequence[str], run: Callable[[], Any], known: Sequence[str] | None = None
) -> dict[str, Tensor]:
    """What each of `layers` puts out while `run` runs the model; nothing behind the last of them is run.

    The last call of a module is known only at the end, so for that the model is run to its end.

    Raises:
        ValueError, TypeError: a layer that does not exist, is not called so often, or puts out more than one tensor.
    """
    known = names(model) if known is None else known  # listing them takes a millisecond
    wanted = {layer: parsed(layer, known) for layer in layers}
    found: dict[str, Tensor] = {}

    def see(name: str, call: int, output: Any) -> None:
        for layer in [layer for layer, (of, which) in wanted.items() if of == name and which in (call, None)]:
            if not isinstance(output, Tensor):
                raise TypeError(f"Layer {layer!r} puts out more than one tensor; choose a layer that puts out one.")
            found[layer] = output
        if len(found) == len(wanted) and all(which is not None for _, which in wanted.values()):
            raise _Enough

    with _watched(model, {name for name, _ in wanted.values()}, see) as counts:
        try:
            run()
        except _Enough:
            return found
    missing = [layer for layer in wanted if layer not in found]
    if missing:
        name, times = wanted[missing[0]][0], counts[wanted[missing[0]][0]]
        often = f"calls {name} only {times} times" if times else f"never calls {name}"
        raise ValueError(f"The model {often}, so there is no {missing[0]}; choose a layer that it calls.")
    return found


def listed(model: nn.Module, run: Callable[[], Any]) -> list[Layer]:
    """Every module with the shapes of what it puts out while `run` runs the model, in the order of `named_modules`."""
    known, shapes = names(model), {}

    def see(name: str, call: int, output: Any) -> None:
        shapes[name, call] = tuple(output.shape[1:]) if isinstance(output, Tensor) else None

    with _watched(model, known, see) as counts:
        run()
    return [
        Layer(name, _kind(model.get_submodule(name)), tuple(shapes[name, call + 1] for call in range(counts[name])))
        for name in known
    ]


def _kind(module: nn.Module) -> str:
    return "Conv2d" if isinstance(module, FewChannels) else type(module).__name__


@contextmanager
def _watched(model: nn.Module, watched: Any, see: Seen) -> Iterator[Mapping[str, int]]:
    """Every call of those modules is shown to `see` inside, and counted; no hook is left, whatever happens."""
    counts: Counter[str] = Counter()

    def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def seen(module: nn.Module, inputs: Any, output: Any) -> None:
            counts[name] += 1
            see(name, counts[name], output)

        return seen

    handles: list[RemovableHandle] = []
    try:
        for name in watched:
            handles.append(model.get_submodule(name).register_forward_hook(hook(name)))
        yield counts
    finally:
        for handle in handles:
            handle.remove()


class _Enough(Exception):  # noqa: N818  # not an error: every layer asked for has been seen
    pass
