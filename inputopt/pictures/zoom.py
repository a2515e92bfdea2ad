"""Deep dream zoom: every frame is the previous one, enlarged a little and dreamt on."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from inputopt import checks
from inputopt.files import FileError, replacing
from inputopt.nets.frozen import Frozen, frozen
from inputopt.pictures.dream import dream
from inputopt.pictures.dream_settings import Layers, settings_for
from inputopt.pictures.picture import Bounds, Photo, Picture, read_levels, read_photo, to_image
from inputopt.pictures.provenance import FILE, read_recipe, recipe_of, repeatable
from inputopt.search.loop import Watch

FILMS = (".gif", ".webp", ".mp4")


@repeatable(photo=FILE, guide=FILE)
def nearer(
    model: Frozen | nn.Module | Callable[[Tensor], Tensor],
    photo: Photo,
    layers: Layers,
    factor: float = 1.04,
    octaves: int | None = None,
    octave_scale: float = 1.4,
    steps: int = 4,
    *,
    towards: tuple[float, float] = (0.5, 0.5),
    step_size: float = 0.01,
    channels: int | Sequence[int] | None = None,
    guide: Photo | None = None,
    smoothing: float | None = None,
    jitter: int | None = None,
    seed: int = 0,
    watch: Watch | None = None,
) -> Picture:
    """The next frame of a zoom: `dream` on a part of `photo`, enlarged by `factor` to the photo's size.

    Args:
        model, photo, layers: as in `dream`.
        factor: how much larger things are than in `photo`.
        octaves: number of image sizes; 2 if not given, or 1 for tiny images.
        octave_scale, steps, step_size, channels, guide, smoothing, jitter, seed, watch: as in `dream`.
        towards: the point that stays where it is, (x, y), as shares of the width and the height; (0, 0) is top left.

    Raises:
        ValueError, TypeError, FileError: as `dream`, a factor that is not above 1, or a point outside of the photo.
    """
    if checks.positive("factor", factor) <= 1:
        raise ValueError(f"factor must be above 1, not {factor}.")
    across, down = _point(towards)
    picture = _picture(frozen(model), photo)
    image = to_image(picture.x, picture.bounds)
    width, height = (side / factor for side in image.size)
    left, top = across * (image.width - width), down * (image.height - height)
    box = (left, top, left + width, top + height)
    enlarged = image.resize(image.size, Image.Resampling.BICUBIC, box)
    octaves = min(2, settings_for(image.height, image.width).octaves) if octaves is None else octaves
    settings: dict[str, Any] = {
        "step_size": step_size,
        "channels": channels,
        "guide": guide,
        "smoothing": smoothing,
        "jitter": jitter,
    }
    return dream(model, enlarged, layers, octaves, octave_scale, steps, **settings, seed=seed, watch=watch)


def _point(given: Any) -> tuple[float, float]:
    """A point inside a photo, (x, y), as shares of its width and height."""
    point = tuple(given) if isinstance(given, (tuple, list)) else ()
    if len(point) != 2 or not all(0 <= checks.number("each of towards", each) <= 1 for each in point):
        raise ValueError(f"towards must be two numbers from 0 to 1, (x, y), not {given!r}.")
    return float(point[0]), float(point[1])


def zoom(
    model: Frozen | nn.Module | Callable[[Tensor], Tensor],
    photo: Photo,
    layers: Layers,
    folder: str | Path,
    frames: int = 60,
    *,
    progress: Callable[[int], None] | None = None,
    seed: int = 0,
    **settings: Any,
) -> list[Path]:
    """Write the frames of a zoom to `folder`; frames that exist there from an interrupted run are kept.

    Each frame starts from the file of the previous one, so that a resumed run produces the same bytes.

    Args:
        model, photo, layers: as in `dream`; the photo is frame 0.
        folder: where frame-00000.png and so on are written.
        frames: number of frames, including the photo.
        progress: called with the number of every finished frame.
        seed: base seed; frame i uses seed + i.
        settings: `factor`, how much larger each frame's things are than the last one's, 1.04; `towards`, the point that
            the film zooms into, (x, y), as shares of the width and the height from the top left, (0.5, 0.5); and
            `octaves` (2), `octave_scale` (1.4), `steps` (4), `step_size` (0.01), `channels`, `guide`, `smoothing` and
            `jitter`, as in `dream`.

    Returns:
        The paths of the frames.

    Raises:
        ValueError, TypeError, FileError: as `nearer`, or the folder holds frames of another photo,
            of another network, or with other bounds, normalisation or settings.
    """
    net, folder = frozen(model), Path(folder)
    checks.whole("frames", frames)
    first = _picture(net, photo)
    paths = [folder / f"frame-{index:05d}.png" for index in range(frames)]
    if not paths[0].is_file():
        first.save(paths[0])
    elif not torch.equal(read_photo(paths[0]), read_photo(to_image(first.x, first.bounds))):
        raise FileError(f"{folder} contains the frames of another photo; choose another folder.")
    for index, (before, path) in enumerate(pairwise(paths), start=1):
        arguments = (net, before, layers)
        keywords = {**settings, "seed": seed + index}
        if not path.is_file():
            nearer(*arguments, **keywords).save(path)
        else:
            _check_same(path, recipe_of("nearer", *arguments, **keywords))
        if progress is not None:
            progress(index)
    return paths


def _check_same(path: Path, recipe: Mapping[str, Any]) -> None:
    """Check that a frame was made by the network and with the settings of `recipe`; its name may be another.

    Raises:
        FileError: it was not.
    """
    found = read_recipe(path)
    if found["settings"] != recipe["settings"]:
        raise FileError(f"{path} was made with other settings; choose another folder.")
    made, model = found["model"], recipe["model"]
    if made["weights"] != model["weights"]:
        raise FileError(f"{path} was made by another network; choose another folder.")
    other = [name for name in ("bounds", "mean", "std") if made[name] != model[name]]
    if other:
        raise FileError(f"{path} was made with other {' and '.join(other)} of the network; choose another folder.")


def _picture(net: Frozen, photo: Photo) -> Picture:
    """A photo as a picture; its bounds are the network's for numbers, and 0 and 1 for an image."""
    bounds: Bounds = net.bounds if read_levels(photo).is_floating_point() else (0.0, 1.0)
    return Picture(read_photo(photo), bounds=bounds)


