"""Hooks of sphinx-gallery: where the demos save their pictures, and how these come into the pages."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from sphinx_gallery.scrapers import figure_rst

FOLDER = "pictures"  # beside the scripts, which run there: the paths that they print are short and the same everywhere


def arguments(gallery_conf: dict[str, Any], script_vars: dict[str, Any]) -> list[str]:
    """The command line of a demo."""
    return ["--out", FOLDER]


def scrape(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any], **kwargs: Any) -> str:
    """Move the pictures that a demo saved into the documentation; return the reST that shows them."""
    folder = Path(block_vars["src_file"]).parent / FOLDER
    moved = []
    for saved in sorted(folder.glob("*.png")):
        path = next(block_vars["image_path_iterator"])
        shutil.move(saved, path)
        moved.append(path)
    if folder.is_dir():
        folder.rmdir()
    return figure_rst(moved, gallery_conf["src_dir"]) if moved else ""
