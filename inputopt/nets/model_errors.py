"""Errors of a model as one-sentence messages: out of memory, wrong input shape, or a failure in the model's code."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import Tensor


class ModelError(ValueError):
    """The model's own code failed; `__cause__` is the original error."""


class InputShapeError(ValueError):
    """The model does not take inputs of this shape; `__cause__` is the original error."""


class NoGradientError(ValueError):
    """The model's output has no gradient with respect to its input."""


class OutOfMemoryError(MemoryError, ValueError):
    """Not enough memory for this many inputs at once; `__cause__` is the original error.

    It is a MemoryError for callers that retry with fewer inputs, and a ValueError for callers that report bad input.
    """


EXPLAINED = (ModelError, InputShapeError, OutOfMemoryError)
"""Errors whose message is already one sentence; `explain_error` returns them unchanged."""

NO_DERIVATIVE = (
    "The model's output has no gradient with respect to its input (it is quantised, detached, rounded or computed "
    "without gradients); use a gradient-free attack, such as Square, or HopSkipJump for the nearest inputs."
)

_MEMORY = re.compile(r"out of memory|not enough memory|can't allocate memory|cannot allocate memory", re.IGNORECASE)

_SHAPE = re.compile(
    # phrases in the shape errors of torch and of models with a fixed input size
    r"shapes? cannot be multiplied|size mismatch|must match|expected input|invalid for input of size"
    r"|expected (more than|.*\d-?D)|(kernel|padding|output|input) size|given (groups|normalized_shape|input size)"
    r"|dimension out of range|values to unpack|non-empty|expanded size|number of dimensions|must be equal to input_size"
    r"|channel dimension|not divisible|subscripts|should contain \d+ elements"
    r"|(size|shape|height|width|channels|resolution).*(doesn't|does not|do not|mis)\W?match",
    re.IGNORECASE,
)

_NOT_DIFFERENTIABLE = re.compile(
    r"derivative for .* is not implemented|does not require grad|not have been used in the graph",
    re.IGNORECASE,
)


def first_line(error: BaseException) -> str:
    """Return the error's class and the first line of its message."""
    message = str(error).strip().splitlines()
    return f"{type(error).__name__}: {message[0].rstrip('.')}" if message else type(error).__name__


def explain_error(error: Exception, x: Tensor, known_shape: bool) -> Exception:
    """Convert an error of a forward on inputs `x` [B, ...] to the exception to raise from it.

    Args:
        error: the error raised within the model.
        x: the inputs.
        known_shape: whether a forward on inputs of this shape has succeeded before, which rules out a shape error.

    Returns:
        An `OutOfMemoryError`, `InputShapeError` or `ModelError` with a one-sentence message; `error` if it is one.
    """
    if isinstance(error, EXPLAINED):
        return error
    shape = in_words(x.shape[1:])
    if is_memory(error):
        return OutOfMemoryError(
            f"There is not enough memory to run the model on {len(x)} inputs of {shape} at once "
            f"({first_line(error)}); give fewer or smaller inputs."
        )
    is_shape_error = isinstance(error, (RuntimeError, ValueError, IndexError, AssertionError)) and _SHAPE.search(
        str(error)
    )
    if is_shape_error and not known_shape:
        remedy = "give inputs of the shape it was built for"
        if x.ndim == 4 and x.shape[3] in (1, 3) and x.shape[1] not in (1, 3):
            remedy = "if their last dimension holds the channels, give x.permute(0, 3, 1, 2)"
        return InputShapeError(f"The model does not accept inputs of shape {shape} ({first_line(error)}); {remedy}.")
    return ModelError(
        f"The model's own forward failed on inputs of shape {shape} ({first_line(error)}); "
        "run the model without inputopt to find the cause."
    )


def explain_backward_error(error: Exception, x: Tensor) -> Exception:
    """Convert an error of a backward to inputs `x` [B, ...] to the exception to raise from it."""
    message = str(error)
    if is_memory(error):
        return OutOfMemoryError(
            f"There is not enough memory for the gradient with respect to {len(x)} inputs of {in_words(x.shape[1:])} "
            f"at once ({first_line(error)}); give fewer or smaller inputs."
        )
    if "checkpoint" in message:
        return ModelError(
            "The model checkpoints its forward with use_reentrant=True, which torch can differentiate only if nothing "
            "but the input requires a gradient; use use_reentrant=False in the model."
        )
    if _NOT_DIFFERENTIABLE.search(message):
        return NoGradientError(NO_DERIVATIVE)
    return ModelError(
        f"The model's own backward failed ({first_line(error)}); "
        "compute its input gradient without inputopt to find the cause."
    )


def in_words(shape: Sequence[int]) -> str:
    """Return a shape as text, such as 3 x 224 x 224."""
    return " x ".join(map(str, shape)) or "a single number"


def is_memory(error: Exception) -> bool:
    """Whether an error means that memory ran out."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and bool(_MEMORY.search(str(error))))
