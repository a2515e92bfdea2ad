"""What an error says in one line."""

import numpy as np
import pytest
import torch

from inputopt.errors import LONGEST, one_line, out_of_memory


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("one"), "one"),
        (ValueError("  one\ttwo\nthree"), "one two"),
        (ValueError("\n\nhead:\n\n  body:\n  end\nmore"), "head: body: end"),
        (KeyError(), "KeyError"),
        (MemoryError("\n"), "MemoryError"),
        (ValueError("x" * 1000), "x" * LONGEST + " ..."),
    ],
)
def test_an_error_is_one_line(error, said):
    assert one_line(error) == said


@pytest.mark.parametrize("ask", [lambda: torch.empty(10**15), lambda: np.empty(10**15), lambda: [0] * 10**15])
def test_what_cannot_be_allocated_is_known_as_such(ask):
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        ask()
    assert out_of_memory(caught.value)


@pytest.mark.parametrize("error", [RuntimeError("shape '[2]' is invalid"), ValueError("out of memory"), OSError()])
def test_other_errors_are_not_taken_for_it(error):
    assert not out_of_memory(error)
