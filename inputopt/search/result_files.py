"""Files that a result is saved as: images or an archive, and `result.json`."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from torch import Tensor

from inputopt.files import replacing, write_text
from inputopt.images import Bounds, are_images, to_image
from inputopt.search.result import Result
from inputopt.search.result_origin import bounds_of
from inputopt.versions import now, recorded_versions


def save_result(result: Result, folder: str | Path, names: Sequence[str | Path] | None = None) -> list[Path]:
    """Write the inputs of a result and `result.json` into `folder`; see `Result.save`."""
    folder, bounds = Path(folder), bounds_of(result.made_by)
    images = bounds is not None and are_images(result.x, bounds)
    stems = stems_of(names, len(result.x))
    files = [f"{stem}.png" for stem in stems] if images else ["x.npz"] * len(stems)
    written = [folder / name for name in dict.fromkeys(files)]
    if bounds is not None and images:
        write_images(result.x, bounds, written)
    else:
        _write_arrays(result, folder / "x.npz")
    report = {
        **result.made_by,
        "count": len(result.x),
        "succeeded": int(result.success.sum()),
        "median distance": _number(result.median_distance),
        "shape": list(result.x.shape[1:]),
        "date": now(),
        "versions": recorded_versions(),
        "examples": _examples(result, stems, files),
    }
    written.append(folder / "result.json")
    write_text(written[-1], json.dumps(report, indent=2, allow_nan=False) + "\n")
    return written


def write_images(x: Tensor, bounds: Bounds, paths: Sequence[Path]) -> None:
    """Write images [B, C, H, W] as 8-bit PNG files."""
    for image, path in zip(x, paths, strict=True):
        with replacing(path) as temporary:
            to_image(image, bounds).save(temporary)


def _examples(result: Result, stems: Sequence[str], files: Sequence[str]) -> list[dict[str, Any]]:
    columns: dict[str, list[Any]] = {
        name: getattr(result, name).tolist()
        for name in ("label", "prediction", "success", "distance", "forwards", "backwards", "skipped")
    }
    columns["distance"] = [_number(each) for each in columns["distance"]]
    return [
        {"name": stem, "file": file, **{name: values[row] for name, values in columns.items()}}
        for row, (stem, file) in enumerate(zip(stems, files, strict=True))
    ]


def _number(value: float) -> float | None:
    """A finite number, or None, since JSON has no infinity."""
    return value if math.isfinite(value) else None


def _write_arrays(result: Result, path: Path) -> None:
    names = ("x", "success", "distance", "prediction", "label")
    arrays: dict[str, Any] = {name: getattr(result, name).detach().cpu().numpy() for name in names}
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def stems_of(names: Sequence[str | Path] | None, count: int) -> list[str]:
    """The names of the examples without suffix, with forward slashes; numbers if not given.

    Raises:
        ValueError: another number of names, a name given twice, or one that lies outside the folder.
    """
    if names is None:
        return [f"{number:05}" for number in range(count)]
    paths = [PurePosixPath(Path(name).as_posix()) for name in names]
    if len(paths) != count:
        raise ValueError(f"names must hold {count} names, one per example, not {len(paths)}.")
    for path in paths:
        if path.is_absolute() or ".." in path.parts or not path.name:
            raise ValueError(f"names must be relative paths inside the folder, not {str(path)!r}.")
    stems = [str(path.with_suffix("")) for path in paths]
    twice = next((stem for stem in stems if stems.count(stem) > 1), None) if len(set(stems)) < count else None
    if twice is not None:
        raise ValueError(f"names holds {twice!r} twice; give each example its own name.")
    return stems
