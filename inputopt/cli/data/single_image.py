"""A single image file as data: one input, whose class is given by --label where a verb needs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from inputopt.cli.data.image_folder import IMAGES
from inputopt.cli.parsing import class_or_name
from inputopt.files import FileError


def add_label(command: Any) -> None:
    """Add `--label`."""
    command.add_argument(
        "--label", type=class_or_name, help="class of DATA if it is a single image: an index or a name (none)"
    )


def is_image_file(name: str) -> bool:
    """Whether data of this name are a single image, by its suffix."""
    return Path(name).suffix.lower() in IMAGES and not Path(name).is_dir()


def check_label(name: str, label: str | None) -> None:
    """Check that --label is only given for a single image.

    Raises:
        ValueError: it is given for other data, which have labels of their own.
    """
    if label is not None and not is_image_file(name):
        raise ValueError(f"--label is the class of a single image, which {name} is not; omit it.")


def needed_label(name: str, label: str | None, needed: bool) -> str | None:
    """The class of a single image as given; None if it is neither given nor needed.

    Raises:
        FileError: it is needed, and not given.
    """
    if label is None and needed:
        raise FileError(
            f"{name} is a single image, whose class is not known; give it with --label, or put the image into a folder "
            f"named after its class, such as photos/7/{Path(name).name}, and give the folder photos."
        )
    return label
