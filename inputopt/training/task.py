"""Checks of the arguments of `train`, made before anything is changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import is_lazy

from inputopt import checks
from inputopt.derivatives.autograd import to_single_precision
from inputopt.derivatives.gradient_methods import GRADIENT_METHODS, check_batch
from inputopt.derivatives.plain import HALF, check_plain, is_plain
from inputopt.errors import one_line, out_of_memory
from inputopt.nets.costs import Cost, check_targets, find_cost
from inputopt.nets.inference.modes import evaluating
from inputopt.nets.mlp import MLP


@dataclass(frozen=True)
class Task:
    """Training task: the cost, inputs [B, ...] in the dtype that the network accepts, and their targets."""

    cost: Cost
    inputs: Tensor
    targets: Tensor


def check_task(net: nn.Module, inputs: Any, targets: Any, cost: str, method: str) -> Task:
    """Check that the network can be trained on the data by that method; return the task.

    Raises:
        ValueError, TypeError: see `train`.
    """
    checks.one_of("method", method, GRADIENT_METHODS)
    _check_weights(net)
    if is_plain(net):
        resolved = find_cost(cost, net.output)
        return Task(resolved, *check_batch(net, resolved, inputs, targets))
    if method != "autograd":
        if isinstance(net, MLP):
            check_plain(net)
        raise ValueError(f"method {method!r} supports inputopt.MLP only; use method='autograd' for other networks.")
    resolved = find_cost(cost, "identity")
    if isinstance(net, MLP) and net.output != "identity" and resolved.class_targets:
        raise ValueError(
            "cross_entropy needs identity outputs on an MLP with an overridden forward, hooks, or shared or "
            "parametrised weights; use output='identity' or cost='mse'."
        )
    made, outputs = _accepted(net, checks.batch("inputs", checks.finite("inputs", checks.block("inputs", inputs))))
    return Task(
        resolved, made, check_targets(resolved, checks.block("targets", targets), len(made), outputs.shape[1], outputs)
    )


def _check_weights(net: nn.Module) -> None:
    if not isinstance(net, nn.Module):
        raise TypeError(f"The network must be a torch module, not {type(net).__name__}.")
    if any(is_lazy(parameter) for parameter in net.parameters()):
        raise ValueError("The network has lazy layers that have no weights yet; run it once on an input first.")
    moving = [parameter for parameter in net.parameters() if parameter.requires_grad]
    if not moving:
        raise ValueError("The network has no parameters that require gradients, so there is nothing to train.")
    if any(parameter.dtype in HALF for parameter in moving):
        raise ValueError(
            "Weights in half precision lose most small steps; train in float32 with net.float(), and convert the "
            "network back afterwards."
        )
    if any(parameter.is_inference() for parameter in moving):
        raise ValueError(
            "The network was created in inference mode and cannot be trained; create or copy it outside inference mode."
        )
    for parameter in net.parameters():
        checks.finite("the network's weights", parameter)


def _accepted(net: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """The inputs in the first dtype that the network accepts, and its output for one of them, [1, n].

    First the dtype of its first weights is tried, then the inputs' dtype: integers, for embeddings, or another float.
    """
    first = next(iter(net.parameters()))
    inputs = inputs.to(first.device)
    floating = first.dtype if first.is_floating_point() else torch.get_default_dtype()
    types = dict.fromkeys([floating, inputs.dtype if inputs.is_floating_point() else torch.int64])
    failed: Exception | None = None
    for dtype in types:
        made = checks.finite("inputs", inputs.to(dtype))
        try:
            with evaluating(net):
                outputs = net(made[:1].clone())
        except Exception as error:  # any error of the network's code; the first is reported
            failed = failed or error
            continue
        if not isinstance(outputs, Tensor) or outputs.ndim != 2 or len(outputs) != 1:
            raise ValueError("The network must return one tensor of logits [B, n]; wrap it in a module that does.")
        if not outputs.requires_grad:
            raise ValueError(
                "The network's output has no gradient with respect to its parameters; enable gradients in its forward."
            )
        return made, to_single_precision(outputs.detach())
    assert failed is not None
    raise _as_value_error(failed, f"The network does not accept inputs of shape {list(inputs.shape[1:])}") from failed


@contextmanager
def forward_of(examples: int) -> Iterator[None]:
    """Inside the block, errors of the network's code in forward or backward become one sentence, chained.

    Raises:
        ValueError: out of memory, or the network failed.
    """
    try:
        yield
    except Exception as error:
        raise failure(error, examples) from error


def failure(error: Exception, examples: int) -> ValueError:
    """The ValueError to raise for an error of the network on a batch of `examples`."""
    return _as_value_error(error, f"The network failed on a batch of {examples} in training")


def _as_value_error(error: Exception, what: str) -> ValueError:
    if out_of_memory(error):
        return ValueError("There is not enough memory for this training; choose a smaller batch_size or fewer inputs.")
    return ValueError(f"{what} ({type(error).__name__}: {one_line(error)}).")


def epoch_slices(net: nn.Module, examples: int, size: int) -> list[slice]:
    """Slices of one epoch into batches of `size`; the last one may be smaller.

    A last batch of a single example is merged into the batch before it if the network has batch norms in training mode,
    which need the statistics of several examples.
    """
    starts = list(range(0, examples, size))
    norms = any(isinstance(module, _BatchNorm) and module.training for module in net.modules())
    if norms and len(starts) > 1 and starts[-1] == examples - 1:
        starts.pop()
    return [slice(start, end) for start, end in zip(starts, [*starts[1:], examples], strict=True)]
