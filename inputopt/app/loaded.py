"""What one session has loaded: networks, the digits, and channel pictures. Nothing is shared between sessions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib.resources import as_file, files
from typing import Any, TypeVar

from PIL import Image

from inputopt.app.uploads import read_upload
from inputopt.nets.frozen import Frozen
from inputopt.pictures.picture import to_image
from inputopt.zoo.digits import load_digits

STRIDE = 137
"""Step through the 1,000 held-out digits, which are sorted by class; it has no factor in common with 1,000."""

Made = TypeVar("Made")


class Loaded:
    """A cache of one session, filled on demand; a deep copy is empty: Gradio copies a state for each user."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._made: dict[Any, Any] = {}
        self._digit = 0

    def __deepcopy__(self, memo: Any) -> Loaded:
        return Loaded()

    def get(self, key: Any, make: Callable[[], Made]) -> Made:
        """What was made under this key, made now if it is new."""
        with self._lock:
            if key not in self._made:
                self._made[key] = make()
            found: Made = self._made[key]
            return found

    def known(self, key: Any) -> Any:
        """What was made under this key, or None."""
        return self._made.get(key)

    def network(self, name: str, load: Callable[[str], Frozen]) -> Frozen:
        """The network of this name."""
        return self.get(("network", name), lambda: load(name))

    def next_digit(self) -> Image.Image:
        """Another held-out digit at every call.

        Raises:
            ModuleNotFoundError: the digits are not installed.
        """
        images = self.get("digits", lambda: load_digits().held_x)
        with self._lock:
            self._digit = (self._digit + STRIDE) % len(images)
            return to_image(images[self._digit])


def example_photo() -> Image.Image:
    """A photo that is installed with matplotlib: a portrait of Grace Hopper (public domain)."""
    with as_file(files("matplotlib") / "mpl-data" / "sample_data" / "grace_hopper.jpg") as path:
        return read_upload(path)
