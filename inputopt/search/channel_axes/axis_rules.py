"""Rules for how each torch operation changes the channel axis and the other axes of its inputs.

Weights define channels: convolutions and batch, group or instance norms on axis 1; products with a weight matrix, layer
norms and embeddings on the last axis. Permutations, reshapes, slices and reductions move axes; every other operation
leaves them in place.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Sequence

from torch import Tensor

from inputopt.search.channel_axes.axes import UNKNOWN, Axes, Call, all_joined

Rule = Callable[[Call, Tensor], Axes]
"""(call, output tensor) -> axes of the output."""


# ---------------------------------------------------------------------------------------------- weights define channels
def _convolution(call: Call, out: Tensor) -> Axes:
    weight = call.named.get("weight")
    axis = out.ndim - weight.ndim + 1 if isinstance(weight, Tensor) else 1
    return call.axes("input", "self").moved(_unchanged_in(out, but=axis)).weighted(axis)


def _channel_norm(call: Call, out: Tensor) -> Axes:
    return call.axes("input").weighted(1)


def _on_last_axis(call: Call, out: Tensor) -> Axes:
    return call.axes("input", "src", "query").moved(_unchanged_in(out)).weighted(out.ndim - 1)


def _layer_norm(call: Call, out: Tensor) -> Axes:
    """Channels on the last axis if it normalises only that axis; axes unchanged if it normalises several."""
    given = call.axes("input")
    return given.weighted(out.ndim - 1) if len(call.named.get("normalized_shape", (1,))) == 1 else given


def _matrix_product(call: Call, out: Tensor) -> Axes:
    """Rows come from the left matrix, columns from the right; with weights on the right, the columns are channels.

    Weights on the left may be a convolution written as a product or may mix positions; the result is then ambiguous.
    """
    names = (("mat1", "mat2"), ("batch1", "batch2"), ("self", "mat2"))
    left, right = next(pair for pair in names if all(name in call.named for name in pair))
    batch, rows, columns = {0} if out.ndim == 3 else set(), out.ndim - 2, out.ndim - 1
    one = call.axes(left).moved(lambda axis: axis if axis in {*batch, rows} else None)
    other = call.axes(right).moved(lambda axis: axis if axis in {*batch, columns} else None)
    if call.known(call.named[right]) is None:
        return one.weighted(columns)
    if call.known(call.named[left]) is None:
        return Axes(other.channels | {rows}, other.older, other.added)
    return Axes(one.channels | other.channels, one.older | other.older, {**one.added, **other.added})


def _attention(call: Call, out: Tensor) -> Axes:
    """Token positions come from the query, channels from the value."""
    last = out.ndim - 1
    positions = call.axes("query").moved(lambda axis: axis if axis == last - 1 else None).added
    return Axes(call.axes("value").channels & {last}, frozenset(), positions)


# ------------------------------------------------------------------------------------------------------ axes are moved
def _permute(call: Call, out: Tensor) -> Axes:
    order = [dim % out.ndim for dim in call.named["dims"]]
    return call.axes("self").moved(order.index)


def _transpose(call: Call, out: Tensor) -> Axes:
    if out.ndim < 2:
        return call.axes("self")
    one, other = call.dim("dim0", out, 0), call.dim("dim1", out, 1)
    return call.axes("self").moved(lambda axis: {one: other, other: one}.get(axis, axis))


def _view(call: Call, out: Tensor) -> Axes:
    old = tuple(call.named["self"].shape)
    return call.axes("self").moved(lambda axis: axis_after_reshape(old, tuple(out.shape), axis))


def axis_after_reshape(old: Sequence[int], new: Sequence[int], axis: int) -> int | None:
    """Position of an axis after a reshape from `old` to `new`; None if it is split or merged with another axis.

    >>> axis_after_reshape((1, 16, 8, 8), (1, 16, 64), 1), axis_after_reshape((1, 16, 8, 8), (1, 1024), 1)
    (1, None)
    """
    before = math.prod(old[:axis])
    fits = [position for position, size in enumerate(new) if size == old[axis] and math.prod(new[:position]) == before]
    return axis if axis in fits else next(iter(fits), None)  # several fits occur only for axes of length 1


def _select(call: Call, out: Tensor) -> Axes:
    dim = call.dim("dim", call.named["self"])
    return call.axes("self").moved(lambda axis: None if axis == dim else axis - (axis > dim))


def _stack(call: Call, out: Tensor) -> Axes:
    dim = call.dim("dim", out)
    return all_joined(axes.moved(lambda axis: axis + (axis >= dim)) for _, axes in call.dependent())


def _slice(call: Call, out: Tensor) -> Axes:
    x, given = call.named["self"], call.axes("self")
    dim = call.dim("dim", x)
    start, end, step = slice(*(call.named.get(name) for name in ("start", "end", "step"))).indices(x.shape[dim])
    first, last = given.added.get(dim, (0, 0)) if step == 1 else (0, 0)
    length = out.shape[dim]
    return given.with_added(dim, (min(max(0, first - start), length), min(max(0, last - (x.shape[dim] - end)), length)))


def _concatenation(call: Call, out: Tensor) -> Axes:
    dim, parts = call.dim("dim", out), list(call.named["tensors"])
    ends = _count_added(call, parts, dim, 0), _count_added(call, parts[::-1], dim, 1)
    return all_joined(axes for _, axes in call.dependent()).with_added(dim, ends)


def _count_added(call: Call, parts: Sequence[Tensor], dim: int, end: int) -> int:
    """Number of entries at one end of the axis that do not come from the input."""
    count = 0
    for part in parts:
        axes, length = call.known(part), part.shape[dim]
        added = length if axes is None else axes.added.get(dim, (0, 0))[end]
        count += added
        if added < length:
            break
    return count


def _split(call: Call, out: Tensor) -> Axes:
    given, dim = call.axes("self"), call.dim("dim", out)
    return given.with_added(dim, (0, 0))


def _index(call: Call, out: Tensor) -> Axes:
    """Indexing with tensors: one indexed axis keeps its role; several indexed axes lose theirs."""
    indices = call.named["indices"]
    used = [dim for dim, index in enumerate(indices) if index is not None]
    if len(used) != used[-1] - used[0] + 1:
        return UNKNOWN
    new = out.ndim - (call.named["self"].ndim - len(used))
    one = len(used) == new == 1

    def to(axis: int) -> int | None:
        if axis in used:
            return axis if one else None
        return axis + (new - len(used)) * (axis > used[-1])

    moved = call.axes("self").moved(to)
    return Axes(moved.channels, moved.older)


def _reordered(call: Call, out: Tensor) -> Axes:
    """Axes stay in place, but which entries were concatenated is no longer known."""
    moved = call.axes("self", "input").moved(_unchanged_in(out))
    return Axes(moved.channels, moved.older)


def _unchanged(call: Call, out: Tensor) -> Axes:
    return call.axes("self")


def _restrided(call: Call, out: Tensor) -> Axes:
    """Axes stay in place if only strides of length-1 axes change, as in torch's own use; otherwise unknown."""
    x = call.named["self"]
    alike = x is not out and x.shape == out.shape and _nontrivial_strides(x) == _nontrivial_strides(out)
    return call.axes("self") if alike or len(_nontrivial_strides(out)) == 1 else UNKNOWN


