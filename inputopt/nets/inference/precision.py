"""In which precision a model is run, found out by running it on its first inputs.

A module computes in the dtype of its first weights that are floating-point numbers, or where its forward does not take
that, in float32, another of its weights' dtypes or the inputs' own; a function in the inputs' own, or the first of
float32, float64, bfloat16 and float16 that it takes. Weights of half precision are held in float32 on the private copy,
which holds them exactly: searches follow gradients that half precision would round away. Where the outputs differ by
more than half precision explains, or its forward insists on half, the copy stays as it is.
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
from inputopt.nets.randomness import generator_states, moved_on, put_back

_ABOUT_DTYPE = re.compile(r"dtype|scalar type|\b(c?float|half|double|bfloat16)\b|should be the same", re.IGNORECASE)
_ABOUT_GRADIENTS = re.compile(r"require.?s?[_ ]grad|does not have a grad_fn|differentiated", re.IGNORECASE)

NO_HALF = "not used: no weight is of half precision"


@dataclass(frozen=True)
class Probe:
    """A plain forward on a few inputs.

    Attributes:
        leaf: the inputs, from which it can be derived.
        result, observation: what came of it.
        failure: why it runs only without gradients; None if it does not.
    """

    leaf: Tensor
    result: ForwardResult
    observation: Observation
    failure: ForwardError | None = None


def find_precision(runner: Runner, rows: Tensor, layers: tuple[str, ...]) -> tuple[Probe, str]:
    """Find the precision in which the model takes inputs such as `rows`; what came of them, and whether it was widened.

    Raises:
        ForwardError: what the model raised, in the first precision tried, if it runs in none.
    """
    own = own_dtypes(runner.model)
    if not runner.is_private or not any(dtype in HALF for dtype in own):
        return _first_taken(runner, rows, layers, _candidates(own, rows.dtype)), NO_HALF
    first: ForwardError | None = None
    probed: Probe | None = None
    try:
        probed = _first_taken(runner, rows, layers, _candidates(own, rows.dtype))
    except ForwardError as failure:  # not every device computes in half precision
        first = failure
    narrow, before = runner.dtypes.get(rows.dtype), runner.to_float32()
    try:
        wide = _first_taken(runner, rows, layers, [torch.float32])
        problem = "" if probed is None else _differ(probed, wide, layers, own[0] if own[0] in HALF else torch.bfloat16)
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
    """Run the model on `rows` and observe it; random numbers that it draws can be drawn again."""
    states = generator_states()
    probed = _probed(runner, rows, layers)
    if probed.observation.uses_autograd and runner.is_private and not runner.weights_require_grad:
        runner.freeze(False)  # it may derive by its weights, without a word where they want no gradient
        probed = _probed(runner, rows, layers)
    if moved_on(states):  # by the network, or by another thread, which hardly does so twice
        before = generator_states()
        probed = _probed(runner, rows, layers)
        probed = replace(probed, observation=replace(probed.observation, random=moved_on(before)))
    if probed.observation.random:
        put_back(states)
    return probed


def _probed(runner: Runner, rows: Tensor, layers: tuple[str, ...]) -> Probe:
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


def _first_taken(runner: Runner, rows: Tensor, layers: tuple[str, ...], candidates: list[torch.dtype | None]) -> Probe:
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
    """The dtypes of a module's weights that are no whole numbers, each once, in their order."""
    weights = model.parameters() if isinstance(model, nn.Module) else ()
    return list(
        dict.fromkeys(each.dtype.to_real() for each in weights if each.dtype.is_floating_point or each.dtype.is_complex)
    )


def _candidates(own: list[torch.dtype], given: torch.dtype) -> list[torch.dtype | None]:
    if own:
        return list(dict.fromkeys([own[0], torch.float32, *own[1:], given]))
    return [None, torch.float32, torch.float64, *reversed(HALF)]


def _differ(own: Probe, wide: Probe, layers: tuple[str, ...], dtype: torch.dtype) -> str:
    if own.observation.random:
        return "its forward draws random numbers, so that two runs cannot be compared"
    narrow, wider = (Evaluation(probed.result.tensors(layers, len(probed.leaf))) for probed in (own, wide))
    return difference(narrow, wider, tolerance(own.observation, dtype, own.leaf.device))
