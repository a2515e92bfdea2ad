"""What could repair a network's gradients, found in a few forwards: operations, and inner tensors to tap."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inputopt.nets.frozen import Frozen
from inputopt.nets.gradient_rules.gradient_repair import (
    ENTRIES,
    EVERY_TAP,
    LIKE,
    GradientRepair,
    likeness,
    prepared,
    watched,
)
from inputopt.search.network_draws import Draws, keyed, unseeded

ROWS = 16
"""Inputs that the network is inspected on."""

MEMBER = 0.7
"""Share of the inputs on which an inner tensor's largest element is the predicted class, for it to be logits."""

DRAWS = 8
"""Forwards of a random network: an operation that half of them run is missed in one of 256 inspections."""

INSPECTING = 11
"""Purpose key of these draws, which no search uses."""

SOFT = 0.8
"""Share of distinct values among the elements of logits: one-hot codes and saturated probabilities have fewer."""


@dataclass(frozen=True)
class Inspection:
    """Repairs that exist for a network; which of them help is measured later.

    Attributes:
        likely: repairs of the path from the input, each with what it does, for a report.
        further: others, to be tried if those do not help.
        outputs: inner tensors [B, n] to take as logits, with what they are; empty if there are none.
    """

    likely: tuple[tuple[str, GradientRepair], ...]
    further: tuple[tuple[str, GradientRepair], ...]
    outputs: tuple[tuple[str, tuple[int, ...]], ...]


def inspect(net: Frozen, x: Tensor, alone: bool = False) -> Inspection:
    """Find the repairs that exist for a network; a random one is run several times, each draw of which may differ.

    Args:
        net: the network.
        x: inputs [B, ...].
        alone: whether the network depends on the batch, so that it is run on one input.
    """
    rows = x[:1] if alone else x[:ROWS] if len(x) > 1 else torch.cat([x, x])
    draws = keyed(0, INSPECTING)
    with draws(0):
        return _inspected(net, rows, alone, draws if net.is_random else unseeded)


def _inspected(net: Frozen, rows: Tensor, alone: bool, draws: Draws) -> Inspection:
    plain = GradientRepair(alone=alone)
    likely: list[tuple[str, GradientRepair]] = []
    further: list[tuple[str, GradientRepair]] = []
    through = replace(plain, straight_through=True)
    applied, saturating = _counts(net, rows, through, draws)
    base = plain
    if applied:
        base, name = through, "straight-through gradients"
    if _custom(net, rows, base, draws):
        base, name = replace(base, bypass=True), "gradients that bypass custom backward functions"
    if base != plain:
        likely.append((name, base))
    elif alone:
        likely.append(("gradients of each input alone", base))
    for number in (ENTRIES, EVERY_TAP):
        if _has_taps(net, rows, replace(base, input_tap=number)):
            tapped = likely if number == ENTRIES else further
            tapped.append(("the gradient behind the preprocessing", replace(base, input_tap=number)))
            if base != plain:
                further.append(("the gradient behind the preprocessing", replace(plain, input_tap=number)))
    if saturating:
        further.append(("gradients that pass saturated units", _leaking(base)))
        further += [(name, _leaking(each)) for name, each in likely if each.input_tap is not None]
    return Inspection(tuple(likely), tuple(further), tuple(_outputs(net, rows, base)))


def _leaking(repair: GradientRepair) -> GradientRepair:
    return replace(repair, straight_through=True, leak=True)


def _counts(net: Frozen, rows: Tensor, repair: GradientRepair, draws: Draws) -> tuple[int, int]:
    """Operations replaced and saturating operations met with straight-through gradients; 0 if the model fails."""
    applied = saturating = 0
    for draw in range(1 if draws is unseeded else DRAWS):
        try:
            with torch.enable_grad(), draws(draw):
                seen = watched(net.runner, prepared(net.runner, rows.detach().requires_grad_()), repair)
        except Exception:  # models may refuse tensors that carry a gradient, in any way
            continue
        applied = max(applied, seen.applied if seen.outputs.requires_grad else 0)
        saturating = max(saturating, seen.saturating)
    return applied, saturating


