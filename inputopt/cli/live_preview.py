"""Progress bar and preview files of a running image search."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inputopt.cli.output import stderr_bar
from inputopt.cli.parsing import whole
from inputopt.pictures.picture import Picture
from inputopt.search.loop import Snapshot


def add_watch(command: argparse.ArgumentParser) -> None:
    """Add `--watch`."""
    command.add_argument(
        "--watch",
        type=whole(),
        nargs="?",
        const=10,
        metavar="STEPS",
        help="write a preview every STEPS steps (10 if no number is given)",
    )


@dataclass
class Watching:
    """Step callback: advances a progress bar and calls `preview` every `often` steps; None for no previews."""

    often: int | None
    preview: Callable[[Snapshot], None]
    count: int = 0
    _bar: Any = None

    def __call__(self, snapshot: Snapshot) -> None:
        self.count += 1
        self._bar.update(1)
        if self.often and self.count % self.often == 0:
            self.preview(snapshot)

    @contextmanager
    def bar(self, title: str, steps: int) -> Iterator[None]:
        """Show a progress bar on stderr inside the block."""
        with stderr_bar(total=steps, desc=title, unit="step") as self._bar:
            yield


def unfinished(picture: Picture, path: Path) -> None:
    """Save a preview, with a recipe that marks it as not repeatable; the file is replaced atomically."""
    Picture(picture.x, {"interrupted": True}, picture.bounds).save(path)


def save_interrupted(pictures: Sequence[Picture], paths: Sequence[Path]) -> None:
    """Save the images that exist after Ctrl-C, and print their paths on stderr."""
    for picture, path in zip(pictures, paths, strict=True):
        picture.save(path)
        print(f"wrote {path} (unfinished)", file=sys.stderr)
