"""Selects the dtype that a model is run in, by running it on its first inputs.

A module computes in the dtype of its first floating-point weights. If its forward does not accept that dtype, float32,
the other dtypes of its weights and the dtype of the inputs are tried. A function computes in the dtype of the inputs,
or in the first of float32, float64, bfloat16 and float16 that it accepts. The private copy holds half-precision weights
in float32, which is exact, because searches follow gradients that half precision would round to zero. If the outputs
then differ by more than half-precision rounding, or the forward requires half precision, the dtype stays as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from inputopt.nets.inference.comparison import Evaluation, difference, tolerance
from inputopt.nets.inference.forward import HALF, ForwardError, ForwardResult, Runner
from inputopt.nets.inference.observation import Observation
from inputopt.nets.model_errors import first_line, is_memory
from inputopt.nets.randomness import generator_states, generators_used, restore_generators

_ABOUT_DTYPE = re.compile(r"dtype|scalar type|\b(c?float|half|double|bfloat16)\b|should be the same", re.IGNORECASE)
_ABOUT_GRADIENTS = re.compile(r"require.?s?[_ ]grad|does not have a grad_fn|differentiated", re.IGNORECASE)

NO_HALF = "not used: no weight is of half precision"


@dataclass(frozen=True)
class Probe:
    """A plain forward on a few inputs.

    Attributes:
        leaf: the inputs, a leaf tensor that requires gradients if it is floating point.
        result: result of the forward.
        observation: record of its operations.
        failure: error of the forward with gradients if the model runs only without them; None otherwise.
    """

    leaf: Tensor
    result: ForwardResult
    observation: Observation
    failure: ForwardError | None = None


def find_precision(runner: Runner, rows: Tensor, layers: tuple[str, ...]) -> tuple[Probe, str]:
    """Find the dtype in which the model accepts inputs such as `rows` and store it in `runner.dtypes`.

    Returns:
        The forward in that dtype, and whether half-precision weights are held in float32: "used" or the reason why not.

    Raises:
        ForwardError: the model runs in no dtype; the error of the first dtype tried.
    """
    dtypes = own_dtypes(runner.model)
    if not runner.is_private or not any(dtype in HALF for dtype in dtypes):
        return _first_usable(runner, rows, layers, _candidates(dtypes, rows.dtype)), NO_HALF
    first: ForwardError | None = None
    probed: Probe | None = None
    try:
        probed = _first_usable(runner, rows, layers, _candidates(dtypes, rows.dtype))
    except ForwardError as failure:  # not every device computes in half precision
        first = failure
    narrow, before = runner.dtypes.get(rows.dtype), runner.to_float32()
    try:
        wide = _first_usable(runner, rows, layers, [torch.float32])
        problem = (
            "" if probed is None else _compare(probed, wide, layers, dtypes[0] if dtypes[0] in HALF else torch.bfloat16)
        )
    except ForwardError as failure:
        problem = f"raised {first_line(failure.error)}"
    if not problem:
        return wide, "used"
    for each, dtype in before:
        each.data = each.data.to(dtype)
    runner.dtypes[rows.dtype] = narrow
    if probed is None:
        assert first is not None
        raise first
    return probed, f"not used: {problem}"


def probe(runner: Runner, rows: Tensor, layers: tuple[str, ...]) -> Probe:
    """Run the model on `rows` and observe it; if it draws random numbers, the generators are restored."""
    states = generator_states()
    probed = _probe_once(runner, rows, layers)
    if probed.observation.uses_autograd and runner.is_private and not runner.weights_require_grad:
        runner.freeze(False)  # it may need gradients of its weights, and silently skip them if frozen
        probed = _probe_once(runner, rows, layers)
    if generators_used(states):  # by the model or, rarely twice in a row, by another thread: run again
        before = generator_states()
        probed = _probe_once(runner, rows, layers)
        probed = replace(probed, observation=replace(probed.observation, random=generators_used(before)))
    if probed.observation.random:
        restore_generators(states)
    return probed


def _probe_once(runner: Runner, rows: Tensor, layers: tuple[str, ...]) -> Probe:
    with torch.enable_grad():
        leaf = rows.detach().clone().requires_grad_(rows.is_floating_point())
        try:
            return Probe(leaf, *runner.run_observed(leaf, layers))
        except ForwardError as failure:
            if is_memory(failure.error):
                raise
            if runner.is_private and not runner.weights_require_grad and _ABOUT_GRADIENTS.search(str(failure.error)):
                try:
                    runner.freeze(False)
                    return Probe(leaf, *runner.run_observed(leaf, layers))
                except ForwardError:
                    runner.freeze()
            try:
                with torch.no_grad():
                    result = runner(rows, layers, isolate=True)
            except ForwardError:
                raise failure from None
            return Probe(leaf, result, Observation(error="it runs only without gradients"), failure)


def _first_usable(runner: Runner, rows: Tensor, layers: tuple[str, ...], candidates: list[torch.dtype | None]) -> Probe:
    failures: list[ForwardError] = []
    for dtype in candidates:
        runner.dtypes[rows.dtype] = dtype
        try:
            return probe(runner, rows, layers)
        except ForwardError as failure:
            failures.append(failure)
            if not _ABOUT_DTYPE.search(str(failure.error)):
                break
    raise failures[0]


def own_dtypes(model: object) -> list[torch.dtype]:
    """The distinct real dtypes of a module's floating-point and complex weights, in order of first use."""
    weights = model.parameters() if isinstance(model, nn.Module) else ()
    return list(
        dict.fromkeys(each.dtype.to_real() for each in weights if each.dtype.is_floating_point or each.dtype.is_complex)
    )


def _candidates(dtypes: list[torch.dtype], given: torch.dtype) -> list[torch.dtype | None]:
    if dtypes:
        return list(dict.fromkeys([dtypes[0], torch.float32, *dtypes[1:], given]))
    return [None, torch.float32, torch.float64, *reversed(HALF)]


def _compare(half: Probe, wide: Probe, layers: tuple[str, ...], dtype: torch.dtype) -> str:
    if half.observation.random:
        return "its forward draws random numbers, so two runs cannot be compared"
    narrow, wider = (Evaluation(probed.result.tensors(layers, len(probed.leaf))) for probed in (half, wide))
    return difference(narrow, wider, tolerance(half.observation, dtype, half.leaf.device))
