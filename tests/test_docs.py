"""Every Python block of the pages under docs/ runs as it is written, and every public name has an executed example."""

import ast
import doctest
import re
from pathlib import Path

import pytest

import inputopt
import inputopt.search
from inputopt.evaluation.indicators import INDICATORS
from inputopt.nets.activations import ACTIVATIONS
from inputopt.pictures.canvas_choice import CANVASES

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
BLOCK = re.compile(r"^(`{3,})([^`\n]*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
TREE = re.compile(r"^```\{toctree\}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WIDTH = 90
"""Characters that fit beside each other in a block of a page on a desktop."""
NOT_RUN_HERE = {
    "console": "command lines",
    "text": "what a command or a call prints",
    **{
        f"python peer:{name}": f"the same task with {name}; `benchmarks/coming_from.py` runs it where installed"
        for name in ("foolbox", "torchattacks", "art", "pyautoattack", "adv-lib", "captum", "lucent")
    },
}
"""What the blocks that are not run here hold, by the words after the backticks."""


def blocks(page):
    """(the words after the backticks, the text) of every block of a page; directives of Sphinx are no blocks."""
    found = [(match[2].strip(), match[3]) for match in BLOCK.finditer(page.read_text(encoding="utf-8"))]
    return [(words, text) for words, text in found if not words.startswith("{")]


def executed(page):
    """The Python blocks of a page."""
    return [text for words, text in blocks(page) if words == "python"]


def name_of(page):
    return str(page.relative_to(ROOT / "docs").with_suffix(""))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_says_what_it_is(page):
    words = {words for words, _ in blocks(page)}
    assert words - {"python", *NOT_RUN_HERE} == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_block_needs_scrolling(page):
    assert [line for _, text in blocks(page) for line in text.splitlines() if len(line) > WIDTH] == []


def test_every_section_of_extending_has_code():
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert len(sections) == 6
    for section in sections:
        prose = re.sub(r"^```python\n.*?^```$", "", section, flags=re.MULTILINE | re.DOTALL)
        assert "```python" in section
        assert len(prose.splitlines()) < 40


@pytest.fixture
def _tables():
    """What a page adds to the package's tables is taken out again."""
    before = [(table, set(table)) for table in (ACTIVATIONS, CANVASES)]
    yield
    for table, names in before:
        for name in set(table) - names:
            del table[name]


@pytest.mark.usefixtures("_tables")
@pytest.mark.parametrize("page", [page for page in PAGES if executed(page)], ids=name_of)
def test_a_page_runs(page, tmp_path, monkeypatch):
    """The blocks of a page are one program, or where they show `>>>` one session; files go to a folder of its own."""
    monkeypatch.chdir(tmp_path)
    space = {"__name__": "docs"}
    for number, code in enumerate(executed(page), start=1):
        where = f"{name_of(page)}, block {number}"
        if ">>>" not in code:
            exec(compile(code, where, "exec"), space)
            continue
        told = []
        test = doctest.DocTestParser().get_doctest(code, space, where, str(page), 0)
        doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=told.append, clear_globs=False)
        space.update(test.globs)
        assert told == []


# ----------------------------------------------------------------------------------- every public name has an example
def python_of_doctests(text):
    return "".join(example.source for example in doctest.DocTestParser().get_examples(text))


def examples():
    """The source of everything that is executed: pages, the README, docstrings of the package, and demos."""
    for page in [*PAGES, ROOT / "README.md"]:
        for text in executed(page) if page in PAGES else [page.read_text(encoding="utf-8")]:
            yield python_of_doctests(text) if ">>>" in text else text
    for path in sorted((ROOT / "inputopt").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                yield python_of_doctests(ast.get_docstring(node) or "")
    for path in sorted((ROOT / "demos").glob("*.py")):
        yield path.read_text(encoding="utf-8")


def names_used(source):
    """Names and attributes that a program uses; an import alone is no use."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


def test_every_public_name_has_an_executed_example():
    used = {name for source in examples() for name in names_used(source)}
    for package in (inputopt, inputopt.attacks, inputopt.search):
        assert set(package.__all__) - used == set(), package.__name__


# --------------------------------------------------------------------------------------------- what the pages promise
def test_every_attack_is_in_the_table_of_attacks():
    text = (ROOT / "docs" / "attacks.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    kinds = {name for name in inputopt.attacks.__all__ if name != "Round"}  # a setting of MultiTargeted
    assert kinds - named == set()


def test_every_objective_has_its_line_in_the_table_of_objectives():
    api = (ROOT / "docs" / "api" / "inputopt.md").read_text(encoding="utf-8")
    names = re.search(r"## Objectives of pictures.*?:nosignatures:\n\n(.*?)```", api, re.DOTALL)[1].split()
    assert {"Channel", "LogProbability", "total_variation"} <= set(names)
    text = (ROOT / "docs" / "pictures.md").read_text(encoding="utf-8")
    assert [re.search(rf"^\| `{name}\(", text, re.MULTILINE) is not None for name in names] == [True] * len(names)


def test_the_years_of_the_table_of_attacks_are_those_of_the_docstrings():
    text = (ROOT / "docs" / "attacks.md").read_text(encoding="utf-8")
    for name, year in re.findall(r"^\|[^|]*\| `(\w+)`[^|]*\|.*?((?:19|20)\d\d)\)? *\|$", text, re.MULTILINE):
        home = __import__(getattr(inputopt.attacks, name).__module__, fromlist=["_"])
        assert year in f"{getattr(inputopt.attacks, name).__doc__} {home.__doc__}", name


def test_every_indicator_is_explained():
    text = (ROOT / "docs" / "believing.md").read_text(encoding="utf-8")
    assert [check.__name__ for check in INDICATORS if f"| `{check.__name__}` |" not in text] == []


def test_every_page_is_in_a_table_of_contents():
    listed = set()
    for page in PAGES:
        for tree in re.findall(
            r"^```\{toctree\}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        ):
            listed |= {str((page.parent / line).relative_to(ROOT / "docs")) for line in tree.splitlines() if line}
    assert {name_of(page) for page in PAGES} - listed == {"index"}
