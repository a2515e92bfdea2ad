"""Checks that no built page loads anything from elsewhere: `python docs/tools/offline.py FOLDER`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

LOADED = re.compile(
    r"""<(?:script|img|iframe|source|embed|object|video)\b[^>]*\b(?:src|data|srcset)=["'](?:https?:)?//[^"']*"""
    r"""|<link\b(?=[^>]*rel=["'](?:stylesheet|preload|icon|preconnect))[^>]*href=["'](?:https?:)?//[^"']*"""
    r"""|@import\s+(?:url\()?["']?(?:https?:)?//[^"')]*|url\(["']?(?:https?:)?//[^"')]*"""
)


def loaded(folder: Path) -> list[str]:
    """What the pages and style sheets of a folder would load from another host, each with its file."""
    pages = [path for kind in ("*.html", "*.css") for path in sorted(folder.rglob(kind))]
    return [f"{path}: {found}" for path in pages for found in LOADED.findall(path.read_text(encoding="utf-8"))]


if __name__ == "__main__":
    if found := loaded(Path(sys.argv[1])):
        sys.exit("\n".join(found))
