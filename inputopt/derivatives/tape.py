"""What numpy computes at a training, written down once and done again, into the same memory.

Every training of one batch does the same with other numbers. `taped` watches it once, and keeps the list of calls that
the results depend on, each with memory for its result: a tiny network is then trained in half the time. Nothing is
compiled, and the numbers are the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from inputopt.nets.activations import Array

Made = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function and its operands, to be called."""


@dataclass(frozen=True)
class Call:
    """`run(*operands)`, which reads arrays and writes into `result`."""

    run: Callable[..., Any]
    operands: tuple[Any, ...]
    reads: tuple[Any, ...]
    result: Array


@dataclass(frozen=True)
class Tape:
    """Calls to be made again whenever the arrays that they read have changed in place.

    Attributes:
        calls: in order.
        results: the same arrays each time, overwritten by the next call of the tape.
    """

    calls: tuple[Made, ...]
    results: list[Array]

    def __call__(self) -> list[Array]:
        for run, operands in self.calls:
            run(*operands)
        return self.results

    def then(self, calls: Sequence[Made]) -> Tape:
        """The tape with more calls at its end."""
        return replace(self, calls=(*self.calls, *calls))


def taped(function: Callable[..., Sequence[Any]], *arrays: Array) -> Tape:
    """Call `function` on the arrays, watched, and write down what leads to its results.

    Args:
        function: arrays -> arrays. It must do the same each time: no chance, no branch that depends on numbers, and
            nothing read but these arrays and constants.
        arrays: read again at each call of the tape.
    """
    calls: list[Call] = []
    results = [_plain(found) for found in function(*(Watched(array, calls) for array in arrays))]
    needed, kept = {_owner(result) for result in results}, []
    for call in reversed(calls):
        if _owner(call.result) in needed:
            needed.update(_owner(operand) for operand in call.reads if isinstance(operand, np.ndarray))
            kept.append((call.run, call.operands))
    return Tape(tuple(reversed(kept)), results)


class Watched(np.lib.mixins.NDArrayOperatorsMixin):
    """An array that notes on a list what is computed from it; views of it share its memory, so they need no note."""

    def __init__(self, array: Array, calls: list[Call]) -> None:
        self.array, self._calls = array, calls

    @property
    def T(self) -> Watched:
        """The transposed matrix."""
        return Watched(self.array.T, self._calls)

    mT = T

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the numbers."""
        return self.array.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape."""
        return self.array.shape

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, where: Any) -> Watched:
        return Watched(self.array[where], self._calls)

    def astype(self, dtype: np.dtype[Any]) -> Watched:
        """The same in another type of numbers."""
        result = self.array.astype(dtype)
        # an array's own method takes half the time of numpy's function, here and in a product
        return self._noted(result.__setitem__, (..., self.array), (self.array,), result)

    def max(self, axis: int, keepdims: bool = False) -> Watched:
        """The largest along one axis."""
        return self._copied(partial(np.max, axis=axis, keepdims=keepdims), (self.array,))

    def sum(self, axis: int, keepdims: bool = False) -> Watched:
        """The sum along one axis."""
        return self._copied(partial(np.sum, axis=axis, keepdims=keepdims), (self.array,))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *operands: Any, **options: Any) -> Watched:
        plain = tuple(self._operand(operand) for operand in operands)
        if method != "__call__" or options or ufunc in (np.maximum, np.minimum):  # those take no third operand
            return self._copied(partial(getattr(ufunc, method), **options), plain)
        result = ufunc(*plain)
        if ufunc is np.matmul and plain[0].ndim <= 2:  # dot has less to find out than @, which knows stacks of matrices
            return self._noted(plain[0].dot, (plain[1], result), plain, result)
        return self._noted(ufunc, (*plain, result), plain, result)

    def __array_function__(self, function: Any, types: Any, operands: Any, options: Any) -> Any:
        plain = tuple(_plain(operand) for operand in operands)
        if function in (np.ones_like, np.zeros_like):  # constants
            return function(*plain, **options)
        return self._copied(partial(function, **options), plain)

    def _operand(self, operand: Any) -> Any:
        """A number becomes an array of no dimensions, which numpy takes in half the time."""
        if isinstance(operand, (int, float)) and self.dtype.kind == "f":
            return np.asarray(operand, self.dtype)
        return _plain(operand)

    def _copied(self, function: Callable[..., Array], operands: tuple[Any, ...]) -> Watched:
        """A function that has memory of its own for its result."""
        result = np.array(function(*operands))

        def run(*now: Any) -> None:
            result[...] = function(*now)

        return self._noted(run, operands, operands, result)

    def _noted(
        self, run: Callable[..., Any], operands: tuple[Any, ...], reads: tuple[Any, ...], result: Array
    ) -> Watched:
        self._calls.append(Call(run, operands, reads, result))
        return Watched(result, self._calls)


def _plain(value: Any) -> Any:
    return value.array if isinstance(value, Watched) else value


def _owner(array: Array) -> int:
    """Whose memory it is."""
    return id(array if array.base is None else array.base)
