import math

import numpy as np
import pytest
import torch

from inputopt import checks

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("relo", "Unknown activation 'relo'; did you mean 'relu'?"),
        ("zzz", "Unknown activation 'zzz'; choose one of relu, tanh."),
        (None, "Unknown activation None; choose one of relu, tanh."),
        (["relu"], "Unknown activation ['relu']; "),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_or_with_all(value, words):
    with pytest.raises(ValueError, match="Unknown activation") as caught:
        checks.one_of("activation", value, ["relu", "tanh"])
    assert str(caught.value).startswith(words)


def test_one_of_takes_names_that_can_be_read_only_once():
    assert checks.one_of("cost", "b", (name for name in "abc")) == "b"


@pytest.mark.parametrize("value", [0, -1, 0.0, -0.5, math.nan, math.inf, -math.inf])
def test_positive_refuses_what_is_not_finite_and_above_zero(value):
    with pytest.raises(ValueError, match=r"^rate must be a finite number above 0, not .*\.$"):
        checks.positive("rate", value)


@pytest.mark.parametrize("value", ["0.5", None, True, [1.0]])
def test_positive_refuses_what_is_no_number(value):
    with pytest.raises(TypeError, match=r"^rate must be a number, not (str|NoneType|bool|list)\.$"):
        checks.positive("rate", value)


@pytest.mark.parametrize(
    "value", [1, 0.5, np.float64(2), np.float32(0.5), np.int64(3), np.array(0.5), torch.tensor(0.5), np.longdouble(2)]
)
def test_positive_takes_any_real_number_and_gives_a_plain_one(value):
    assert checks.positive("rate", value) == value
    assert type(checks.positive("rate", value)) in (int, float)


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (checks.share, [1, np.float32(0.5)], [0, 1.5, math.nan, math.inf, 10**400]),
        (checks.not_negative, [0, 0.0, np.int8(3)], [-1e-9, -math.inf, math.nan]),
        (checks.number, [-3, 0.0, torch.tensor(-2)], [math.nan, math.inf, 10**400]),
        (checks.positive, [10**300], [10**400]),
    ],
)
def test_each_kind_of_number_has_its_range(check, good, bad):
    assert [check("size", value) for value in good] == good
    for value in bad:
        with pytest.raises(ValueError, match=r"^size must be .*, not .*\.$"):
            check("size", value)


@pytest.mark.parametrize(("value", "least"), [(0, 1), (-3, 1), (3, 4)])
def test_whole_refuses_what_is_too_small(value, least):
    with pytest.raises(ValueError, match=rf"^steps must be at least {least}, not {value}\.$"):
        checks.whole("steps", value, least)


@pytest.mark.parametrize("value", [1.0, "3", None, True, np.float64(2)])
def test_whole_refuses_what_is_no_whole_number(value):
    with pytest.raises(TypeError, match=r"^steps must be a whole number, not "):
        checks.whole("steps", value)


@pytest.mark.parametrize("value", [1, 10**9, np.int64(7), np.uint8(7), np.array(7), torch.tensor(7)])
def test_whole_and_seed_take_any_integer(value):
    assert checks.whole("steps", value) == checks.seed(value) == value
    assert type(checks.whole("steps", value)) is type(checks.seed(value)) is int


def test_a_function_may_be_left_out_but_not_be_something_else():
    assert checks.function("progress", None) is None
    assert checks.function("progress", len) is len
    with pytest.raises(TypeError, match="progress must be a function, not str"):
        checks.function("progress", "bar")


@pytest.mark.parametrize("value", [[[1, 2]], np.array([[1, 2]]), torch.tensor([[1, 2]]), ((1.0, 2.0),)])
def test_tensor_takes_lists_arrays_and_tensors(value):
    made = checks.tensor("inputs", value, torch.float64, CPU)
    assert torch.equal(made, torch.tensor([[1.0, 2.0]], dtype=torch.float64))


