"""Repaired gradients: a network's forward with another derivative, and with the logits of an inner tensor.

Backward pass differentiable approximation (BPDA; Athalye et al., 2018): the values are the model's, and the gradient
skips what blocks it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from inputopt.nets.gradient_rules.custom_functions import bypass_custom_functions
from inputopt.nets.gradient_rules.straight_through import StraightThrough
from inputopt.nets.gradient_rules.taps import Taps
from inputopt.nets.inference.forward import Runner
from inputopt.nets.outputs import logits_in

Visit = Callable[[int, Tensor], Tensor]

EVERY_TAP = -1
"""As `input_tap`: every inner tensor that resembles the input, so that the last of them counts."""

ENTRIES = -2
"""As `input_tap`: those that are arguments of an operation with weights."""

LIKE = 0.4
"""Correlation with the input, over the elements of an example, from which on an inner tensor resembles it."""


@dataclass(frozen=True)
class GradientRepair:
    """What is changed in a forward and its derivative; by default nothing.

    Attributes:
        straight_through: whether `StraightThrough` is used.
        leak: whether saturating operations pass on a gradient everywhere; it needs `straight_through`.
        width: of the smooth functions that replace steps, relative to the spread of their arguments.
        bypass: whether custom autograd functions are bypassed.
        input_tap: number of the inner tensor of the input's size whose gradient is used as that of the input, or
            `EVERY_TAP` or `ENTRIES`, which do not depend on how many there are in a forward; None for none.
        output_taps: numbers of the inner tensors [B, n] that are averaged to logits; empty for the model's own.
        alone: whether each input is run in a batch of one.
    """

    straight_through: bool = False
    leak: bool = False
    width: float = 1.0
    bypass: bool = False
    input_tap: int | None = None
    output_taps: tuple[int, ...] = ()
    alone: bool = False


@dataclass
class Watched:
    """What one forward showed.

    Attributes:
        outputs: the model's outputs [B, n].
        applied: operations whose derivative was replaced.
        saturating: saturating operations met.
        shaped: operations replaced by a function that has a width.
        bypassed: custom functions bypassed.
    """

    outputs: Tensor
    applied: int = 0
    saturating: int = 0
    shaped: int = 0
    bypassed: int = 0


def repaired(runner: Runner, repair: GradientRepair) -> Callable[[Tensor], Tensor]:
    """The model as a function with repaired gradients: [B, ...] -> logits [B, n] with the model's own argmax."""

    def forward(x: Tensor) -> Tensor:
        if repair.alone and len(x) > 1:
            return torch.cat([forward(row) for row in torch.split(x, 1)])
        if not repair.alone and len(x) == 1 and repair.input_tap is not None:  # else parts of a batch look like it
            return forward(torch.cat([x, x]))[:1]
        inner: dict[int, Tensor] = {}

        def keep(number: int, tensor: Tensor) -> Tensor:
            if number in repair.output_taps:
                inner[number] = tensor
            return tensor

        def cut(number: int, tensor: Tensor) -> Tensor:
            if repair.input_tap in (EVERY_TAP, ENTRIES):
                return straight_where_like(given, tensor)
            return straight(given, tensor) if number == repair.input_tap else tensor

        given = prepared(runner, x)
        seen = watched(
            runner,
            given,
            repair,
            cut if repair.input_tap is not None and given.requires_grad else None,
            keep if repair.output_taps else None,
        )
        if not inner:
            return seen.outputs
        return with_argmax_of(
            _mean_logits([inner[number] for number in repair.output_taps if number in inner]), seen.outputs
        )

    return forward


def prepared(runner: Runner, x: Tensor) -> Tensor:
    """The input as the model is given it; not a leaf, so that a model may write to it."""
    given = runner.prepare(x, isolate=True)
    return given.clone() if given.is_leaf and given.requires_grad else given


