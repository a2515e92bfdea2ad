"""Errors that are one sentence."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest


def refused(job: Callable[[], object], pattern: str) -> str:
    """Assert that a job is refused in one sentence that matches the pattern, and return the sentence."""
    with pytest.raises((ValueError, TypeError), match=pattern) as caught:
        job()
    sentence = str(caught.value)
    assert re.fullmatch(r"[^\n]+[.]", sentence), sentence
    return sentence
