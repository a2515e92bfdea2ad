"""Scaling of the photo of a verb by --resize, and the size to give where the network does not take the photo's."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inputopt.cli.data.image_folder import explain_size
from inputopt.files import replacing
from inputopt.images import to_image
from inputopt.nets.frozen import Frozen
from inputopt.nets.model_errors import InputShapeError
from inputopt.pictures.photo import check_opaque, photo_in_range
from inputopt.pictures.picture import read_photo

RESIZED = "photo-resized.png"
"""File, in the folder of --out, of the photo as --resize scaled it."""


RESIZED_MASK = "mask-resized.png"
"""File, in the same folder, of the mask as --resize scaled it."""


def check_resize(options: argparse.Namespace) -> None:
    """Check before any work that --resize has a photo, and that the scaled one would not replace it.

    Raises:
        ValueError: it has none, or would.
    """
    if options.resize is None:
        return
    if options.photo is None:
        raise ValueError("--resize scales a photo; give one, or omit --resize.")
    if Path(options.photo).resolve() == _path(options).resolve():
        raise ValueError(f"{options.photo} would be replaced by the scaled photo; choose another folder with --out.")


def scaled_photo(options: argparse.Namespace) -> str:
    """The path of the photo as it is used: the given one, or with --resize that of the scaled one, which is written.

    It is written because the recipe of a picture names its photo by its path.
    """
    if options.resize is None:
        return str(options.photo)
    image = to_image(read_photo(options.photo, resize=options.resize))
    with replacing(_path(options)) as temporary:
        image.save(temporary)
    return str(_path(options))


def used_mask(options: argparse.Namespace) -> str | None:
    """The path of the mask as it is used: the given one, or with --resize that of the scaled one; None without one."""
    if options.mask is None or options.resize is None:
        return None if options.mask is None else str(options.mask)
    return str(Path(options.out) / RESIZED_MASK)


def scaled_files(options: argparse.Namespace) -> list[Path]:
    """The files of the scaled photo and mask; none without --resize."""
    if options.resize is None:
        return []
    mask = used_mask(options)
    return [_path(options), *([] if mask is None else [Path(mask)])]


def scaled_mask(options: argparse.Namespace) -> None:
    """Write the mask, if there is one, as --resize scales and crops it with the photo.

    Raises:
        ValueError: the mask has transparent areas, or another size than the photo.
    """
    path = used_mask(options)
    if path is not None and options.resize is not None:
        check_opaque("The mask", options.mask)
        sizes = [read_photo(each).shape[1:] for each in (options.mask, options.photo)]
        if sizes[0] != sizes[1]:
            mask, photo = (f"{height} x {width}" for height, width in sizes)
            raise ValueError(f"The mask must be as large as the photo before --resize, {photo}, not {mask}.")
        image = to_image(read_photo(options.mask, 1, resize=options.resize))
        with replacing(Path(path)) as temporary:
            image.save(temporary)


@contextmanager
def naming_resize(net: Frozen, photo: str) -> Iterator[None]:
    """Context in which the refusal of a photo's size names the --resize that the network takes."""
    try:
        yield
    except InputShapeError as error:
        raise explain_size(error, net, photo_in_range(net, photo)) from error


def _path(options: argparse.Namespace) -> Path:
    return Path(options.out) / RESIZED