def _nontrivial_strides(x: Tensor) -> list[tuple[int, int]]:
    return [(axis, x.stride(axis)) for axis, size in enumerate(x.shape) if size > 1]


def _unknown(call: Call, out: Tensor) -> Axes:
    return UNKNOWN


def _elementwise(call: Call, out: Tensor) -> Axes:
    """Activations, sums, dropout, pooling and reductions: all axes stay except those reduced over."""
    given = call.dependent()
    if len(given) == 1 and given[0][0].ndim == out.ndim:  # gating and padding may change lengths
        x, axes = given[0]
        same = {axis: ends for axis, ends in axes.added.items() if x.shape[axis] == out.shape[axis]}
        return Axes(axes.channels, axes.older, same)
    return all_joined(axes.moved(functools.partial(_new_axis, x, out, _reduced(call, x, out))) for x, axes in given)


def _reduced(call: Call, x: Tensor, out: Tensor) -> list[int]:
    dims = call.named.get("dim")
    listed = dims if isinstance(dims, (list, tuple)) else [dims]
    reduced = sorted({dim % max(1, x.ndim) for dim in listed if isinstance(dim, int)})
    return reduced if out.ndim == x.ndim - len(reduced) else []


def _new_axis(x: Tensor, out: Tensor, reduced: list[int], axis: int) -> int | None:
    """Position of an axis after a reduction over the axes `reduced`, or after broadcasting to `out`."""
    if reduced:
        return None if axis in reduced else axis - sum(dim < axis for dim in reduced)
    position = axis + out.ndim - x.ndim
    return position if position >= 0 and x.shape[axis] in (1, out.shape[position]) else None