def film(frames: Sequence[Path], path: str | Path, rate: float = 20.0) -> None:
    """Write frames as a film at `rate` frames per second: GIF and WebP with Pillow, mp4 with ffmpeg.

    Raises:
        FileError: another suffix, ffmpeg is not installed, or the path cannot be written to.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in FILMS:
        raise FileError(f"The path of a film must end in one of {', '.join(FILMS)}, not {path.name}.")
    if suffix == ".mp4":
        return _mp4(frames, path, rate)

    def images() -> Iterator[Image.Image]:
        for frame in frames[1:]:
            with Image.open(frame) as image:
                yield image.convert("RGB")

    with replacing(path) as temporary, Image.open(frames[0]) as first:
        options: dict[str, Any] = {"duration": round(1000 / rate), "loop": 0, "save_all": True}
        first.convert("RGB").save(temporary, append_images=images(), **options)
    return None


def _mp4(frames: Sequence[Path], path: Path, rate: float) -> None:
    program = shutil.which("ffmpeg")
    if program is None:
        raise FileError("Writing .mp4 needs ffmpeg, which is not installed; choose .webp or .gif.")
    pattern = str(frames[0].parent / "frame-%05d.png")
    even = "pad=ceil(iw/2)*2:ceil(ih/2)*2"  # yuv420p needs even sides
    with replacing(path) as temporary:
        inputs = ["-framerate", str(rate), "-i", pattern, "-frames:v", str(len(frames))]
        command = [program, "-v", "error", "-y", *inputs, "-vf", even, "-pix_fmt", "yuv420p", str(temporary)]
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
        if finished.returncode:
            raise FileError(f"ffmpeg could not write {path} ({finished.stderr.strip()}).")