def watched(
    runner: Runner,
    given: Tensor,
    repair: GradientRepair,
    visit_inputs: Visit | None = None,
    visit_outputs: Visit | None = None,
) -> Watched:
    """Run the model on prepared inputs with a repair; `visit_inputs` and `visit_outputs` get the tensors to tap.

    Those are the tensors that resemble an input by `is_like_input`, and the tensors [B, n].
    """
    seen = Watched(given)
    rule = StraightThrough(repair.leak, repair.width) if repair.straight_through else None
    with ExitStack() as stack:
        stack.enter_context(runner.evaluating())
        if rule is not None:
            stack.enter_context(rule)
        if visit_inputs is not None:
            entries = repair.input_tap == ENTRIES
            stack.enter_context(Taps(given, lambda tensor: is_like_input(tensor, given), visit_inputs, entries=entries))
        if visit_outputs is not None:
            stack.enter_context(Taps(given, lambda tensor: is_like_output(tensor, given), visit_outputs, graded=False))
        seen.outputs = _outputs(runner.model(given), len(given))
    if rule is not None:
        seen.applied, seen.saturating, seen.shaped = rule.applied, rule.saturating, rule.shaped
    if repair.bypass:
        seen.bypassed = bypass_custom_functions(seen.outputs)
    return seen


def is_like_input(tensor: Tensor, given: Tensor) -> bool:
    """Whether a tensor may be an input after some preprocessing: of its size, or images of another height and width."""
    if not tensor.is_floating_point() or tensor.ndim not in (given.ndim, 2) or len(tensor) != len(given):
        return False
    resized = tensor.ndim == given.ndim == 4 and tensor.shape[1] == given.shape[1] and tensor[0].numel() > 1
    return tensor.numel() == given.numel() or resized


def is_like_output(tensor: Tensor, given: Tensor) -> bool:
    """Whether a tensor may hold logits: [B, n], n at least 2, and not the input's size."""
    return tensor.is_floating_point() and tensor.ndim == 2 and len(tensor) == len(given) and tensor.shape[1] > 1


def aligned(given: Tensor, like: Tensor) -> Tensor:
    """The input in the shape of a tensor that `is_like_input`: reshaped, channels last, or resized."""
    if given.shape == like.shape:
        return given
    if given.numel() != like.numel():
        return functional.interpolate(given, like.shape[2:], mode="bilinear", align_corners=False)
    if given.ndim == 4 and like.shape == given.permute(0, 2, 3, 1).shape:
        return given.permute(0, 2, 3, 1)
    return given.reshape(like.shape)


def straight(given: Tensor, tensor: Tensor) -> Tensor:
    """The value of an inner tensor, with the gradient of the input in its place."""
    own = aligned(given, tensor).to(tensor.dtype)
    return tensor.detach().clone() + (own - own.detach())


def straight_where_like(given: Tensor, tensor: Tensor) -> Tensor:
    """As `straight` for the examples whose inner tensor resembles the input; the others are unchanged."""
    like = likeness(given, tensor) >= LIKE
    if not bool(like.any()):
        return tensor
    return torch.where(like.reshape(-1, *(1,) * (tensor.ndim - 1)), straight(given, tensor), tensor)


@torch.no_grad()
def likeness(given: Tensor, tensor: Tensor) -> Tensor:
    """Correlation of each example's inner tensor with its input, over their elements, [B]; 0 if one is constant."""
    one, other = (each.flatten(1).double() for each in (aligned(given.detach(), tensor), tensor.detach()))
    one, other = one - one.mean(1, keepdim=True), other - other.mean(1, keepdim=True)
    return (one * other).sum(1) / (one.norm(dim=1) * other.norm(dim=1)).clamp_min(1e-30)


def with_argmax_of(logits: Tensor, outputs: Tensor) -> Tensor:
    """Logits [B, n], with the class that the model predicts raised to the highest where it is not."""
    verdict = outputs.detach().argmax(1, keepdim=True)
    missing = logits.detach().amax(1, keepdim=True) - logits.detach().gather(1, verdict)
    wrong = logits.detach().argmax(1, keepdim=True) != verdict
    raised = torch.where(wrong, missing + 1e-3 * (1 + missing), torch.zeros_like(missing))
    most = outputs.detach().amax(1, keepdim=True).to(logits.dtype)
    return logits + torch.zeros_like(logits).scatter(1, verdict, raised) + (most - most)  # NaN stays NaN


def _mean_logits(logits: list[Tensor]) -> Tensor:
    """The mean of several logits, each divided by its deviation; a single one as it is."""
    if len(logits) == 1:
        return logits[0]
    return torch.stack([each / each.detach().std(1, keepdim=True).clamp_min(1e-12) for each in logits]).mean(0)


def _outputs(outputs: Any, batch: int) -> Tensor:
    found = logits_in(outputs, batch)
    assert isinstance(found, Tensor)  # it was checked when the network was first run
    return found
