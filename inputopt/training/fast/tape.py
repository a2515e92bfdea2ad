"""Recording the numpy calls of a training step and replaying them into the same memory.

Training steps on one batch run the same calls on other values. `taped` records one step and keeps the calls that the
results depend on, each with a preallocated result, which halves the training time of a tiny network. Nothing is
compiled, and the results are bitwise identical.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from inputopt.nets.activations import Array

Made = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function and its operands."""


@dataclass(frozen=True)
class Call:
    """A recorded call `run(*operands)`, which reads the arrays in `reads` and writes into `result`."""

    run: Callable[..., Any]
    operands: tuple[Any, ...]
    reads: tuple[Any, ...]
    result: Array


@dataclass(frozen=True)
class Tape:
    """Recorded calls, to be repeated after the arrays that they read have changed in place.

    Attributes:
        calls: the calls in order.
        results: the result arrays, overwritten by each call of the tape.
    """

    calls: tuple[Made, ...]
    results: list[Array]

    def __call__(self) -> list[Array]:
        for run, operands in self.calls:
            run(*operands)
        return self.results

    def then(self, calls: Sequence[Made]) -> Tape:
        """Return the tape with more calls appended."""
        return replace(self, calls=(*self.calls, *calls))


def taped(function: Callable[..., Sequence[Any]], *arrays: Array) -> Tape:
    """Call `function` on the arrays and record the numpy calls that its results depend on.

    Args:
        function: arrays -> arrays. It must run the same calls each time: no random numbers, no branches that depend on
            values, and no data other than these arrays and constants.
        arrays: the arguments, read again at each call of the tape.
    """
    calls: list[Call] = []
    results = [_unwrapped(found) for found in function(*(Watched(array, calls) for array in arrays))]
    needed, kept = {_owner(result) for result in results}, []
    for call in reversed(calls):
        if _owner(call.result) in needed:
            needed.update(_owner(operand) for operand in call.reads if isinstance(operand, np.ndarray))
            kept.append((call.run, call.operands))
    return Tape(tuple(reversed(kept)), results)


class Watched(np.lib.mixins.NDArrayOperatorsMixin):
    """An array that records the calls it is used in; views share its memory, so they are not recorded."""

    def __init__(self, array: Array, calls: list[Call]) -> None:
        self.array, self._calls = array, calls

    @property
    def T(self) -> Watched:
        """The matrix transpose."""
        return Watched(self.array.T, self._calls)

    mT = T

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the array."""
        return self.array.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array."""
        return self.array.shape

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, where: Any) -> Watched:
        return Watched(self.array[where], self._calls)

    def astype(self, dtype: np.dtype[Any]) -> Watched:
        """Cast to `dtype`."""
        result = self.array.astype(dtype)
        # an array method takes half the time of the numpy function, here and in a matrix product
        return self._recorded(result.__setitem__, (..., self.array), (self.array,), result)

    def max(self, axis: int, keepdims: bool = False) -> Watched:
        """Return the maximum over one axis."""
        return self._recorded_copy(partial(np.max, axis=axis, keepdims=keepdims), (self.array,))

    def sum(self, axis: int, keepdims: bool = False) -> Watched:
        """Return the sum over one axis."""
        return self._recorded_copy(partial(np.sum, axis=axis, keepdims=keepdims), (self.array,))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *operands: Any, **options: Any) -> Watched:
        unwrapped = tuple(self._operand(operand) for operand in operands)
        # maximum and minimum do not take the result as a third operand
        if method != "__call__" or options or ufunc in (np.maximum, np.minimum):
            return self._recorded_copy(partial(getattr(ufunc, method), **options), unwrapped)
        result = ufunc(*unwrapped)
        # dot has less overhead than @, which handles stacks of matrices
        if ufunc is np.matmul and unwrapped[0].ndim <= 2:
            return self._recorded(unwrapped[0].dot, (unwrapped[1], result), unwrapped, result)
        return self._recorded(ufunc, (*unwrapped, result), unwrapped, result)

    def __array_function__(self, function: Any, types: Any, operands: Any, options: Any) -> Any:
        unwrapped = tuple(_unwrapped(operand) for operand in operands)
        if function in (np.ones_like, np.zeros_like):  # constants
            return function(*unwrapped, **options)
        return self._recorded_copy(partial(function, **options), unwrapped)

    def _operand(self, operand: Any) -> Any:
        """Convert a number to a 0-dimensional array, which numpy handles in half the time."""
        if isinstance(operand, (int, float)) and self.dtype.kind == "f":
            return np.asarray(operand, self.dtype)
        return _unwrapped(operand)

    def _recorded_copy(self, function: Callable[..., Array], operands: tuple[Any, ...]) -> Watched:
        """Record a function that allocates its result, which is copied into a fixed array."""
        result = np.array(function(*operands))

        def run(*now: Any) -> None:
            result[...] = function(*now)

        return self._recorded(run, operands, operands, result)

    def _recorded(
        self, run: Callable[..., Any], operands: tuple[Any, ...], reads: tuple[Any, ...], result: Array
    ) -> Watched:
        self._calls.append(Call(run, operands, reads, result))
        return Watched(result, self._calls)


def _unwrapped(value: Any) -> Any:
    return value.array if isinstance(value, Watched) else value


def _owner(array: Array) -> int:
    """Return the id of the array that owns the memory."""
    return id(array if array.base is None else array.base)
