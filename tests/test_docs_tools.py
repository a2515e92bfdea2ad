"""The tools that build the documentation, as far as a mistake in them would not fail the build."""

import re
import sys
from pathlib import Path

import pytest

import inputopt

TOOLS = Path(__file__).parents[1] / "docs" / "tools"
sys.path.insert(0, str(TOOLS))

import offline  # noqa: E402
import package_picture  # noqa: E402
import plain_docstrings  # noqa: E402


@pytest.mark.parametrize(
    "text",
    [
        '<script async src="https://cdn.example/mathjax.js"></script>',
        "<img alt='' src='//cdn.example/badge.svg'>",
        '<link rel="stylesheet" type="text/css" href="http://cdn.example/a.css">',
        '<link href="https://fonts.example" rel="preconnect">',
        "<style>@import url(https://fonts.example/a.css)</style>",
        "<style>body { background: url('https://cdn.example/a.png') }</style>",
    ],
)
def test_what_a_page_would_fetch_is_found(tmp_path, text):
    (tmp_path / "page.html").write_text(f"<html>{text}</html>", encoding="utf-8")
    assert len(offline.loaded(tmp_path)) == 1


def test_links_and_own_files_are_no_fetches(tmp_path):
    text = '<a href="https://example.org">a link</a><script src="_static/a.js"></script><img src="a.png">'
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    assert offline.loaded(tmp_path) == []


def test_the_picture_of_the_package_shows_every_package_and_imports_that_exist(tmp_path):
    package_picture.make(tmp_path)
    svg = (tmp_path / "package.svg").read_text(encoding="utf-8")
    folder = Path(inputopt.__file__).parent
    packages = {path.parent.name for path in folder.glob("*/__init__.py")}
    assert {name for name in packages if f'class="name">{name}</text>' not in svg} == set()
    assert re.search(r"inputopt\.search: the one loop and its parts; imports [a-z_, ]*\bnets\b", svg)
    order = [name for layer in package_picture.layers() for name in layer]
    for name in order:
        assert package_picture.imported(name) & set(order[: order.index(name)]) == set()


@pytest.mark.parametrize(
    ("docstring", "rest"),
    [
        ("`x` and *y", r"``x`` and \*y"),
        ("minimises |p|_2", r"minimises \|p\|\_2"),
        ("``kept``", "``kept``"),
        (">>> a_b * c", ">>> a_b * c"),
    ],
)
def test_docstrings_become_rest(docstring, rest):
    lines = [docstring]
    plain_docstrings.process(None, "function", "f", None, None, lines)
    assert lines == [rest]