def has_widths(net: Frozen, x: Tensor, repair: GradientRepair) -> bool:
    """Whether a repair's stand-ins have a width; false if the model fails."""
    rows = x[:1] if repair.alone else x[:2]
    try:
        with torch.enable_grad():
            seen = watched(net.runner, prepared(net.runner, rows.detach().requires_grad_()), repair)
    except Exception:  # models may refuse tensors that carry a gradient, in any way
        return False
    return bool(seen.shaped or (repair.leak and seen.saturating))


def _custom(net: Frozen, rows: Tensor, repair: GradientRepair, draws: Draws) -> int:
    """Custom backward functions met; 0 if the model fails."""
    found = 0
    for draw in range(1 if draws is unseeded else DRAWS):
        try:
            with torch.enable_grad(), draws(draw):
                given = prepared(net.runner, rows.detach().requires_grad_())
                found = max(found, watched(net.runner, given, replace(repair, bypass=True)).bypassed)
        except Exception:
            continue
    return found


def _has_taps(net: Frozen, rows: Tensor, repair: GradientRepair) -> bool:
    """Whether any inner tensor at the repair's `input_tap` resembles the input."""
    given = prepared(net.runner, rows.detach().requires_grad_())
    found: list[int] = []

    def visit(number: int, tensor: Tensor) -> Tensor:
        if float(likeness(given, tensor).mean()) >= LIKE:
            found.append(number)
        return tensor

    try:
        with torch.enable_grad():
            watched(net.runner, given, replace(repair, bypass=False), visit)
    except Exception:
        return False
    return bool(found)


def _outputs(net: Frozen, rows: Tensor, repair: GradientRepair) -> list[tuple[str, tuple[int, ...]]]:
    """Inner tensors [B, n] that could be the logits: a single one, or several that are averaged."""
    taps: dict[int, Tensor] = {}
    offsets: dict[int, Tensor] = {}

    def visit(number: int, tensor: Tensor) -> Tensor:
        offsets[number] = torch.zeros_like(tensor, requires_grad=True)
        taps[number] = tensor + offsets[number]
        return taps[number]

    try:
        with torch.enable_grad():
            given = prepared(net.runner, rows.detach().requires_grad_())
            seen = watched(net.runner, given, repair, visit_outputs=visit)
    except Exception:
        return []
    verdict, classes = seen.outputs.detach().argmax(1), seen.outputs.shape[1]
    agreeing = {
        number: float((tap.detach().argmax(1) == verdict).double().mean())
        for number, tap in taps.items()
        if tap.shape[1] == classes and _is_soft(tap.detach())
    }
    agreeing = {number: share for number, share in agreeing.items() if share >= MEMBER}
    chains = _chains(taps, offsets, sorted(agreeing))
    if not chains or all(taps[number] is seen.outputs for chain in chains for number in chain):
        return []
    chosen = tuple(max(chain, key=lambda number: (agreeing[number], -number)) for chain in chains)
    if len(chosen) == 1 and _same(taps[chosen[0]].detach(), seen.outputs.detach()):
        return []
    name = "the logits before the last layers" if len(chosen) == 1 else f"the mean of {len(chosen)} members' logits"
    return [(name, chosen)]


def _chains(taps: dict[int, Tensor], offsets: dict[int, Tensor], numbers: list[int]) -> list[list[int]]:
    """The tensors grouped by the first of them that each depends on; those that depend on several are left out."""
    roots: list[int] = []
    chains: dict[int, list[int]] = {}
    for number in numbers:
        behind = [root for root in roots if _depends(taps[number], offsets[root])]
        if not behind:
            roots.append(number)
            chains[number] = [number]
        elif len(behind) == 1:
            chains[behind[0]].append(number)
    return list(chains.values())


def _depends(tensor: Tensor, on: Tensor) -> bool:
    if not tensor.requires_grad:
        return False
    return torch.autograd.grad(tensor.sum(), on, retain_graph=True, allow_unused=True)[0] is not None


def _is_soft(logits: Tensor) -> bool:
    """Whether most elements of each row are distinct and finite."""
    if not bool(logits.isfinite().all()):
        return False
    distinct = sum(len(row.unique()) for row in logits) / logits.numel()
    return distinct >= SOFT


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool(torch.allclose(one, other))
