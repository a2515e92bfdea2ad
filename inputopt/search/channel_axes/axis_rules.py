"""What each operation of torch does to the axes of its inputs.

Weights make channels: a convolution and a batch, group or instance norm on axis 1; a product with a matrix, a layer
norm and an embedding on the last axis. Permutations, reshapes, slices and reductions move axes; everything else leaves
them where they are.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Sequence

from torch import Tensor

from inputopt.search.channel_axes.axes import UNKNOWN, Axes, Call, all_joined

Rule = Callable[[Call, Tensor], Axes]
"""The axes of an operation's output."""


# ------------------------------------------------------------------------------------------------ weights make channels
def _convolution(call: Call, out: Tensor) -> Axes:
    weight = call.named.get("weight")
    axis = out.ndim - weight.ndim + 1 if isinstance(weight, Tensor) else 1
    return call.axes("input", "self").moved(_stays_in(out, but=axis)).weighted(axis)


def _channel_norm(call: Call, out: Tensor) -> Axes:
    return call.axes("input").weighted(1)


def _on_last_axis(call: Call, out: Tensor) -> Axes:
    return call.axes("input", "src", "query").moved(_stays_in(out)).weighted(out.ndim - 1)


def _layer_norm(call: Call, out: Tensor) -> Axes:
    """Over several axes it says nothing about any one of them."""
    given = call.axes("input")
    return given.weighted(out.ndim - 1) if len(call.named.get("normalized_shape", (1,))) == 1 else given


def _matrix_product(call: Call, out: Tensor) -> Axes:
    """Rows are the left matrix's, columns the right one's; the columns of a matrix of weights are channels.

    Weights on the left may be a convolution written as a product, or mix places: which of the two, cannot be told.
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
    """Places are the query's, channels the value's."""
    last = out.ndim - 1
    places = call.axes("query").moved(lambda axis: axis if axis == last - 1 else None).added
    return Axes(call.axes("value").channels & {last}, frozenset(), places)


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
    return call.axes("self").moved(lambda axis: landed(old, tuple(out.shape), axis))


def landed(old: Sequence[int], new: Sequence[int], axis: int) -> int | None:
    """Where a reshape puts an axis; None if it cuts it, or puts it together with another one.

    >>> landed((1, 16, 8, 8), (1, 16, 64), 1), landed((1, 16, 8, 8), (1, 1024), 1)
    (1, None)
    """
    before = math.prod(old[:axis])
    fits = [place for place, size in enumerate(new) if size == old[axis] and math.prod(new[:place]) == before]
    return axis if axis in fits else next(iter(fits), None)  # there are several only for an axis of length 1


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
    ends = _added(call, parts, dim, 0), _added(call, parts[::-1], dim, 1)
    return all_joined(axes for _, axes in call.dependent()).with_added(dim, ends)


def _added(call: Call, parts: Sequence[Tensor], dim: int, end: int) -> int:
    """How many entries, counted from one end, come before the first that is the input's."""
    count = 0
    for part in parts:
        axes, length = call.known(part), part.shape[dim]
        own = length if axes is None else axes.added.get(dim, (0, 0))[end]
        count += own
        if own < length:
            break
    return count


def _split(call: Call, out: Tensor) -> Axes:
    given, dim = call.axes("self"), call.dim("dim", out)
    return given.with_added(dim, (0, 0))


def _index(call: Call, out: Tensor) -> Axes:
    """Some entries of one axis; of several axes at once, those are lost."""
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
    """Axes stay; which entries of them were added is not known any more."""
    moved = call.axes("self", "input").moved(_stays_in(out))
    return Axes(moved.channels, moved.older)


def _unmoved(call: Call, out: Tensor) -> Axes:
    return call.axes("self")


def _restrided(call: Call, out: Tensor) -> Axes:
    """As torch itself uses it, to say how axes of length 1 lie in memory; what else it can do is not followed."""
    x = call.named["self"]
    alike = x is not out and x.shape == out.shape and _long(x) == _long(out)
    return call.axes("self") if alike or len(_long(out)) == 1 else UNKNOWN


def _long(x: Tensor) -> list[tuple[int, int]]:
    return [(axis, x.stride(axis)) for axis, size in enumerate(x.shape) if size > 1]


def _lost(call: Call, out: Tensor) -> Axes:
    return UNKNOWN


def _each_number(call: Call, out: Tensor) -> Axes:
    """Activations, sums, dropout, pooling and reductions: an axis stays, but for those that are summed over."""
    given = call.dependent()
    if len(given) == 1 and given[0][0].ndim == out.ndim:  # gated and padded channels are as many as they become
        x, axes = given[0]
        same = {axis: ends for axis, ends in axes.added.items() if x.shape[axis] == out.shape[axis]}
        return Axes(axes.channels, axes.older, same)
    return all_joined(axes.moved(functools.partial(_aligned, x, out, _reduced(call, x, out))) for x, axes in given)


def _reduced(call: Call, x: Tensor, out: Tensor) -> list[int]:
    dims = call.named.get("dim")
    listed = dims if isinstance(dims, (list, tuple)) else [dims]
    gone = sorted({dim % max(1, x.ndim) for dim in listed if isinstance(dim, int)})
    return gone if out.ndim == x.ndim - len(gone) else []


def _aligned(x: Tensor, out: Tensor, gone: list[int], axis: int) -> int | None:
    """Where an axis is after a reduction of others, or as broadcasting lays it."""
    if gone:
        return None if axis in gone else axis - sum(dim < axis for dim in gone)
    place = axis + out.ndim - x.ndim
    return place if place >= 0 and x.shape[axis] in (1, out.shape[place]) else None


def _stays_in(out: Tensor, but: int | None = None) -> Callable[[int], int | None]:
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
    (r"pixel_(un)?shuffle|(native_)?channel_shuffle|unfold", _unmoved),
    (r"as_strided", _restrided),
    (r"as_strided.+|diagonal.*|im2col|col2im|view_as_(real|complex)|_fft.*", _lost),
]
"""The first pattern that fits an operation's name says its rule; any other operation treats each number by itself."""

FRESH = re.compile(r"new_.+|.+_like|empty.*|zeros.*|ones.*|full.*")
"""Operations that take no more than a shape from the tensor that they are given."""

ALIKE = ("split", "split_with_sizes", "chunk", "tensor_split", "unsafe_split", "unsafe_chunk", "unbind")
"""Operations whose outputs are all of one kind; of others the network goes on with the first."""


@functools.lru_cache(maxsize=512)
def rule_of(namespace: str, name: str) -> Rule:
    """The rule of an operation, by its name without the underscore of those in place.

    Of operations that are not torch's own nothing is known but that what is called a convolution is one.
    """
    rule = next((rule for pattern, rule in RULES if re.fullmatch(pattern, name)), _each_number)
    return rule if namespace == "aten" or rule is _convolution else _lost
