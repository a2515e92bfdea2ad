"""What attacks refuse, before any work."""

import pytest
import torch
from contracts import small_net

import inputopt


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"x": torch.full((4, 12), 1.5)}, "bounds"),
        ({"x": torch.full((4, 12), torch.nan)}, "finite"),
        ({"x": torch.ones(4, 12, dtype=torch.int64)}, "floating-point"),
        ({"x": torch.ones(0, 12)}, "at least one"),
        ({"y": [0.0, 1.0, 2.0, 3.0]}, "class indices"),
        ({"y": [0, 1]}, "4 class indices"),
        ({"y": [0, 1, 2, 6]}, "0..5"),
        ({"y": [0, 1, 2, -1]}, "0..5"),
        ({"target": 9}, "targets"),
        ({"eps": -0.1}, "at least 0"),
        ({"eps": float("nan")}, "at least 0"),
        ({"eps": torch.ones(3)}, "eps"),
        ({"eps": "0.1"}, "eps"),
        ({"eps": float("inf")}, "finite"),
        ({"norm": "l3"}, "Unknown norm"),
        ({"model": lambda x: x}, "logits"),
        ({"model": lambda x: x[:, :1]}, "single output"),
        ({"model": lambda x: x[:, :3] * torch.nan}, "NaN"),
        ({"model": "net"}, "model"),
        ({"ids": [0, 1]}, "ids"),
        ({"seed": 0.5}, "seed"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value,
)
def test_bad_input_is_one_sentence_before_any_work(changed, words):
    given = {"model": small_net(torch.float32), "x": torch.full((4, 12), 0.5), "y": [0, 1, 2, 3], "norm": "linf"}
    given = {"eps": 0.1, **given, **changed}
    model, x, y, norm, eps = (given.pop(key) for key in ("model", "x", "y", "norm", "eps"))
    if words == "logits":
        model = lambda x: x.reshape(len(x), 3, 4)  # noqa: E731
    steps = []
    with pytest.raises((ValueError, TypeError), match=words) as refused:
        inputopt.attacks.PGD(norm, eps)(model, x, y, watch=steps.append, **given)
    assert "\n" not in str(refused.value)
    assert steps == []
