"""What can be seen of a picture while it is made: a bar, and previews in a file."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from inputopt.cli.parsing import whole
from inputopt.pictures.picture import Picture
from inputopt.search.loop import Snapshot


def add_watch(command: argparse.ArgumentParser) -> None:
    """Add `--watch`."""
    command.add_argument(
        "--watch", type=whole(), nargs="?", const=10, metavar="STEPS", help="write a preview so often (10)"
    )


@dataclass
class Watching:
    """Shown every step of a search; moves a bar on, and shows every `often`th to `preview`; None for no previews."""

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
        """A bar on stderr inside."""
        with tqdm(total=steps, desc=title, unit="step", leave=False, disable=None) as self._bar:
            yield


def unfinished(picture: Picture, path: Path) -> None:
    """Write a preview; its recipe says that none leads there. A reader sees the one before or this one, whole."""
    Picture(picture.x, {"interrupted": True}, picture.bounds).save(path)


def save_interrupted(pictures: Sequence[Picture], paths: Sequence[Path]) -> None:
    """Write the pictures that Ctrl-C left, and say so."""
    for picture, path in zip(pictures, paths, strict=True):
        picture.save(path)
        print(f"wrote {path}, as far as it was")
