"""A photo to try things on, from scikit-learn, which the extra `digits` installs."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def sample_photo() -> Path | None:
    """Path of a colour photo of a temple, 640 x 427 pixels; None if scikit-learn is not installed."""
    found = find_spec("sklearn")
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / "datasets" / "images" / "china.jpg"
    return path if path.is_file() else None