def _unchanged_in(out: Tensor, but: int | None = None) -> Callable[[int], int | None]:
    return lambda axis: axis if axis < out.ndim and axis != but else None


RULES: list[tuple[str, Rule]] = [
    (r".*conv(olution|_depthwise|_transpose|_dilated|\d).*", _convolution),
    (r".*(batch|group|instance)_norm.*", _channel_norm),
    (r".*(layer|rms)_norm.*", _layer_norm),
    (r"embedding.*|linear|.*(lstm|gru|rnn).*|.*multi_head_attention.*|.*encoder_layer.*", _on_last_axis),
    (r"mm|bmm|addmm|baddbmm|addbmm|_addmm_activation", _matrix_product),
    (r".*scaled_dot_product.*|.*(flash|efficient|cudnn)_attention.*", _attention),
    (r"permute|permute_copy", _permute),
    (r"t|transpose|transpose_copy", _transpose),
    (r"view|view_copy|_unsafe_view|reshape|_reshape_alias|_reshape_copy|(un)?squeeze.*", _view),
    (r"select|select_copy|unbind", _select),
    (r"(unsafe_)?(split|split_with_sizes|chunk)|tensor_split", _split),
    (r"stack", _stack),
    (r"slice|slice_copy", _slice),
    (r"cat", _concatenation),
    (r"index", _index),
    (r"index_select|gather|grid_sampler.*|flip|roll", _reordered),
    (r"pixel_(un)?shuffle|(native_)?channel_shuffle|unfold", _unchanged),
    (r"as_strided", _restrided),
    (r"as_strided.+|diagonal.*|im2col|col2im|view_as_(real|complex)|_fft.*", _unknown),
]
"""(pattern, rule): the first pattern that matches an operation's name applies; other operations are elementwise."""

FRESH = re.compile(r"new_.+|.+_like|empty.*|zeros.*|ones.*|full.*")
"""Operations that use only the shape, dtype or device of their tensor argument, not its values."""

ALIKE = ("split", "split_with_sizes", "chunk", "tensor_split", "unsafe_split", "unsafe_chunk", "unbind")
"""Operations whose outputs all have the same axes; for others only the first output is followed."""


@functools.lru_cache(maxsize=512)
def rule_of(namespace: str, name: str) -> Rule:
    """The rule of an operation; `name` is without the trailing underscore of in-place variants.

    Outside the namespace "aten" only operations named as convolutions have a rule; the axes of others are unknown.
    """
    rule = next((rule for pattern, rule in RULES if re.fullmatch(pattern, name)), _elementwise)
    return rule if namespace == "aten" or rule is _convolution else _unknown
