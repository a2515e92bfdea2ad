"""The affine operations of a traced network, each with its transpose and its absolute value."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional


class Affine(Protocol):
    """A map of tensors [N, ...] that is affine in each row: y = W x + b, with the same W and b for all rows.

    Attributes:
        fan_in: number of terms that are summed in one element of y, for the rounding error.
    """

    @property
    def fan_in(self) -> int:
        """Number of terms in one element of the result."""

    def __call__(self, *inputs: Tensor) -> Tensor:
        """W x + b of inputs [N, ...]."""

    def absolute(self, *inputs: Tensor) -> Tensor:
        """|W| x, without b: what the operation makes of radii [N, ...]."""

    def magnitude(self, *inputs: Tensor) -> Tensor:
        """|W| x + |b|."""

    def offset(self) -> Tensor | None:
        """b, in a shape that broadcasts to one row of the result; None if it is zero."""

    def transposed(self, rows: Tensor) -> tuple[Tensor, ...]:
        """W^T A for each row A of `rows` [N, ...], one tensor for each input."""

    def to(self, dtype: torch.dtype) -> Affine:
        """The same operation with detached constants of `dtype`."""


def _with(value: Tensor, offset: Tensor | None) -> Tensor:
    return value if offset is None else value + offset


def _cast(value: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    return None if value is None else value.detach().to(dtype)


@dataclass(frozen=True)
class Matrix:
    """A fully connected layer on the last dimension: weight [n_out, n_in], bias [n_out] or None."""

    weight: Tensor
    bias: Tensor | None

    @property
    def fan_in(self) -> int:
        """Number of terms in one element of the result."""
        return self.weight.shape[1] + 1

    def __call__(self, *inputs: Tensor) -> Tensor:
        return functional.linear(inputs[0], self.weight, self.bias)

    def absolute(self, *inputs: Tensor) -> Tensor:
        """|W| x."""
        return functional.linear(inputs[0], self.weight.abs())

    def magnitude(self, *inputs: Tensor) -> Tensor:
        """|W| x + |b|."""
        return _with(self.absolute(*inputs), None if self.bias is None else self.bias.abs())

    def offset(self) -> Tensor | None:
        """b."""
        return self.bias

    def transposed(self, rows: Tensor) -> tuple[Tensor, ...]:
        """W^T A."""
        return (rows @ self.weight,)

    def to(self, dtype: torch.dtype) -> Matrix:
        """With constants of `dtype`."""
        return Matrix(self.weight.detach().to(dtype), _cast(self.bias, dtype))


@dataclass(frozen=True)
class Convolution:
    """A convolution or transposed convolution in one to three dimensions.

    Attributes:
        settings: stride, padding, dilation, transposed, output_padding and groups, as torch.convolution takes them.
        shape: shape of one input, without the batch.
    """

    weight: Tensor
    bias: Tensor | None
    settings: tuple[Any, ...]
    shape: tuple[int, ...]

    @property
    def fan_in(self) -> int:
        """Number of terms in one element of the result."""
        return self.weight[0].numel() * (self.weight.shape[0] if self.settings[3] else 1) + 1

    def __call__(self, *inputs: Tensor) -> Tensor:
        return torch.convolution(inputs[0], self.weight, self.bias, *self.settings)

    def absolute(self, *inputs: Tensor) -> Tensor:
        """|W| x."""
        return torch.convolution(inputs[0], self.weight.abs(), None, *self.settings)

    def magnitude(self, *inputs: Tensor) -> Tensor:
        """|W| x + |b|."""
        return torch.convolution(
            inputs[0], self.weight.abs(), None if self.bias is None else self.bias.abs(), *self.settings
        )

    def offset(self) -> Tensor | None:
        """b, [n_out, 1, ...]."""
        return None if self.bias is None else self.bias.reshape(-1, *(1,) * (self.weight.ndim - 2))

    def transposed(self, rows: Tensor) -> tuple[Tensor, ...]:
        """W^T A."""
        stride, padding, dilation, is_transposed, _, groups = self.settings
        none = [0] * len(stride)
        if is_transposed:
            return (torch.convolution(rows, self.weight, None, stride, padding, dilation, False, none, groups),)
        sizes = zip(self.shape[1:], rows.shape[2:], self.weight.shape[2:], stride, padding, dilation, strict=True)
        extra = [
            full - ((out - 1) * step - 2 * pad + far * (size - 1) + 1) for full, out, size, step, pad, far in sizes
        ]
        return (torch.convolution(rows, self.weight, None, stride, padding, dilation, True, extra, groups),)

    def to(self, dtype: torch.dtype) -> Convolution:
        """With constants of `dtype`."""
        return Convolution(self.weight.detach().to(dtype), _cast(self.bias, dtype), self.settings, self.shape)


@dataclass(frozen=True)
class Scaled:
    """Element-wise scale * x + shift; both broadcast to one row, which is what batch norms in evaluation mode are."""

    scale: Tensor
    shift: Tensor | None = None

    @property
    def fan_in(self) -> int:
        """Number of terms in one element of the result, and the roundings of the constants."""
        return 4

    def __call__(self, *inputs: Tensor) -> Tensor:
        return _with(inputs[0] * self.scale, self.shift)

    def absolute(self, *inputs: Tensor) -> Tensor:
        """|scale| x."""
        return inputs[0] * self.scale.abs()

    def magnitude(self, *inputs: Tensor) -> Tensor:
        """|scale| x + |shift|."""
        return _with(self.absolute(*inputs), None if self.shift is None else self.shift.abs())

    def offset(self) -> Tensor | None:
        """The shift."""
        return self.shift

    def transposed(self, rows: Tensor) -> tuple[Tensor, ...]:
        """scale * A."""
        return (rows * self.scale,)

    def to(self, dtype: torch.dtype) -> Scaled:
        """With constants of `dtype`."""
        return Scaled(self.scale.detach().to(dtype), _cast(self.shift, dtype))


@dataclass(frozen=True)
class Rearranged:
    """A linear map without negative coefficients: reshape, permute, slice, pad, average, sum, addition of two tensors.

    Attributes:
        function: the map, of tensors [N, ...] with any N.
        shapes: shape of one row of each input.
        fan_in: number of terms in one element of the result.
    """

    function: Callable[..., Tensor]
    shapes: tuple[tuple[int, ...], ...]
    fan_in: int = 1

    def __call__(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs)

    def absolute(self, *inputs: Tensor) -> Tensor:
        """The map itself."""
        return self.function(*inputs)

    def magnitude(self, *inputs: Tensor) -> Tensor:
        """The map itself."""
        return self.function(*inputs)

    def offset(self) -> Tensor | None:
        """None: it has no constant."""
        return None

    def transposed(self, rows: Tensor) -> tuple[Tensor, ...]:
        """The transpose, by differentiating the map."""
        with torch.enable_grad():
            zeros = [rows.new_zeros(len(rows), *shape).requires_grad_() for shape in self.shapes]
            made = self.function(*zeros)
        return torch.autograd.grad(made, zeros, rows, create_graph=rows.requires_grad)

    def to(self, dtype: torch.dtype) -> Rearranged:
        """Itself: it has no constants."""
        return self


@dataclass(frozen=True)
class Reshaped:
    """A change of shape that keeps the order of the elements."""

    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def fan_in(self) -> int:
        """Nothing is summed or rounded."""
        return 0

    def __call__(self, *inputs: Tensor) -> Tensor:
        return inputs[0].reshape(len(inputs[0]), *self.after)

    def absolute(self, *inputs: Tensor) -> Tensor:
        """The map itself."""
        return self(*inputs)

    def magnitude(self, *inputs: Tensor) -> Tensor:
        """The map itself."""
        return self(*inputs)

    def offset(self) -> Tensor | None:
        """None: it has no constant."""
        return None

    def transposed(self, rows: Tensor) -> tuple[Tensor, ...]:
        """The shape before."""
        return (rows.reshape(len(rows), *self.before),)

    def to(self, dtype: torch.dtype) -> Reshaped:
        """Itself."""
        return self


@dataclass(frozen=True)
class Added:
    """The sum of two tensors of the same shape."""

    @property
    def fan_in(self) -> int:
        """Number of terms in one element of the result."""
        return 2

    def __call__(self, *inputs: Tensor) -> Tensor:
        return inputs[0] + inputs[1]

    def absolute(self, *inputs: Tensor) -> Tensor:
        """The sum itself."""
        return self(*inputs)

    def magnitude(self, *inputs: Tensor) -> Tensor:
        """The sum itself."""
        return self(*inputs)

    def offset(self) -> Tensor | None:
        """None: it has no constant."""
        return None

    def transposed(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Both inputs receive A."""
        return rows, rows

    def to(self, dtype: torch.dtype) -> Added:
        """Itself."""
        return self


def elements(shape: Sequence[int]) -> int:
    """Number of elements of a shape."""
    return math.prod(shape)
