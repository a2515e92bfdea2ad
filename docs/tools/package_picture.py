"""The picture of the package: its import layers, as pyproject.toml states them and import-linter checks them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[2]
WIDTH, ROW, GAP, MARGIN = 760, 80, 12, 8
HOLDS = {
    "cli": "the command line",
    "document": "the document's networks and figures",
    "zoo": "shipped networks",
    "evaluation": "protocols, reports, indicators",
    "attribution": "saliency, shortcuts",
    "attacks": "one file per published attack",
    "pictures": "fool, dream, visualize, invert",
    "training": "train, history, evolution",
    "search": "the one loop and its parts",
    "derivatives": "four methods of differentiation",
    "nets": "networks, Frozen, its fast private copy",
    "files": "reading, writing",
    "checks": "argument checks",
    "errors": "error types",
}


def layers() -> list[list[str]]:
    """The layers from the top, each with its packages, without the prefix of the package."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (block,) = re.findall(r"^layers = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    return [re.findall(r"inputopt\.(\w+)", line) for line in block.splitlines()]


def modules(package: str) -> list[Path]:
    """The modules of a package of inputopt, or the one module of that name."""
    folder = ROOT / "inputopt" / package
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def holds(package: str) -> str:
    """A few words on what a package holds; of one that `HOLDS` does not know, its docstring up to a colon."""
    first = modules(package)[0]
    docstring = ast.get_docstring(ast.parse(first.read_text(encoding="utf-8"))) or ""
    return HOLDS.get(package) or re.split(r"[:.]", docstring)[0]


def imported(package: str) -> set[str]:
    """The packages of inputopt that a package imports."""
    found = set()
    for path in modules(package):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            found |= {name.split(".")[1] for name in names if name.startswith("inputopt.")}
    return found - {package}


def boxes() -> Iterator[tuple[str, float, float, float]]:
    """(package, x, y, width) of every box."""
    for row, names in enumerate(layers()):
        width = (WIDTH - 2 * MARGIN - GAP * (len(names) - 1)) / len(names)
        for column, name in enumerate(names):
            yield name, MARGIN + column * (width + GAP), MARGIN + row * (ROW + GAP), width


def make(folder: Path) -> None:
    """Write package.svg; its colours are those of the page's theme."""
    height = len(layers()) * (ROW + GAP) - GAP + 2 * MARGIN
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" class="package">']
    for name, x, y, width in boxes():
        uses = ", ".join(sorted(imported(name))) or "nothing of the package"
        title = escape(f"inputopt.{name}: {holds(name)}; imports {uses}")
        count = len(modules(name))
        size = f"{count} modules" if count > 1 else "1 module"
        middle = x + width / 2
        lines = [*wrapped(holds(name), int(width / 6.4)), size]
        top = y + (ROW - 17 - 15 * len(lines)) / 2 + 13  # the baseline of the name, all lines in the middle of the box
        parts += [
            f"<g><title>{title}</title>",
            f'<rect x="{x}" y="{y}" width="{width}" height="{ROW}" rx="8"/>',
            f'<text x="{middle}" y="{top}" class="name">{name}</text>',
            *(f'<text x="{middle}" y="{top + 17 + 15 * at}">{escape(line)}</text>' for at, line in enumerate(lines)),
            "</g>",
        ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.svg").write_text("\n".join([*parts, "</svg>\n"]), encoding="utf-8")


def wrapped(text: str, width: int) -> list[str]:
    """Lines of at most so many characters."""
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) >= width and lines[-1]:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