READ_ONLY = np.ones((1, 2))
READ_ONLY.flags.writeable = False
with torch.inference_mode():
    INFERRED = torch.ones(1, 2)


@pytest.mark.parametrize(
    "value",
    [
        READ_ONLY,
        np.ones((1, 2), ">f4"),
        np.ones((1, 2), np.uint16),
        np.ones((1, 2), np.longdouble),
        np.ones((1, 2), np.float16),
        np.ones((1, 2))[:, ::-1],
        np.ones((1, 2), bool),
        [np.ones(2)],
        [torch.ones(2, requires_grad=True)],
        torch.ones(1, 2).to_sparse(),
        torch.ones(1, 2, dtype=torch.bfloat16),
        INFERRED,
    ],
    ids=str,
)
def test_tensor_takes_every_kind_of_array_without_a_warning(value):
    made = checks.tensor("inputs", value, torch.float32, CPU)
    assert torch.equal(made, torch.ones(1, 2))
    assert not made.is_inference()


def test_lists_are_not_rounded_on_the_way_to_double_precision():
    assert checks.tensor("inputs", [0.1], torch.float64, CPU).item() == 0.1


def test_tensor_does_not_reach_back_into_a_graph():
    leaf = torch.ones(2, requires_grad=True)
    assert not checks.tensor("inputs", leaf * 2, torch.float32, CPU).requires_grad


NO_NUMBERS = [
    [1 + 2j],
    torch.tensor([1 + 2j]),
    torch.ones(1, device="meta"),
    np.ma.masked_array([1, 2], [False, True]),
    np.array([2**63], np.uint64),
]


@pytest.mark.parametrize("value", ["ab", None, [[1.0, 2.0], [1.0]], [["a"]], {"a": 1}, object(), [2**70], *NO_NUMBERS])
def test_tensor_refuses_what_is_no_block_of_numbers(value):
    with pytest.raises(TypeError, match=r"^inputs must be a tensor, an array or nested lists of numbers \(.*\)\.$"):
        checks.tensor("inputs", value, torch.float32, CPU)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_are_refused(bad):
    with pytest.raises(ValueError, match=r"^inputs must be finite, but some values are NaN or infinite\.$"):
        checks.tensor("inputs", [1.0, bad], torch.float32, CPU)


def test_a_number_too_large_for_the_type_counts_as_infinite():
    with pytest.raises(ValueError, match="must be finite"):
        checks.tensor("inputs", [1e39], torch.float32, CPU)


def test_whole_numbers_are_always_finite():
    whole = torch.tensor([1, 2])
    assert checks.finite("targets", whole) is whole


@pytest.mark.parametrize("shape", [(), (0,), (0, 3)])
def test_a_batch_needs_an_example(shape):
    with pytest.raises(ValueError, match=r"^inputs must have at least one example .*\.$"):
        checks.batch("inputs", torch.zeros(shape))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.tensor([[0]]), r"whole numbers of shape \[B\], not torch.int64 \[1, 1\]"),
        (torch.tensor([0.0]), "not torch.float32"),
        (torch.tensor([True]), "not torch.bool"),
        (torch.tensor([0j]), "not torch.complex64"),
        (torch.tensor([], dtype=torch.int64), "at least one example"),
        (torch.tensor([0, 3]), r"must lie in 0\.\.2, but range from 0 to 3"),
        (torch.tensor([-1, 2]), r"must lie in 0\.\.2, but range from -1 to 2"),
    ],
)
def test_classes_are_indices_in_range(value, words):
    with pytest.raises(ValueError, match=words):
        checks.classes("targets", value, 3)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64, torch.uint16, torch.uint32, torch.uint64])
def test_classes_come_out_as_int64(dtype):
    made = checks.classes("targets", torch.tensor([0, 2], dtype=dtype), 3)
    assert made.dtype == torch.int64
    assert made.tolist() == [0, 2]
