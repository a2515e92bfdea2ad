"""What a model may raise, as one sentence: no memory, inputs of another shape, or a fault of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import Tensor


class ModelError(ValueError):
    """The model's own code failed; `__cause__` is what it raised."""


class InputShapeError(ValueError):
    """The model does not take inputs of this shape; `__cause__` is what it raised."""


class OutOfMemoryError(MemoryError, ValueError):
    """There was no memory for so many inputs at once; `__cause__` says who asked for how much.

    A MemoryError for those who try again with fewer inputs, a ValueError for those who report what they were given.
    """


EXPLAINED = (ModelError, InputShapeError, OutOfMemoryError)
"""What is already one sentence, and passes as it is."""

NO_DERIVATIVE = (
    "The model's output has no derivative by its input (it is quantised, detached, rounded or computed without "
    "gradients); use an attack that needs none, such as inputopt.attacks.Square."
)

_MEMORY = re.compile(r"out of memory|not enough memory|can't allocate memory|cannot allocate memory", re.IGNORECASE)

_SHAPE = re.compile(
    # how torch, and networks for one size, complain of the shape of what they are given
    r"shapes? cannot be multiplied|size mismatch|must match|expected input|invalid for input of size"
    r"|expected (more than|.*\d-?D)|(kernel|padding|output|input) size|given (groups|normalized_shape|input size)"
    r"|dimension out of range|values to unpack|non-empty|expanded size|number of dimensions|must be equal to input_size"
    r"|channel dimension|not divisible|subscripts|should contain \d+ elements"
    r"|(size|shape|height|width|channels|resolution).*(doesn't|does not|do not|mis)\W?match",
    re.IGNORECASE,
)

_UNDERIVED = re.compile(
    r"derivative for .* is not implemented|does not require grad|not have been used in the graph",
    re.IGNORECASE,
)


def first_line(error: BaseException) -> str:
    """What was raised, in one line: its class and the first line of what it says."""
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0].rstrip('.')}" if said else type(error).__name__


def explained(error: Exception, x: Tensor, known_shape: bool) -> Exception:
    """The sentence for what a forward on inputs `x` [B, ...] raised; to be raised from it.

    Args:
        error: what was raised within the model.
        x: what it was given.
        known_shape: whether the model has taken inputs of this shape before, so that the shape cannot be at fault.
    """
    if isinstance(error, EXPLAINED):
        return error
    shape = in_words(x.shape[1:])
    if is_memory(error):
        return OutOfMemoryError(
            f"There is not enough memory to run the model on {len(x)} inputs of {shape} at once "
            f"({first_line(error)}); give fewer or smaller ones."
        )
    asked_shape = isinstance(error, (RuntimeError, ValueError, IndexError, AssertionError)) and _SHAPE.search(
        str(error)
    )
    if asked_shape and not known_shape:
        return InputShapeError(
            f"The model does not take inputs of shape {shape} ({first_line(error)}); give it those it was made for."
        )
    return ModelError(
        f"The model's own forward failed on inputs of shape {shape} ({first_line(error)}); run it alone to see where."
    )


def explained_backward(error: Exception, x: Tensor) -> Exception:
    """The sentence for what a backward to inputs `x` [B, ...] raised; to be raised from it."""
    said = str(error)
    if is_memory(error):
        return OutOfMemoryError(
            f"There is not enough memory for the derivative by {len(x)} inputs of {in_words(x.shape[1:])} at once "
            f"({first_line(error)}); give fewer or smaller ones."
        )
    if "checkpoint" in said:
        return ModelError(
            "The model checkpoints its forward with use_reentrant=True, which torch derives only where nothing but the "
            "input wants a gradient; let it use use_reentrant=False."
        )
    if _UNDERIVED.search(said):
        return ValueError(NO_DERIVATIVE)
    return ModelError(
        f"The model's own backward failed ({first_line(error)}); derive it by its input by itself to see where."
    )


def in_words(shape: Sequence[int]) -> str:
    """A shape as it is read, such as 3 x 224 x 224."""
    return " x ".join(map(str, shape)) or "a single number"


def is_memory(error: Exception) -> bool:
    """Whether an error says that there is no memory left."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and bool(_MEMORY.search(str(error))))
