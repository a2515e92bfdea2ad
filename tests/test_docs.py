"""Every Python block of the pages under docs/ runs as it is written."""

import re
from pathlib import Path

import pytest

from inputopt.nets.activations import ACTIVATIONS
from inputopt.pictures.canvas_choice import CANVASES

PAGES = sorted((Path(__file__).parents[1] / "docs").glob("*.md"))
BLOCK = re.compile(r"^## (.+?)$|^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks():
    """(page, its section, the code) of every block."""
    for page in PAGES:
        section = page.stem
        for found in BLOCK.finditer(page.read_text(encoding="utf-8")):
            if found[1]:
                section = found[1]
            else:
                yield pytest.param(found[2], id=f"{page.stem}: {section}")


def test_every_section_of_extending_has_code():
    text = (Path(__file__).parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert len(sections) == 6
    for section in sections:
        prose = re.sub(r"^```python\n.*?^```$", "", section, flags=re.MULTILINE | re.DOTALL)
        assert "```python" in section
        assert len(prose.splitlines()) < 40


@pytest.fixture(autouse=True)
def _tables():
    """What a page adds to the package's tables is taken out again."""
    before = [(table, set(table)) for table in (ACTIVATIONS, CANVASES)]
    yield
    for table, names in before:
        for name in set(table) - names:
            del table[name]


@pytest.mark.parametrize("code", list(blocks()))
def test_a_page_runs(code):
    exec(compile(code, "docs", "exec"), {"__name__": "docs"})
